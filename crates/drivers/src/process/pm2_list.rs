//! What `pm2 jlist` prints, as far as Safelight reads it. The rest holds every variable of every app and is dropped
//! at once.

use safelight_engine::driver::process::{ProcessState, ProcessStatus};
use serde::Deserialize;
use std::path::PathBuf;

/// One app in PM2's list.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) pm_id: u64,
    #[serde(default)]
    pub(super) pid: Option<u32>,
    #[serde(default)]
    monit: Monit,
    pub(super) pm2_env: Env,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct Monit {
    #[serde(default)]
    memory: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Env {
    #[serde(default)]
    status: String,
    #[serde(default)]
    pub(super) namespace: Option<String>,
    #[serde(default)]
    restart_time: Option<u32>,
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    pub(super) pm_out_log_path: Option<PathBuf>,
    #[serde(default)]
    pub(super) pm_err_log_path: Option<PathBuf>,
}

impl Entry {
    pub(super) fn status(&self) -> ProcessStatus {
        let state = match self.pm2_env.status.as_str() {
            "online" => ProcessState::Running,
            "launching" | "waiting restart" | "one-launch-status" => ProcessState::Restarting,
            _ => ProcessState::Stopped,
        };
        let running = state == ProcessState::Running;
        ProcessStatus {
            name: self.name.clone(),
            state,
            pid: self.pid.filter(|pid| *pid > 0 && running),
            restarts: self.pm2_env.restart_time.unwrap_or(0),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "bytes, never negative"
            )]
            memory: self.monit.memory.filter(|m| *m > 0.0 && running).map(|m| m as u64),
            last_exit: self.pm2_env.exit_code.map(|code| match code {
                0 => "exit status 0 or a signal (PM2 does not tell which)".to_owned(),
                code => format!("exit status {code}"),
            }),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        self.pm2_env.namespace.as_deref().unwrap_or("default")
    }
}

/// Finds the list in the output. PM2 prints notices before it (a daemon was started, versions differ, Node warns), and
/// some of them begin with `[` as well.
pub(super) fn parse(output: &str) -> Option<Vec<Entry>> {
    output.match_indices('[').find_map(|(at, _)| {
        let rest = output.get(at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Vec<Entry>>();
        let list = values.next()?.ok()?;
        // Whatever follows the true list is not more JSON of this line.
        rest.get(values.byte_offset()..)?.lines().next().unwrap_or("").trim().is_empty().then_some(list)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"[{"pid":41,"name":"a.r1","pm_id":0,"monit":{"memory":123.0,"cpu":0},
        "pm2_env":{"status":"online","namespace":"safelight","restart_time":2,"exit_code":1,"SECRET":"x"}}]"#;

    #[test]
    fn the_list_is_found_behind_notices() {
        let noisy = format!(
            "[PM2] Spawning PM2 daemon with pm2_home=/x\n(node:1) [DEP0040] Warning\n>>>> In-memory PM2 is \
             out-of-date\n[PM2][WARN] []odd\n{ONE}\n"
        );
        let list = parse(&noisy).unwrap();
        assert_eq!(list, parse(ONE).unwrap());
        let status = list[0].status();
        assert_eq!((status.state, status.pid, status.restarts), (ProcessState::Running, Some(41), 2));
        assert_eq!((status.memory, status.last_exit.as_deref()), (Some(123), Some("exit status 1")));
    }

    #[test]
    fn an_empty_list_is_a_list_and_no_list_is_not() {
        assert_eq!(parse("[PM2] hello\n[]\n"), Some(Vec::new()));
        assert_eq!(parse("[PM2] Error: connect ECONNREFUSED\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn every_state_of_pm2_is_one_of_ours() {
        for (theirs, ours) in [
            ("online", ProcessState::Running),
            ("waiting restart", ProcessState::Restarting),
            ("launching", ProcessState::Restarting),
            ("stopping", ProcessState::Stopped),
            ("errored", ProcessState::Stopped),
            ("stopped", ProcessState::Stopped),
        ] {
            let list = parse(&ONE.replace("\"online\"", &format!("\"{theirs}\""))).unwrap();
            assert_eq!(list[0].status().state, ours, "{theirs}");
        }
    }
}
