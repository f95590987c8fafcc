//! What is written for apps of each kind.

use super::{Found, write};
use safelight_engine::{
    config::{Config, ProcessKind, load},
    text::Lang,
};
use std::path::Path;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

#[test]
fn what_the_sources_give_away_is_written() {
    let dir = project(&[
        (
            "package.json",
            r#"{"name": "@me/Notes", "scripts": {"start": "node server.js", "migrate": "node m.js", "build": "tsc"}, "engines": {"node": ">=20"}}"#,
        ),
        ("package-lock.json", "{}"),
        (
            "server.js",
            r#"open(process.env.DB_PATH || "data/notes.db"); at("/healthz"); listen(process.env.PORT)"#,
        ),
        (".env.production", "TITLE=x\nPORT=1\n"),
        (".env.production.example", "TITLE=\nTOKEN=\n"),
        ("ecosystem.config.js", ""),
    ]);
    let found = look(dir.path());
    assert!(found.reads_port);
    let c = load::parse("safelight.toml", &write(&found, "http://notes.localhost:8080")).unwrap();
    let (web, db, env) = (&c.services[0], c.database.as_ref().unwrap(), &c.environments["production"]);
    assert_eq!((c.app.name.as_str(), web.health.as_str()), ("notes", "/healthz"));
    assert_eq!(web.command.display(), "node server.js");
    assert_eq!(c.build.install.as_ref().unwrap().display(), "npm ci");
    assert_eq!((db.path.to_str(), db.url_variable.as_str()), (Some("data/notes.db"), "DB_PATH"));
    assert_eq!(db.migrate.as_ref().unwrap().display(), "node m.js");
    assert_eq!(env.required, ["TITLE", "TOKEN"]);
    assert_eq!((env.process, env.test_host.as_deref()), (ProcessKind::Pm2, Some("test.notes.localhost")));
}

/// On a machine with these programs only.
fn look_with(dir: &Path, programs: &[&str]) -> Found {
    super::look(dir, &|p| programs.contains(&p))
}

fn look(dir: &Path) -> Found {
    look_with(dir, &["pm2", "python3"])
}

/// What is written for a directory loads.
fn loads(files: &[(&str, &str)]) -> (Config, Found) {
    let dir = project(files);
    let found = look(dir.path());
    let text = write(&found, "http://x.localhost:8080");
    let c = load::parse("safelight.toml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    (c, found)
}

/// What is written for a directory is refused, for the start command alone, where it stands.
#[track_caller]
fn wants_a_command(files: &[(&str, &str)]) {
    let dir = project(files);
    let text = write(&look(dir.path()), "http://x.localhost:8080");
    let e = load::parse("safelight.toml", &text).unwrap_err();
    assert_eq!(e.problems.len(), 1, "{e}");
    let line = text.lines().position(|l| l.starts_with("command = ")).unwrap() + 1;
    let place = format!("safelight.toml:{line}:11: ");
    let (en, zh) = (e.render(Lang::En), e.render(Lang::Zh));
    assert!(en.starts_with(&format!("{place}nobody has written yet what starts the app")), "{en}");
    assert!(en.contains("listen on 127.0.0.1 at the port in the variable PORT"), "{en}");
    assert!(zh.starts_with(&place) && zh.contains("还没有填写应用的启动命令"), "{zh}");
    // Once that is written, nothing else is missing.
    let whole = text.replace("<what starts your app>", "./serve");
    load::parse("safelight.toml", &whole).unwrap();
}

fn start(c: &Config) -> String {
    c.services[0].command.display()
}

#[test]
fn an_app_that_shows_nothing_gets_a_file_that_is_refused_until_its_command_is_written() {
    wants_a_command(&[("main.js", "listen(3000)")]);
    wants_a_command(&[]);
    let dir = project(&[("main.js", "listen(3000)")]);
    let found = look(dir.path());
    assert!(found.start.is_none() && !found.reads_port && found.database.is_none());
}

#[test]
fn an_asgi_app_runs_under_uvicorn() {
    let main = "import os\nfrom fastapi import FastAPI\n\napi: FastAPI = FastAPI(title=\"x\")\n@api.get(\"/healthz\")\ndef h(): ...\n";
    let (c, found) = loads(&[("requirements.txt", "fastapi==0.115\nuvicorn[standard]\n"), ("main.py", main)]);
    assert_eq!(start(&c), ".venv/bin/python -m uvicorn --host 127.0.0.1 --port {port} main:api");
    assert_eq!((c.services[0].health.as_str(), found.reads_port), ("/healthz", true));
    assert_eq!(
        c.build.install.unwrap().display(),
        "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"
    );
    assert_eq!(
        (c.build.dependency_dirs, c.build.lock_files),
        (vec![".venv".to_owned()], vec!["requirements.txt".to_owned()])
    );
    assert!(c.source.exclude.contains(&".venv".to_owned()) && c.runtime.node.is_none());
    assert_eq!(c.environments["production"].process, ProcessKind::Detached, "no PM2 for what is not Node");
    let nested = [
        ("pyproject.toml", "dependencies = [\"fastapi[standard]>=0.115\"]\n"),
        ("app/main.py", "app = FastAPI()\n"),
    ];
    assert_eq!(
        start(&loads(&nested).0),
        ".venv/bin/python -m uvicorn --host 127.0.0.1 --port {port} app.main:app"
    );
}

#[test]
fn a_flask_app_runs_under_gunicorn_where_that_is_required_and_else_is_told_to() {
    let app = ("app.py", "app = Flask(__name__)\n");
    let (c, found) = loads(&[("requirements.txt", "flask\ngunicorn>=22\n"), app]);
    assert_eq!(start(&c), ".venv/bin/python -m gunicorn --bind 127.0.0.1:{port} app:app");
    assert!(found.note.is_none());
    let (c, found) = loads(&[("requirements.txt", "Flask\n# gunicorn\nmy-gunicorn-tools\n"), app]);
    assert_eq!(start(&c), ".venv/bin/python -m flask --app app:app run --host 127.0.0.1 --port {port}");
    assert!(found.note.unwrap().contains("gunicorn"));
}

#[test]
fn a_django_project_is_found_by_its_package() {
    let files = [
        ("requirements.txt", "Django>=5\ngunicorn\n"),
        ("manage.py", ""),
        ("shop/settings.py", "DB = os.environ[\"DATABASE_PATH\"] or \"data/shop.sqlite3\"\n"),
        ("shop/wsgi.py", ""),
        ("src/db.py", "os.environ.get('DATABASE_PATH', 'data/shop.sqlite3')"),
    ];
    let (c, _) = loads(&files);
    assert_eq!(start(&c), ".venv/bin/python -m gunicorn --bind 127.0.0.1:{port} shop.wsgi:application");
    let db = c.database.unwrap();
    assert_eq!((db.path.to_str(), db.url_variable.as_str()), (Some("data/shop.sqlite3"), "DATABASE_PATH"));
    assert_eq!(db.migrate.unwrap().display(), ".venv/bin/python manage.py migrate --noinput");
    // A database that no variable leads to stays a matter of the app.
    let (c, _) = loads(&[files[0], files[1], ("shop/settings.py", ""), files[3], ("db.sqlite3", "")]);
    assert!(c.database.is_none());
}

#[test]
fn the_url_of_a_database_keeps_its_form() {
    let main = "app = Flask(__name__)\nurl = os.environ.get(\"DATABASE_URL\", \"sqlite:///data/x.db\")\n";
    let (c, _) = loads(&[("requirements.txt", "flask\ngunicorn\n"), ("app.py", main)]);
    let db = c.database.unwrap();
    assert_eq!((db.path.to_str(), db.url.as_str()), (Some("data/x.db"), "sqlite:///{path}"));
}

#[test]
fn python_without_a_server_that_is_known_is_not_guessed_at() {
    wants_a_command(&[("requirements.txt", "requests\n"), ("main.py", "print(1)\n")]);
    wants_a_command(&[("requirements.txt", "fastapi\nuvicorn-worker\n"), ("main.py", "app = FastAPI()\n")]);
    wants_a_command(&[("requirements.txt", "uvicorn\nfastapi\n"), ("deep/inside.py", "app = FastAPI()\n")]);
    // Two projects in one: which, only a person knows.
    let two = [
        ("requirements.txt", "django\n"),
        ("manage.py", ""),
        ("a/settings.py", ""),
        ("a/wsgi.py", ""),
        ("b/settings.py", ""),
        ("b/wsgi.py", ""),
    ];
    wants_a_command(&two);
}

#[test]
fn a_procfile_is_the_apps_own_word() {
    let (c, found) = loads(&[
        (
            "Procfile",
            "worker: python jobs.py\nweb: gunicorn -b 127.0.0.1:$PORT shop:app\nrelease: python migrate.py\n",
        ),
        ("requirements.txt", "flask\ngunicorn\n"),
    ]);
    assert_eq!(start(&c), "gunicorn -b 127.0.0.1:$PORT shop:app");
    assert!(found.reads_port);
    assert_eq!(found.migrate.as_deref(), Some("python migrate.py"));
    assert_eq!(start(&loads(&[("Procfile", "web: bin/serve\n")]).0), "bin/serve");
    wants_a_command(&[("Procfile", "worker: bin/jobs\n")]);
}

#[test]
fn a_crate_with_one_program_is_built_and_run() {
    let main = ("src/main.rs", "let port = std::env::var(\"PORT\")?;");
    let (c, found) = loads(&[("Cargo.toml", "[package]\nname = \"Shop_api\"\nedition = \"2024\"\n"), main]);
    assert_eq!((start(&c), c.app.name.as_str()), ("target/release/Shop_api".to_owned(), "shop-api"));
    assert_eq!(c.build.build.unwrap().display(), "cargo build --release --locked");
    assert!(found.reads_port && c.source.exclude.contains(&"target".to_owned()));
    let named = "[package]\nname = \"shop\"\n[[bin]]\nname = \"shopd\"\npath = \"src/main.rs\"\n";
    assert_eq!(start(&loads(&[("Cargo.toml", named), main]).0), "target/release/shopd");
    wants_a_command(&[("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n")]);
    wants_a_command(&[("Cargo.toml", "[package]\nname = \"x\"\n"), ("src/lib.rs", "")]);
    wants_a_command(&[("Cargo.toml", "[package]\nname = \"x\"\n"), main, ("src/bin/y.rs", "fn main() {}")]);
}

#[test]
fn a_go_module_with_one_program_is_built_and_run() {
    let module = ("go.mod", "module example.com/ann/shop\n\ngo 1.23\n");
    let main = "package main\nfunc main() { serve(os.Getenv(\"PORT\")) }\n";
    let (c, found) = loads(&[module, ("main.go", main)]);
    assert_eq!((start(&c), c.app.name.as_str()), ("bin/app".to_owned(), "shop"));
    assert_eq!(c.build.build.unwrap().display(), "go build -o bin/app .");
    assert!(found.reads_port);
    let (c, _) = loads(&[module, ("shop.go", "package shop\n"), ("cmd/shopd/main.go", main)]);
    assert_eq!(c.build.build.unwrap().display(), "go build -o bin/app ./cmd/shopd");
    wants_a_command(&[module, ("cmd/a/main.go", main), ("cmd/b/main.go", main)]);
    wants_a_command(&[module, ("shop.go", "package shop\n")]);
}

#[test]
fn plain_files_are_served_by_a_plain_server_where_there_is_one() {
    let files = [("index.html", "<title>x</title>"), ("app.js", "fetch('/x')")];
    let (c, found) = loads(&files);
    assert_eq!(start(&c), "python3 -m http.server {port} --bind 127.0.0.1");
    assert!(found.reads_port && c.build.install.is_none());
    let dir = project(&files);
    let text = write(&look_with(dir.path(), &[]), "http://x.localhost:8080");
    assert!(load::parse("safelight.toml", &text).is_err_and(|e| e.problems.len() == 1));
}

#[test]
fn a_database_outside_of_the_project_is_not_taken_for_its_own() {
    let dir = project(&[("server.js", r#"process.env.DATABASE_URL || "/var/lib/x.db" || "../x.db""#)]);
    assert_eq!(look(dir.path()).database, None);
}
