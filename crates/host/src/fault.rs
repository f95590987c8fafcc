//! Where tests stop or kill the daemon. Present in debug builds only, and only when `SAFELIGHT_FAULTS` names a directory.

use safelight_engine::run::executor::FaultPoint;

/// At each point the point's name is added to `points` in that directory. A file there named like the point
/// (`:` written as `_`) holds what to do: `kill` ends this process with SIGKILL, `pause` waits until the file is gone.
#[cfg(debug_assertions)]
pub(crate) fn from_env() -> Option<FaultPoint> {
    use std::{io::Write as _, path::PathBuf, sync::Arc, time::Duration};
    let dir = PathBuf::from(std::env::var_os("SAFELIGHT_FAULTS")?);
    Some(Arc::new(move |point: &str| {
        if let Ok(mut f) = std::fs::OpenOptions::new().append(true).create(true).open(dir.join("points")) {
            let _ = writeln!(f, "{point}");
        }
        let order = dir.join(point.replace(':', "_"));
        // The daemon goes on answering while a run is paused.
        tokio::task::block_in_place(|| {
            loop {
                match std::fs::read_to_string(&order).as_deref().map(str::trim) {
                    Ok("kill") => {
                        let _ = std::fs::remove_file(&order);
                        let _ = rustix::process::kill_process(
                            rustix::process::getpid(),
                            rustix::process::Signal::KILL,
                        );
                    }
                    Ok("pause") => std::thread::sleep(Duration::from_millis(10)),
                    _ => return,
                }
            }
        });
    }))
}

#[cfg(not(debug_assertions))]
pub(crate) fn from_env() -> Option<FaultPoint> {
    None
}
