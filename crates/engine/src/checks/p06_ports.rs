//! P6: are the ports free that the app needs?
//! A listener counts by what the kernel would say to a bind, not by its port number alone.

use super::support::{unknown, unknown_host};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::Service,
    driver::host::{HostErrorKind, Listener, descends},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports;

/// Whether a listener keeps others from binding an address at its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blocks {
    Yes,
    No,
    /// It hangs on a socket option that could not be read.
    Perhaps,
}

/// What the kernel says to binding `target` while `listener` holds the same port.
fn blocks(listener: &Listener, target: IpAddr) -> Blocks {
    // An IPv4 address written as IPv6 is that IPv4 address.
    let canonical = |ip: IpAddr| ip.to_canonical();
    let (held, target) = (canonical(listener.addr), canonical(target));
    let yes = |b: bool| if b { Blocks::Yes } else { Blocks::No };
    match (held, target) {
        (IpAddr::V4(a), IpAddr::V4(b)) => yes(a == b || a.is_unspecified() || b.is_unspecified()),
        (IpAddr::V6(a), IpAddr::V6(b)) => yes(a == b || a.is_unspecified() || b.is_unspecified()),
        // A dual-stack `::` holds every IPv4 address too, though it shows in tcp6 only.
        (IpAddr::V6(a), IpAddr::V4(_)) if a.is_unspecified() => match listener.v6only {
            Some(only) => yes(!only),
            None => Blocks::Perhaps,
        },
        (IpAddr::V6(_), IpAddr::V4(_)) => Blocks::No,
        // Binding `::` for both families meets every IPv4 listener; a single IPv6 address does not.
        (IpAddr::V4(_), IpAddr::V6(b)) => yes(b.is_unspecified()),
    }
}

/// Where a service will listen: the address in its `HOST` or `HOSTNAME`, else every address of both families.
fn targets(service: &Service, v6: bool) -> Vec<IpAddr> {
    let named = ["HOST", "HOSTNAME"].iter().find_map(|k| service.env.get(*k)?.parse::<IpAddr>().ok());
    if let Some(ip) = named {
        return vec![ip];
    }
    let mut out = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    if v6 {
        out.push(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    }
    out
}

#[async_trait]
impl Check for Ports {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P6", title: ("Ports", "端口"), risks: &["R6", "R1"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let mut found = Vec::new();
        for service in &ctx.config.services {
            found.push(match service.fixed_port {
                Some(port) => fixed(&spec, ctx, service, port).await,
                None => private(&spec, ctx, service).await,
            });
        }
        found
    }
}

async fn private(spec: &CheckSpec, ctx: &CheckContext, service: &Service) -> Finding {
    let range = super::support::read_text(ctx.host.as_ref(), "/proc/sys/net/ipv4/ip_local_port_range").await;
    let range = range.ok().and_then(|r| {
        let ends: Option<Vec<u16>> = r.split_whitespace().map(|w| w.parse().ok()).collect();
        ends.filter(|e| e.len() == 2).map(|e| format!("{}-{}", e[0], e[1]))
    });
    let finding = match ctx.host.can_bind(Ipv4Addr::LOCALHOST.into(), 0).await {
        Ok(true) => Finding::new(
            spec,
            &service.name,
            Outcome::Pass,
            Text::new(
                "no fixed port: each release gets a free private port of its own",
                "没有固定端口：每个版本使用各自的空闲私有端口",
            ),
        ),
        Ok(false) => Finding::new(
            spec,
            &service.name,
            Outcome::Fail,
            Text::new(
                "the kernel has no free port left on 127.0.0.1",
                "127.0.0.1 上已没有空闲端口可分配",
            ),
        )
        .with_help(Text::new(
            "see who holds them with `ss -s` and `ss -tan | awk '{print $1}' | sort | uniq -c`; widen `net.ipv4.ip_local_port_range`",
            "用 `ss -s`、`ss -tan | awk '{print $1}' | sort | uniq -c` 查看占用；调大 `net.ipv4.ip_local_port_range`",
        )),
        Err(e) => unknown_host(spec, &service.name, &e),
    };
    match range {
        Some(r) => finding.with_fact(Text::new("the kernel's range of ports", "内核端口范围"), r),
        None => finding,
    }
}

struct Holder {
    shown: String,
    own: bool,
}

async fn fixed(spec: &CheckSpec, ctx: &CheckContext, service: &Service, port: u16) -> Finding {
    let subject = format!("{}:{port}", service.name);
    let listeners = match ctx.host.listeners().await {
        Ok(l) => l,
        Err(e) => return unknown_host(spec, subject, &e),
    };
    let v6 = ctx.host.read(Path::new("/proc/net/if_inet6")).await.is_ok_and(|t| !t.is_empty());
    let targets = targets(service, v6);
    let wanted = targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let at_port: Vec<&Listener> = listeners.iter().filter(|l| l.port == port).collect();
    let mut in_the_way = Vec::new();
    for l in at_port {
        let judged: Vec<(IpAddr, Blocks)> = targets.iter().map(|t| (*t, blocks(l, *t))).collect();
        if judged.iter().any(|(_, b)| *b == Blocks::Yes) {
            in_the_way.push(l);
            continue;
        }
        // What cannot be read can be tried.
        for (target, _) in judged.iter().filter(|(_, b)| *b == Blocks::Perhaps) {
            match ctx.host.can_bind(*target, port).await {
                Ok(true) => {}
                Ok(false) => in_the_way.push(l),
                Err(e) => return unknown_host(spec, subject, &e),
            }
        }
    }
    let processes = ctx.host.processes().await.unwrap_or_default();
    let parents: HashMap<u32, u32> = processes.iter().map(|p| (p.pid, p.parent)).collect();
    let mut holders = Vec::new();
    for l in in_the_way {
        let at = std::net::SocketAddr::new(l.addr, l.port);
        let Some(owner) = &l.owner else {
            return unknown(
                spec,
                subject,
                crate::text!(
                    "somebody listens on {at}, and this user may not see who",
                    "{at} 已被占用，但当前用户无权查看占用者"
                ),
                crate::text!(
                    "run `sudo ss -ltnp 'sport = :{port}'` to see the owner, or run the check as root",
                    "执行 `sudo ss -ltnp 'sport = :{port}'` 查看占用者，或以 root 身份运行检查"
                ),
            );
        };
        // The release that serves now is in nobody's way, even when its supervisor has started it again under a pid
        // that is not on record.
        let below = ctx.state.data_dir.as_path();
        let released =
            !below.as_os_str().is_empty() && owner.cwd.as_deref().is_some_and(|c| c.starts_with(below));
        let own =
            descends(owner.pid, &ctx.state.own_pids, &parents) || (ctx.state.current.is_some() && released);
        let place = owner.cwd.as_ref().map(|c| format!(", in {}", c.display())).unwrap_or_default();
        let shown = format!("{at}: {} (pid {}, {}{place})", owner.command, owner.pid, owner.user);
        holders.push(Holder { shown, own });
    }
    let table = |mut f: Finding| {
        f = f.with_fact(Text::new("the service binds", "服务监听地址"), wanted.clone());
        for h in &holders {
            f = f.with_limit(Text::new("held by", "占用者"), &h.shown, "free, or this app");
        }
        f
    };
    if let Some(h) = holders.iter().find(|h| !h.own) {
        let who = &h.shown;
        return table(Finding::new(
            spec,
            subject,
            Outcome::Fail,
            crate::text!("port {port} is taken by {who}", "端口 {port} 已被占用：{who}"),
        ))
        .with_help(crate::text!(
            "stop that process, or give the app another port (`fixed-port`), or let it read `PORT` and drop `fixed-port`; `ss -ltnp 'sport = :{port}'` shows the owner",
            "停掉该进程，或更换应用端口（`fixed-port`），或让应用读取 `PORT` 并去掉 `fixed-port`；`ss -ltnp 'sport = :{port}'` 可查看占用者"
        ));
    }
    if !holders.is_empty() {
        return table(Finding::new(
            spec,
            subject,
            Outcome::Pass,
            crate::text!("port {port} is held by this app itself", "端口 {port} 由本应用自身占用"),
        ));
    }
    for target in &targets {
        match ctx.host.can_bind(*target, port).await {
            Ok(true) => {}
            Ok(false) => {
                return table(Finding::new(
                    spec,
                    subject,
                    Outcome::Fail,
                    crate::text!(
                        "nobody listens on port {port}, and yet {target}:{port} cannot be bound",
                        "端口 {port} 无人监听，但无法绑定 {target}:{port}"
                    ),
                ))
                .with_limit(Text::new("bind", "绑定"), "address in use", "free")
                .with_help(crate::text!(
                    "a process may have bound the port without listening, or the address is not on this host: `ss -tan 'sport = :{port}'`, `ip addr`",
                    "可能有进程绑定了端口却未监听，或该地址不属于本机：`ss -tan 'sport = :{port}'`、`ip addr`"
                ));
            }
            Err(e) if e.kind == HostErrorKind::Permission => {
                return table(Finding::new(
                    spec,
                    subject,
                    Outcome::Fail,
                    crate::text!("this user may not bind port {port}", "当前用户无权绑定端口 {port}"),
                ))
                .with_help(Text::new(
                    "ports below 1024 need root or CAP_NET_BIND_SERVICE: take a higher port and let the proxy hold 80 and 443",
                    "1024 以下端口需要 root 或 CAP_NET_BIND_SERVICE：请改用更高的端口，由代理监听 80 与 443",
                ));
            }
            Err(e) => return unknown_host(spec, subject, &e),
        }
    }
    table(Finding::new(spec, subject, Outcome::Pass, crate::text!("port {port} is free", "端口 {port} 空闲")))
}

#[cfg(test)]
#[path = "p06_ports_tests.rs"]
mod tests;
