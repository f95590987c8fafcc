//! Process managers: the user's PM2, or detached processes of our own.
//! They start, stop and describe processes; whether one is healthy is for others to say.

pub mod detached;
mod group;
pub mod pm2;
mod pm2_left;
mod pm2_list;
mod pm2_rpc;
pub(crate) mod record;
mod rotate;
pub mod shim;

pub use detached::Detached;
pub use pm2::Pm2;

pub use rotate::{LogLimits, rotate};

use safelight_engine::driver::{
    host::{HostError, HostErrorKind},
    process::{LogFiles, ProcessSpec},
};
use std::path::Path;

/// Longest name: it becomes a file name with endings of its own.
const NAME_MAX: usize = 150;

/// Refuses names that could leave a directory, be taken for an option, or mean something else to a process manager.
/// PM2 reads numbers as ids, `all` as everything and `/x/` as a pattern.
fn validate_name(name: &str) -> Result<(), HostError> {
    let refuse = |why: &str| {
        Err(HostError::new(
            HostErrorKind::Other,
            format!("process name {name:?}"),
            format!("{why}; use the form `app.environment.service.release`"),
        ))
    };
    if name.len() > NAME_MAX {
        return refuse("longer than 150 characters");
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return refuse("does not begin with a letter or digit");
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return refuse("has a character other than letters, digits, `.`, `-` and `_`");
    }
    if name == "all" || !name.contains(|c: char| c.is_ascii_alphabetic()) {
        return refuse("is `all` or a number, which process managers read as something else");
    }
    Ok(())
}

/// Refuses what no system can start.
fn validate_spec(spec: &ProcessSpec) -> Result<(), HostError> {
    validate_name(&spec.name)?;
    let refuse = |why: String| Err(HostError::new(HostErrorKind::Other, format!("start {}", spec.name), why));
    if spec.argv.first().is_none_or(String::is_empty) {
        return refuse("its command is empty".to_owned());
    }
    if spec.argv.iter().any(|a| a.contains('\0')) {
        return refuse("an argument contains a NUL character".to_owned());
    }
    for (key, value) in &spec.env {
        if key.is_empty() || key.contains(['=', '\0']) {
            return refuse(format!("{key:?} cannot be the name of a variable"));
        }
        if value.contains('\0') {
            return refuse(format!("the value of {key} contains a NUL character"));
        }
    }
    if !spec.cwd.is_dir() {
        return Err(HostError::new(
            HostErrorKind::NotFound,
            format!("start {}", spec.name),
            format!("its working directory {} does not exist", spec.cwd.display()),
        ));
    }
    Ok(())
}

/// The program of `spec` as a full path, looked up as the process itself would: on its own `PATH`, from its own
/// directory.
fn resolve_program(spec: &ProcessSpec) -> Result<std::path::PathBuf, HostError> {
    let path = spec.env.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    let program = spec.argv.first().map_or("", String::as_str);
    crate::host::exec::find_on(path, program, &spec.cwd).ok_or_else(|| {
        HostError::new(
            HostErrorKind::NotFound,
            format!("start {}", spec.name),
            format!("{program} is not an executable file (looked on its PATH, {path})"),
        )
    })
}

/// The log files of a process.
fn log_files(dir: &Path, name: &str) -> LogFiles {
    LogFiles { stdout: dir.join(format!("{name}.out.log")), stderr: dir.join(format!("{name}.err.log")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_else_to_a_manager_or_a_file_system_are_refused() {
        for bad in ["", "all", "12", "1.2", "-x", "/x/", "../x", ".x", "a b", "a/b", "é", &"x".repeat(151)] {
            assert!(validate_name(bad).is_err(), "{bad:?}");
        }
        for good in ["filmtrip.production.web.r12", "a", "0a_b-c"] {
            assert!(validate_name(good).is_ok(), "{good:?}");
        }
    }
}
