//! The health gate: an answer counts when the release's own process gave it.
//! Anybody may answer at a port: the same app of another environment, say, while this one dies of "address in use".

use super::{HostWorld, StepError, failed};
use safelight_engine::{
    driver::{
        host::{Listener, ProcessInfo, descends},
        process::{ProcessState, ProcessStatus},
    },
    text::Text,
};
use std::{collections::HashMap, net::SocketAddr};

impl HostWorld {
    /// Why an answer from `addr` is not one of the process `name`; `None` when it is. `before` is how the process was before
    /// it was asked.
    ///
    /// # Errors
    /// When the process manager or the host cannot be asked.
    pub(super) async fn not_its_own(
        &self,
        name: &str,
        addr: SocketAddr,
        before: Option<&ProcessStatus>,
    ) -> Result<Option<Text>, StepError> {
        let now = self.ctx.manager.status(name).await.map_err(failed)?;
        let same = |a: &ProcessStatus, b: &ProcessStatus| a.pid == b.pid && a.restarts == b.restarts;
        let ran =
            now.as_ref().zip(before).is_some_and(|(n, b)| n.state == ProcessState::Running && same(n, b));
        if !ran {
            return Ok(Some(safelight_engine::text!(
                "something answers at {addr}, but the process itself does not run or was started again meanwhile",
                "{addr} 有应答，但该进程本身未在运行，或期间被重启"
            )));
        }
        let own = self.ctx.manager.pids(name).await.map_err(failed)?;
        let listeners = self.ctx.host.listeners().await.map_err(failed)?;
        let parents = self.ctx.host.processes().await.map_err(failed)?;
        let parents = parents.iter().map(|p| (p.pid, p.parent)).collect();
        Ok(stranger(&listeners, addr, &own, &parents))
    }
}

/// Can this listener be the one that answers at `addr`?
fn takes(l: &Listener, addr: SocketAddr) -> bool {
    let at = l.addr.to_canonical();
    let wildcard = at.is_unspecified() && (at.is_ipv4() == addr.is_ipv4() || l.v6only != Some(true));
    l.port == addr.port() && (at == addr.ip() || wildcard)
}

/// Who else than the process (`own`) and what it has started may have answered at `addr`.
fn stranger(
    listeners: &[Listener],
    addr: SocketAddr,
    own: &[u32],
    parents: &HashMap<u32, u32>,
) -> Option<Text> {
    let mut heard = false;
    for l in listeners.iter().filter(|l| takes(l, addr)) {
        heard = true;
        match &l.owner {
            Some(p) if descends(p.pid, own, parents) => {}
            Some(p) => {
                let who = shown(p);
                return Some(safelight_engine::text!(
                    "another process answers at {addr}: {who}",
                    "应答 {addr} 的是另一个进程：{who}"
                ));
            }
            None => {
                return Some(safelight_engine::text!(
                    "something answers at {addr}, and this user may not see which process it is",
                    "{addr} 有应答，但当前用户无权查看是哪个进程"
                ));
            }
        }
    }
    (!heard).then(|| {
        safelight_engine::text!(
            "something answers at {addr}, but no process is seen to listen there",
            "{addr} 有应答，但看不到监听它的进程"
        )
    })
}

fn shown(p: &ProcessInfo) -> String {
    let place = p.cwd.as_ref().map(|c| format!(", in {}", c.display())).unwrap_or_default();
    format!("{} (pid {}, {}{place})", p.command, p.pid, p.user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(addr: &str, pid: Option<u32>, v6only: Option<bool>) -> Listener {
        let addr: SocketAddr = addr.parse().unwrap();
        let owner = pid.map(|pid| ProcessInfo {
            pid,
            parent: 1,
            start_ticks: 1,
            name: "node".into(),
            exe: None,
            command: "node server.js".into(),
            user: "www".into(),
            cwd: Some("/srv/staging".into()),
        });
        Listener { addr: addr.ip(), port: addr.port(), v6only, owner }
    }

    fn judge(listeners: &[Listener]) -> Option<String> {
        // 21 was started by 20, which is of the process; 90 is somebody else's.
        let parents = [(21, 20), (20, 1), (90, 1)].into_iter().collect();
        stranger(listeners, "127.0.0.1:3001".parse().unwrap(), &[20], &parents).map(|t| t.en)
    }

    #[test]
    fn the_process_and_what_it_started_may_answer() {
        assert_eq!(judge(&[listener("127.0.0.1:3001", Some(20), None)]), None);
        assert_eq!(judge(&[listener("0.0.0.0:3001", Some(21), None)]), None);
        assert_eq!(judge(&[listener("[::]:3001", Some(20), Some(false))]), None);
        // Another address or port is nobody's business.
        let elsewhere = [
            listener("127.0.0.1:3001", Some(20), None),
            listener("127.0.0.2:3001", Some(90), None),
            listener("127.0.0.1:3002", Some(90), None),
            listener("[::]:3001", Some(90), Some(true)),
        ];
        assert_eq!(judge(&elsewhere), None);
    }

    #[test]
    fn anybody_else_may_not() {
        let other = judge(&[listener("127.0.0.1:3001", Some(90), None)]).unwrap();
        assert_eq!(
            other,
            "another process answers at 127.0.0.1:3001: node server.js (pid 90, www, in /srv/staging)"
        );
        // Two share the port: nobody knows which of them answers.
        let shared = [listener("127.0.0.1:3001", Some(20), None), listener("0.0.0.0:3001", Some(90), None)];
        assert!(judge(&shared).unwrap().contains("another process"));
        assert!(judge(&[listener("127.0.0.1:3001", None, None)]).unwrap().contains("may not see"));
        assert!(judge(&[listener("[::]:3001", Some(90), None)]).unwrap().contains("another process"));
        assert!(judge(&[]).unwrap().contains("no process is seen"));
    }
}
