//! What a release keeps of its own, beside its files: its configuration and its journeys. Whatever is done with it later
//! is done by these. The configuration of the working directory is that of the release that comes next.

use crate::{
    context::{self, Context},
    paths::{AppDirs, private_dir, write_whole},
    store::StoreError,
};
use safelight_engine::{
    config::{self, App, Config},
    driver::{env::EnvFile, host::HostError},
};
use safelight_journeys::Journey;
use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

/// Whose configuration a context holds.
#[derive(Clone, Debug)]
pub struct Own {
    /// Id of the release.
    pub release: String,
    /// Where it was found.
    pub origin: Origin,
}

/// Where the configuration of a release was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Kept with the release.
    Kept,
    /// With the run that deployed the release, which is older than the keeping. Its journeys were not kept.
    Run,
    /// Nowhere: it is that of the context that was asked.
    Present,
}

const CONFIG: &str = "safelight.toml";

impl Context {
    /// The context of a release: its own configuration and journeys. Limits and thresholds stay those of `self`, and so do
    /// the window and the waivers: they say what is acceptable now.
    ///
    /// # Errors
    /// When the host's memory cannot be read.
    pub fn of(&self, release: &str) -> Result<Self, StoreError> {
        let mut of = self.clone();
        let found = self.own_config(release)?;
        let origin = found.as_ref().map_or(Origin::Present, |(_, o)| *o);
        of.own = Some(Own { release: release.to_owned(), origin });
        let Some((mut own, mut env)) =
            found.and_then(|(c, _)| c.environments.get(&self.env_name).cloned().map(|e| (c, e)))
        else {
            return Ok(of);
        };
        if (env.process, &env.pm2, &env.pm2_home) != (self.env.process, &self.env.pm2, &self.env.pm2_home) {
            of.manager = context::manager(&env, &self.project, &self.dirs, &self.shim);
        }
        // Certificates are files of the machine: where they have moved, the present ones are served.
        if let (Some(tls), Some(now)) = (&mut env.tls, &self.env.tls) {
            let there = |c: config::CertificateFiles| c.certificate.is_file() && c.key.is_file();
            if !tls.certificates.iter().all(|c| there(c.below(&self.project))) {
                tls.certificates.clone_from(&now.certificates);
            }
        }
        of.database = own.database.as_ref().map(|d| context::database(d, &self.dirs));
        let now = &self.config;
        // What cannot be tried in a rehearsal cannot be tried there with the old release either.
        own.journeys.skip_in_rehearsal.extend(now.journeys.skip_in_rehearsal.iter().cloned());
        of.config = Arc::new(Config {
            app: App { name: own.app.name, keep_releases: now.app.keep_releases },
            watch: now.watch.clone(),
            checks: now.checks.clone(),
            window: now.window.clone(),
            risks: now.risks.clone(),
            waivers: now.waivers.clone(),
            ..own
        });
        of.env = Arc::new(env);
        Ok(of)
    }

    /// The run that deployed a release has its configuration, too: that is the way out when what was kept is damaged.
    fn own_config(&self, release: &str) -> Result<Option<(Config, Origin)>, StoreError> {
        let path = self.dirs.own(release).join(CONFIG);
        let kept = match std::fs::read_to_string(&path) {
            Ok(text) => self.readable(&text, &path.to_string_lossy()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => {
                tracing::error!("{}: {e}", path.display());
                None
            }
        };
        if let Some(config) = kept {
            return Ok(Some((config, Origin::Kept)));
        }
        let run = self.store.deploy_of(self.app(), &self.env_name, release)?;
        Ok(run.and_then(|r| self.readable(&r.config, &r.id)).map(|c| (c, Origin::Run)))
    }

    fn readable(&self, text: &str, place: &str) -> Option<Config> {
        match config::load::parse_stored(text) {
            Ok(c) if c.environments.contains_key(&self.env_name) => Some(c),
            Ok(_) => {
                tracing::error!("the configuration in {place} has no [env.{}]", self.env_name);
                None
            }
            Err(e) => {
                tracing::error!("the configuration in {place} cannot be read: {e}");
                None
            }
        }
    }

    /// The journeys: of a release those it keeps, else those of the working directory.
    #[must_use]
    pub fn journey_files(&self) -> Vec<PathBuf> {
        self.config.journeys.files.iter().enumerate().map(|(i, f)| self.journey_file(i, f)).collect()
    }

    /// Those that a rehearsal runs.
    pub(crate) fn rehearsed_journeys(&self) -> Vec<PathBuf> {
        let j = &self.config.journeys;
        let some = j.files.iter().enumerate().filter(|(_, f)| !j.skip_in_rehearsal.contains(f));
        some.map(|(i, f)| self.journey_file(i, f)).collect()
    }

    fn journey_file(&self, index: usize, file: &Path) -> PathBuf {
        let of = self.own.as_ref().filter(|o| o.origin == Origin::Kept);
        let kept = of.and_then(|o| kept_journey(&self.dirs.own(&o.release), index, file));
        kept.filter(|k| k.is_file()).unwrap_or_else(|| self.project.join(file))
    }

    /// The environment that journeys take their secrets from: the one that the release runs with.
    pub(crate) async fn journey_env(&self) -> Result<EnvFile, HostError> {
        let own = self.own.as_ref().filter(|o| o.origin != Origin::Present);
        match own.and_then(|o| self.release(&o.release).ok().flatten()) {
            Some(release) => self.release_env(&release).await,
            None => self.read_env_file().await,
        }
    }
}

fn kept_journey(own: &Path, index: usize, file: &Path) -> Option<PathBuf> {
    Some(own.join("journeys").join(index.to_string()).join(file.file_name()?))
}

/// Keeps the configuration of a release, and each journey with the files it reads. Returns the journeys that could not be
/// kept: they are broken, or read what only a run can name.
///
/// # Errors
/// When it cannot be written; nothing half stays in its place.
pub(crate) fn keep(
    dirs: &AppDirs,
    release: &str,
    text: &str,
    config: &Config,
    project: &Path,
) -> io::Result<Vec<PathBuf>> {
    let own = dirs.own(release);
    let making = dirs.releases().join(format!(".{release}.own"));
    forget(&making)?;
    private_dir(&making)?;
    write_whole(&making.join(CONFIG), text.as_bytes())?;
    let mut left = Vec::new();
    for (i, file) in config.journeys.files.iter().enumerate() {
        let variables = &config.journeys.variables;
        let (Some(parts), Some(to)) = (parts(&project.join(file), variables), kept_journey(&making, i, file))
        else {
            left.push(file.clone());
            continue;
        };
        let dir = to.parent().unwrap_or(&making);
        for (name, from) in parts {
            let to = dir.join(name);
            private_dir(to.parent().unwrap_or(dir))?;
            write_whole(&to, &std::fs::read(from)?)?;
        }
    }
    forget(&own)?;
    std::fs::rename(&making, &own)?;
    std::fs::File::open(dirs.releases())?.sync_all()?;
    Ok(left)
}

/// Removes what a release keeps of its own.
pub(crate) fn forget(own: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(own) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// A journey and all it reads: names below its folder, and where they are.
fn parts(file: &Path, variables: &BTreeMap<String, String>) -> Option<Vec<(PathBuf, PathBuf)>> {
    let names = Journey::load(file).ok()?.files(variables)?;
    let root = file.parent()?.canonicalize().ok()?;
    let mut all = vec![(PathBuf::from(file.file_name()?), file.to_owned())];
    for name in names {
        let name = PathBuf::from(name);
        // As the journey may read it, and so that it lies below the folder of the copy as well.
        let inside = name.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        let real =
            root.join(&name).canonicalize().ok().filter(|r| inside && r.starts_with(&root) && r.is_file())?;
        all.push((name, real));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[app]\nname = \"shop\"\n[[service]]\nname = \"web\"\ncommand = \"serve\"\npath = \"/\"\n\
        [journeys]\nfiles = [\"a/site.hurl\", \"b/site.hurl\", \"gone.hurl\"]\nvariables = { photo = \"p.jpg\" }\n\
        [env.production]\nurl = \"http://shop.localhost\"\n";

    #[test]
    fn journeys_are_kept_with_what_they_read_and_nothing_half_is() {
        let dir = tempfile::tempdir().unwrap();
        let (project, dirs) = (dir.path().join("p"), AppDirs { root: dir.path().join("app") });
        dirs.create().unwrap();
        for (name, text) in [
            ("a/site.hurl", "POST {{base_url}}/\n[Multipart]\nphoto: file,{{photo}};\nHTTP 200\n"),
            ("a/p.jpg", "a photo"),
            ("b/site.hurl", "POST {{base_url}}/\nfile,../secret;\nHTTP 200\n"),
            ("secret", "x"),
        ] {
            let path = project.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let config = config::load::parse(CONFIG, TEXT).unwrap();
        // What an interrupted try has left is replaced.
        std::fs::create_dir_all(dirs.own("r1").join("journeys/7")).unwrap();
        let left = keep(&dirs, "r1", TEXT, &config, &project).unwrap();
        assert_eq!(left, [PathBuf::from("b/site.hurl"), PathBuf::from("gone.hurl")]);
        let own = dirs.own("r1");
        assert_eq!(std::fs::read_to_string(own.join(CONFIG)).unwrap(), TEXT);
        assert_eq!(std::fs::read_to_string(own.join("journeys/0/p.jpg")).unwrap(), "a photo");
        let kept = kept_journey(&own, 0, Path::new("a/site.hurl")).unwrap();
        assert!(kept.is_file() && !own.join("journeys/1").exists() && !own.join("journeys/7").exists());
        let names: Vec<_> =
            std::fs::read_dir(dirs.releases()).unwrap().flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["r1.own"]);
    }
}
