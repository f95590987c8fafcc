//! Where steps meet the proxy, and what they do while it is away for a moment: killed and not yet started again, or
//! being upgraded.

use super::{HostWorld, Step, StepError, failed};
use safelight_engine::{driver::host::HostErrorKind, text::Text};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

/// Most requests held while one process is exchanged for another.
pub(super) const HOLD_QUEUE: u32 = 2_000;
/// How long a step waits for a proxy that is away. Its supervisor starts it again within a second.
const PROXY_PATIENCE: Duration = Duration::from_secs(10);
/// How long an exchange waits for a proxy that cannot hold: after its upgrade that is until its predecessor has ended.
const HOLD_PATIENCE: Duration = Duration::from_secs(90);
/// The same for the way back: users who wait for it get the old release soon, some of them after an error.
const HOLD_PATIENCE_UNDO: Duration = Duration::from_secs(5);

impl HostWorld {
    /// Where the proxy listens in plain HTTP. Waits for one that is just being started again: what asks next would
    /// take its absence for a fault of the release.
    pub(super) async fn proxy_answers(&self) -> Result<Vec<SocketAddr>, StepError> {
        let until = Instant::now() + PROXY_PATIENCE;
        loop {
            match self.ctx.traffic.listen().await {
                Err(e) if e.kind == HostErrorKind::Unreachable && Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                answer => return answer.map_err(failed),
            }
        }
    }

    /// How `host` is reached at the proxy on this machine: in plain HTTP where the proxy takes that, else over TLS.
    pub(super) async fn at_the_proxy(&self, host: &str) -> Result<(String, SocketAddr), StepError> {
        let plain = self.proxy_answers().await?.first().copied();
        let (scheme, mut addr) = match plain {
            Some(addr) => ("http", addr),
            None => {
                let tls = self.ctx.traffic.listen_tls().await.map_err(failed)?;
                let first = tls.first().copied().ok_or_else(|| {
                    StepError::new(Text::new("the proxy listens nowhere", "代理没有监听任何地址")).with_help(
                        Text::new(
                            "`safelight host stop --proxy`, then `safelight host start --listen 127.0.0.1:8080`",
                            "先 `safelight host stop --proxy`，再 `safelight host start --listen 127.0.0.1:8080`",
                        ),
                    )
                })?;
                ("https", first)
            }
        };
        if addr.ip().is_unspecified() {
            addr.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        Ok((format!("{scheme}://{host}:{}", addr.port()), addr))
    }

    /// Has the proxy hold requests to a service. Going forwards nothing has changed yet and there is time; going back
    /// an exchange that some users notice is better than none.
    pub(super) async fn hold(
        &self,
        step: &Step,
        service: &str,
        hold_for: Duration,
        undo: bool,
    ) -> Result<(), StepError> {
        let app = self.ctx.route_name();
        let until = Instant::now() + if undo { HOLD_PATIENCE_UNDO } else { HOLD_PATIENCE };
        let mut told = false;
        loop {
            let e = match self.ctx.traffic.hold(&app, service, hold_for, HOLD_QUEUE).await {
                Ok(()) => return Ok(()),
                Err(e) => e,
            };
            if e.kind == HostErrorKind::Unreachable && Instant::now() < until {
                if !told {
                    self.progress(step, safelight_engine::text!("waiting: {e}", "等待：{e}"));
                    told = true;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            if !undo {
                return Err(failed(e));
            }
            self.progress(
                step,
                safelight_engine::text!(
                    "requests are not held, some may fail while {service} is exchanged: {e}",
                    "请求未暂存，更换 {service} 期间可能有请求失败：{e}"
                ),
            );
            return Ok(());
        }
    }
}

/// A journey that failed at a proxy that takes TLS only: the test host name needs a certificate there.
pub(super) fn tls_only(base: &str, e: StepError) -> StepError {
    if !base.starts_with("https://") {
        return e;
    }
    e.with_help(Text::new(
        "the proxy takes TLS only, so `test-host` needs a certificate in [env.….tls] that is trusted here; or give the proxy a plain address for tests: `--listen 127.0.0.1:8080`",
        "代理只监听 TLS，因此 `test-host` 需要在 [env.….tls] 中有本机信任的证书；也可给代理加一个明文地址供测试：`--listen 127.0.0.1:8080`",
    ))
}
