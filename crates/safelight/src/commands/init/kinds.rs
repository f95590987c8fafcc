//! What kind of app a directory holds, and what installs, builds and starts it. A guess that is not well founded is not
//! made: a wrong command costs more than none.

use super::Found;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Asks whether there is such a program.
type Programs<'p> = &'p dyn Fn(&str) -> bool;

/// Fills in what the files of `dir` tell, unless it is known already. Node is looked at before.
pub(super) fn look(dir: &Path, f: &mut Found, programs: Programs<'_>) {
    if let Some((start, release)) = procfile(dir) {
        f.start = Some(start);
        f.migrate = f.migrate.take().or(release);
    }
    if f.node.is_some() {
        return;
    }
    let has = |name: &str| dir.join(name).is_file();
    if has("requirements.txt") || has("pyproject.toml") {
        python(dir, f);
    } else if has("Cargo.toml") {
        rust(dir, f);
    } else if has("go.mod") {
        go(dir, f);
    } else if has("index.html") && f.start.is_none() && programs("python3") {
        f.start = Some("python3 -m http.server {port} --bind 127.0.0.1".to_owned());
        f.note = Some("A plain web server for plain files. It serves everything in this directory.");
    }
}

/// The commands of a `Procfile` for `web` and `release`. It is the app's own word.
fn procfile(dir: &Path) -> Option<(String, Option<String>)> {
    let text = fs::read_to_string(dir.join("Procfile")).ok()?;
    let command = |kind: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(kind)?.trim_start().strip_prefix(':'));
        line.map(|l| l.trim().to_owned()).filter(|l| !l.is_empty())
    };
    Some((command("web")?, command("release")))
}

fn python(dir: &Path, f: &mut Found) {
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let wanted = (read("requirements.txt") + &read("pyproject.toml")).to_lowercase();
    let has = |name: &str| dir.join(name).is_file();
    let venv = "python3 -m venv .venv && .venv/bin/pip install";
    f.install = Some(if has("uv.lock") {
        "uv sync --frozen --no-dev".to_owned()
    } else if has("requirements.txt") {
        format!("{venv} -r requirements.txt")
    } else {
        format!("{venv} .")
    });
    f.dependencies = Some(".venv");
    f.lock_file = ["uv.lock", "requirements.txt", "pyproject.toml"].into_iter().find(|n| has(n));
    f.exclude.extend([".venv", "__pycache__"]);
    if f.start.is_some() {
        return;
    }
    // `python -m`, as scripts in a virtual environment name the directory that they were installed in.
    let run = |what: String| Some(format!(".venv/bin/python -m {what}"));
    let (uvicorn, gunicorn) =
        (names(&wanted, "uvicorn") || wanted.contains("fastapi[standard]"), names(&wanted, "gunicorn"));
    if let Some(package) = has("manage.py").then(|| django(dir)).flatten() {
        f.start = if gunicorn {
            run(format!("gunicorn --bind 127.0.0.1:{{port}} {package}.wsgi:application"))
        } else if uvicorn {
            run(format!("uvicorn --host 127.0.0.1 --port {{port}} {package}.asgi:application"))
        } else {
            f.note =
                Some("Django's own server is meant for development: gunicorn in requirements.txt is better.");
            Some(".venv/bin/python manage.py runserver --noreload 127.0.0.1:{port}".to_owned())
        };
        f.migrate.get_or_insert_with(|| ".venv/bin/python manage.py migrate --noinput".to_owned());
        return;
    }
    let asgi = app(dir, &["FastAPI(", "Starlette("]);
    let wsgi = app(dir, &["Flask("]);
    f.start = match (asgi, wsgi) {
        (Some(app), _) if uvicorn => run(format!("uvicorn --host 127.0.0.1 --port {{port}} {app}")),
        (_, Some(app)) if gunicorn => run(format!("gunicorn --bind 127.0.0.1:{{port}} {app}")),
        (_, Some(app)) => {
            f.note =
                Some("Flask's own server is meant for development: gunicorn in requirements.txt is better.");
            run(format!("flask --app {app} run --host 127.0.0.1 --port {{port}}"))
        }
        _ => None,
    };
}

/// Does a list of requirements name this package itself, not one whose name only begins or ends so?
fn names(requirements: &str, package: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    requirements.lines().filter(|l| !l.trim_start().starts_with('#')).any(|line| {
        line.match_indices(package)
            .any(|(at, _)| !line[..at].ends_with(part) && !line[at + package.len()..].starts_with(part))
    })
}

/// The package of a Django project: the one directory beside `manage.py` that has `wsgi.py`.
fn django(dir: &Path) -> Option<String> {
    let entries = fs::read_dir(dir).ok()?.flatten();
    let mut found = entries
        .filter(|e| e.path().join("wsgi.py").is_file() && e.path().join("settings.py").is_file())
        .map(|e| e.file_name().to_string_lossy().into_owned());
    let package = found.next()?;
    found.next().is_none().then_some(package)
}

/// `module:variable` of the application: `api = FastAPI(` in `main.py` is `main:api`.
fn app(dir: &Path, makers: &[&str]) -> Option<String> {
    let modules = ["main", "app", "server", "asgi", "wsgi", "application", "app/main", "src/main"];
    modules.iter().find_map(|module| {
        let text = fs::read_to_string(dir.join(format!("{module}.py"))).ok()?;
        let variable = text.lines().find_map(|line| {
            let (left, right) = line.split_once('=')?;
            let name = left.split(':').next()?.trim_end();
            let word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            (word && makers.iter().any(|m| right.trim_start().starts_with(m))).then(|| name.to_owned())
        })?;
        Some(format!("{}:{variable}", module.replace('/', ".")))
    })
}

fn rust(dir: &Path, f: &mut Found) {
    f.build = Some("cargo build --release --locked".to_owned());
    f.exclude.push("target");
    if f.start.is_some() {
        return;
    }
    let text = fs::read_to_string(dir.join("Cargo.toml")).unwrap_or_default();
    let package = in_table(&text, "[package]", "name");
    if let Some(name) = &package {
        f.name = super::slug(name);
    }
    let more: Vec<String> = sources(&dir.join("src/bin"), "rs")
        .iter()
        .filter_map(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned()))
        .collect();
    let bins = text.matches("[[bin]]").count();
    let program = in_table(&text, "[package]", "default-run").or(match (bins, more.as_slice()) {
        (1, []) => in_table(&text, "[[bin]]", "name"),
        (0, []) if dir.join("src/main.rs").is_file() => package,
        (0, [only]) if !dir.join("src/main.rs").is_file() => Some(only.clone()),
        _ => None,
    });
    f.start = program.map(|p| format!("target/release/{p}"));
}

/// The text value of a key in the first table with this heading.
fn in_table(text: &str, heading: &str, key: &str) -> Option<String> {
    let after = text.lines().skip_while(|l| l.trim() != heading).skip(1);
    let mut lines = after.take_while(|l| !l.trim_start().starts_with('['));
    lines.find_map(|l| {
        let value = l.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?.trim();
        value.strip_prefix('"')?.split('"').next().map(str::to_owned)
    })
}

fn go(dir: &Path, f: &mut Found) {
    let is_main = |d: &Path| {
        let text = |p: &PathBuf| fs::read_to_string(p).unwrap_or_default();
        sources(d, "go").iter().any(|p| text(p).lines().any(|l| l.trim() == "package main"))
    };
    let module = fs::read_to_string(dir.join("go.mod")).unwrap_or_default();
    if let Some(m) = module.lines().find_map(|l| l.strip_prefix("module ")) {
        f.name = super::slug(m.trim().rsplit('/').next().unwrap_or(m));
    }
    let mut programs: Vec<String> = fs::read_dir(dir.join("cmd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| is_main(&e.path()))
        .map(|e| format!("./cmd/{}", e.file_name().to_string_lossy()))
        .collect();
    if is_main(dir) {
        programs.push(".".to_owned());
    }
    // Several programs: which of them serves, only a person knows.
    let [program] = programs.as_slice() else { return };
    f.build = Some(format!("go build -o bin/app {program}"));
    f.start.get_or_insert_with(|| "bin/app".to_owned());
}

/// Files with an extension in one directory.
pub(super) fn sources(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|x| x == extension)).collect();
    files.sort();
    files
}
