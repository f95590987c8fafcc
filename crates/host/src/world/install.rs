//! Installing dependencies, or using those of another release again: only where everything that decides what an
//! installation makes is known to be the same, and all that it makes is kept.

use super::{HostWorld, StepError, commands::Place, failed, stage::blocking};
use safelight_drivers::source::{
    deps::{DepsInput, deps_key},
    store::Store as ContentStore,
};
use safelight_engine::{
    config::{Build, CommandLine, Config},
    driver::host::Cmd,
    text::Text,
};
use std::{collections::BTreeSet, io, path::Path};

/// Lock files of the usual package managers. One of them, or one that the configuration names, decides what is installed;
/// `package.json` alone does not.
const LOCK_FILES: [&str; 6] =
    ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb"];

/// What changes the outcome with the same lock file.
const BESIDE: [&str; 11] = [
    "package.json",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    ".pnpmfile.cjs",
    "pnpmfile.js",
    "bunfig.toml",
    ".nvmrc",
    ".node-version",
    ".tool-versions",
    ".python-version",
];

/// Directories of patches that are applied to what is installed.
const PATCHES: [&str; 2] = ["patches", ".yarn/patches"];

/// Scripts of the app's own that run with every installation: they may read and write anything.
const SCRIPTS: [&str; 4] = ["preinstall", "install", "postinstall", "prepare"];

/// Variables by which package managers are told what to do, lower case: whole names, and beginnings.
const VARIABLES: [&str; 2] = ["node_env", "node_options"];
const PREFIXES: [&str; 8] = ["npm_config_", "yarn_", "pnpm_", "bun_", "pip_", "uv_", "poetry_", "bundle_"];

/// Runtimes: the program that tells its version, and the programs that stand for it.
const RUNTIMES: [(&str, &[&str]); 6] = [
    ("node", &["npm", "npx", "pnpm", "pnpx", "yarn", "corepack"]),
    ("bun", &["bunx"]),
    ("deno", &[]),
    ("python3", &["python", "pip", "pip3", "uv", "poetry", "pipenv"]),
    ("ruby", &["bundle", "bundler", "gem", "rake"]),
    ("php", &["composer"]),
];

impl HostWorld {
    /// Installs what the app depends on. True when that of another release was used; and its key, when it has one.
    ///
    /// The command gets the environment that all of the app has, and not what `[[service]] env` gives to one service:
    /// services may differ, and a build needs what `NODE_ENV=production` would leave out.
    pub(super) async fn install(
        &self,
        at: &Place<'_>,
        store: &ContentStore,
    ) -> Result<(bool, Option<String>), StepError> {
        let build = &self.ctx.config.build;
        let Some(install) = &build.install else { return Ok((false, None)) };
        let key = match self.key(install, at).await? {
            Ok(key) => Some(key),
            Err(why) => {
                let (en, zh) = (why.en, why.zh);
                self.progress(
                    at.step,
                    safelight_engine::text!("dependencies are installed anew: {en}", "重新安装依赖：{zh}"),
                );
                None
            }
        };
        if let Some(key) = &key {
            let (s, t, k) = (store.clone(), at.cwd.to_path_buf(), key.clone());
            if blocking(move || s.restore_deps(&k, &t)).await?.map_err(failed)? {
                self.progress(
                    at.step,
                    Text::new(
                        "dependencies unchanged: reused, nothing installed",
                        "依赖未变：直接复用，未安装",
                    ),
                );
                return Ok((true, Some(key.clone())));
            }
        }
        self.command(install, at).await?;
        if let Some(key) = &key {
            let dirs = if build.dependency_dirs.is_empty() {
                vec!["node_modules".to_owned()]
            } else {
                build.dependency_dirs.clone()
            };
            let (s, t, k) = (store.clone(), at.cwd.to_path_buf(), key.clone());
            blocking(move || s.save_deps(&k, &t, &dirs)).await?.map_err(failed)?;
        }
        Ok((false, key))
    }

    /// The key of this installation, or why it may have none.
    async fn key(&self, install: &CommandLine, at: &Place<'_>) -> Result<Result<String, Text>, StepError> {
        let (config, release) = (self.ctx.config.clone(), at.cwd.to_path_buf());
        let (build, line) = (config.build.clone(), install.clone());
        let files = match blocking(move || deciding_files(&build, &line, &release)).await? {
            Ok(files) => files,
            Err(why) => return Ok(Err(why)),
        };
        let mut env = self.path_env();
        env.extend(at.env.vars.iter().map(|(k, v)| (k.clone(), v.clone())));
        let mut versions = Vec::new();
        for program in runtimes(&config, install, &files) {
            let mut cmd = Cmd::new([program.as_str(), "--version"]).cwd(at.cwd);
            cmd.env.clone_from(&env);
            match self.ctx.host.run(&cmd).await {
                // Started in the release: version managers choose by the directory.
                Ok(o) if o.ok() && !o.text().trim().is_empty() => {
                    versions.push(format!("{program} {}", o.text().trim()));
                }
                _ => {
                    return Ok(Err(safelight_engine::text!(
                        "`{program} --version` does not tell which version the app runs on",
                        "`{program} --version` 无法给出应用所用的版本"
                    )));
                }
            }
        }
        let mut vars: Vec<(String, String)> = env.into_iter().filter(|(k, _)| decides(k)).collect();
        vars.sort();
        Ok(Ok(deps_key(&DepsInput {
            lock_files: &files,
            runtime: &versions.join("\n"),
            install: &install.display(),
            env: &vars,
        })))
    }
}

/// Does this variable tell a package manager what to install?
fn decides(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    VARIABLES.contains(&name.as_str()) || PREFIXES.iter().any(|p| name.starts_with(p))
}

/// Every file that decides what an installation makes; or why that cannot be told.
fn deciding_files(
    build: &Build,
    install: &CommandLine,
    release: &Path,
) -> Result<Vec<(String, Vec<u8>)>, Text> {
    let mut files = Vec::new();
    let mut take = |name: &str, path: &Path| -> Result<bool, Text> {
        match std::fs::read(path) {
            Ok(bytes) => {
                files.push((name.to_owned(), bytes));
                Ok(true)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(e) => Err(safelight_engine::text!("{name} cannot be read: {e}", "无法读取 {name}：{e}")),
        }
    };
    let locks: Vec<&str> = if build.lock_files.is_empty() {
        LOCK_FILES.to_vec()
    } else {
        build.lock_files.iter().map(String::as_str).collect()
    };
    let mut locked = false;
    for name in locks {
        locked |= take(name, &release.join(name))?;
    }
    if !locked {
        return Err(Text::new("there is no lock file", "没有锁文件"));
    }
    for name in BESIDE {
        take(name, &release.join(name))?;
    }
    // A script of the app's own that installs.
    for word in install.display().split_whitespace() {
        let path = release.join(word);
        if path.is_file() {
            take(word, &path)?;
        }
    }
    for dir in PATCHES {
        for name in below(release, dir)
            .map_err(|e| safelight_engine::text!("{dir} cannot be read: {e}", "无法读取 {dir}：{e}"))?
        {
            take(&name, &release.join(&name))?;
        }
    }
    if let Some(home) = std::env::var_os("HOME") {
        take("~/.npmrc", &Path::new(&home).join(".npmrc"))?;
    }
    // Whoever names the directories has named all that is made.
    if build.dependency_dirs.is_empty() {
        only_one_tree(release)?;
    }
    Ok(files)
}

/// Files below a directory of the release, in order, links not followed.
fn below(release: &Path, dir: &str) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(release.join(dir)) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(found);
        }
        Err(e) => return Err(e),
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{dir}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            found.extend(below(release, &name)?);
        } else {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}

/// Refuses what is not all in one `node_modules`: it would be kept in part.
fn only_one_tree(release: &Path) -> Result<(), Text> {
    let several = |what: &str| {
        Err(safelight_engine::text!(
            "{what}: what is installed is in several places; `dependency-dirs` can name them all",
            "{what}：依赖安装在多个位置；可用 `dependency-dirs` 列出全部"
        ))
    };
    for name in ["pnpm-workspace.yaml", "lerna.json"] {
        if release.join(name).exists() {
            return several(name);
        }
    }
    let text = match std::fs::read(release.join("package.json")) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => {
            return Err(safelight_engine::text!(
                "package.json cannot be read: {e}",
                "无法读取 package.json：{e}"
            ));
        }
    };
    // A byte order mark is none of JSON's, and npm reads over it.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let package: serde_json::Value = serde_json::from_slice(text).map_err(|e| {
        safelight_engine::text!("package.json is no JSON: {e}", "package.json 不是 JSON：{e}")
    })?;
    if package.get("workspaces").is_some_and(|w| !w.is_null()) {
        return several("`workspaces` in package.json");
    }
    match SCRIPTS.iter().find(|s| package["scripts"].get(**s).is_some()) {
        Some(script) => Err(safelight_engine::text!(
            "the script `{script}` in package.json may make anything; `dependency-dirs` can name what it makes",
            "package.json 中的脚本 `{script}` 可能生成任何内容；可用 `dependency-dirs` 列出其产物"
        )),
        None => Ok(()),
    }
}

/// Programs that tell the versions of what the app runs on: by what installs and starts it, and by its lock files.
fn runtimes(config: &Config, install: &CommandLine, files: &[(String, Vec<u8>)]) -> BTreeSet<String> {
    let lines = std::iter::once(install).chain(config.services.iter().map(|s| &s.command));
    let mut found = BTreeSet::new();
    for line in lines.map(CommandLine::display) {
        // Also behind `env A=b` or `&&`. A path there is an argument as likely as a program, and is not run.
        let programs = line.split_whitespace().enumerate().filter(|(n, word)| *n == 0 || !word.contains('/'));
        found.extend(programs.filter_map(|(_, word)| runtime_of(word)));
    }
    let runtime = &config.runtime;
    if runtime.node.is_some() || runtime.npm.is_some() || runtime.node_dir.is_some() {
        found.insert("node".to_owned());
    }
    for (name, _) in files {
        match name.as_str() {
            "package-lock.json" | "npm-shrinkwrap.json" | "pnpm-lock.yaml" | "yarn.lock" => {
                found.insert("node".to_owned());
            }
            "bun.lock" | "bun.lockb" => {
                found.insert("bun".to_owned());
            }
            _ => {}
        }
    }
    found
}

/// The program to ask for a version: the interpreter itself as it was named, or the one that a tool belongs to.
fn runtime_of(program: &str) -> Option<String> {
    let base = program.rsplit('/').next().unwrap_or(program);
    let plain = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    for (name, others) in RUNTIMES {
        if name.trim_end_matches('3') == plain {
            return Some(program.to_owned());
        }
        if others.contains(&base) {
            return Some(name.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn line(text: &str) -> CommandLine {
        serde_json::from_value(serde_json::Value::from(text)).unwrap()
    }

    fn names(build: &Build, files: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let dir = release(files);
        deciding_files(build, &line("sh install.sh"), dir.path())
            .map(|f| f.into_iter().map(|(n, _)| n).filter(|n| n != "~/.npmrc").collect())
            .map_err(|why| why.en)
    }

    #[test]
    fn everything_that_decides_an_installation_is_in_its_key() {
        let files = [
            ("package.json", "{}"),
            ("package-lock.json", "{}"),
            (".npmrc", "omit=dev\n"),
            ("patches/a.patch", "a"),
            ("patches/more/b.patch", "b"),
            ("install.sh", "npm ci"),
            ("server.js", ""),
        ];
        let found = names(&Build::default(), &files).unwrap();
        let wanted = [
            "package-lock.json",
            "package.json",
            ".npmrc",
            "install.sh",
            "patches/a.patch",
            "patches/more/b.patch",
        ];
        assert_eq!(found, wanted);
        for name in ["NODE_ENV", "npm_config_omit", "NPM_CONFIG_OMIT", "YARN_ENABLE_SCRIPTS"] {
            assert!(decides(name), "{name}");
        }
        assert!(!decides("DATABASE_URL") && !decides("NODE_ENVIRONMENT"));
    }

    #[test]
    fn what_is_not_locked_or_not_kept_whole_is_never_used_again() {
        let lock = ("package-lock.json", "{}");
        for (files, why) in [
            (vec![("package.json", "{}")], "no lock file"),
            (
                vec![lock, ("package.json", "{\"workspaces\": [\"packages/*\"]}")],
                "`workspaces` in package.json",
            ),
            (vec![("pnpm-lock.yaml", ""), ("pnpm-workspace.yaml", "")], "pnpm-workspace.yaml"),
            (
                vec![lock, ("package.json", "{\"scripts\": {\"postinstall\": \"prisma generate\"}}")],
                "`postinstall`",
            ),
            (vec![lock, ("package.json", "{,}")], "package.json is no JSON"),
        ] {
            let said = names(&Build::default(), &files).unwrap_err();
            assert!(said.contains(why), "{files:?}: {said}");
        }
        // Whoever names all that is made may have it kept.
        let build = Build {
            dependency_dirs: vec!["node_modules".into(), "a/node_modules".into()],
            ..Build::default()
        };
        assert!(names(&build, &[lock, ("package.json", "{\"workspaces\": [\"a\"]}")]).is_ok());
        let build = Build { lock_files: vec!["deps.lock".into()], ..Build::default() };
        assert!(names(&build, &[lock]).unwrap_err().contains("no lock file"));
    }

    #[test]
    fn the_runtime_is_the_one_that_the_app_uses() {
        let asked = |program: &str| runtime_of(program).unwrap_or_default();
        assert_eq!(asked("npm"), "node");
        assert_eq!(asked("/opt/node-22/bin/node"), "/opt/node-22/bin/node");
        assert_eq!(asked("poetry"), "python3");
        assert_eq!(asked("python3.11"), "python3.11");
        assert_eq!(asked("bundle"), "ruby");
        assert_eq!(asked("./server"), "");
        let config = "[app]\nname = \"shop\"\n[[service]]\nname = \"web\"\ncommand = \"bundle exec puma\"\npath = \"/\"\n\
                      [env.production]\nurl = \"http://shop.localhost\"\n";
        let config = safelight_engine::config::load::parse_stored(config).unwrap();
        let of = |install: &str, lock: &str| {
            let files = [(lock.to_owned(), Vec::new())];
            runtimes(&config, &line(install), &files).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of("bundle install", "Gemfile.lock"), ["ruby"], "node is not asked");
        assert_eq!(of("sh install.sh", "yarn.lock"), ["node", "ruby"]);
        assert_eq!(
            of("NODE_ENV=x npm ci && pip install -r x/python", "deps.lock"),
            ["node", "python3", "ruby"]
        );
    }
}
