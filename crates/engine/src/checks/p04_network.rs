//! P4: can the host reach what a deploy needs from the network?
//! Sends nothing but DNS questions and TCP handshakes.

use super::support::{names, read_text, skipped, unknown};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::Config,
    driver::{
        host::{Host, HostErrorKind},
        net::{Answer, NetError},
    },
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

const CONNECT: Duration = Duration::from_secs(4);

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network;

#[async_trait]
impl Check for Network {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P4", title: ("Network reachable", "网络连通"), risks: &["R1", "R4"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let hosts = Config::hosts_of(&ctx.env);
        let public: Vec<&String> = hosts.iter().filter(|h| names::place(h) == names::Place::Public).collect();
        // A reserved name is never reached through the public network either.
        let local =
            hosts.iter().all(|h| matches!(names::place(h), names::Place::Loopback | names::Place::Reserved));
        let reach = &ctx.config.checks.reach;
        let mut found = Vec::new();
        if local {
            if reach.is_empty() {
                let list = hosts.join(", ");
                return vec![skipped(
                    &spec,
                    ctx.host.name(),
                    crate::text!(
                        "{list} stays on this host or its own network, and `checks.reach` is empty: nothing outside is needed",
                        "{list} 只在本机或内部网络使用，且 `checks.reach` 为空：不需要外部网络"
                    ),
                )];
            }
        } else {
            found.push(own_setup(&spec, ctx, public.first().map(|h| h.as_str())).await);
        }
        let tries = reach.iter().map(|target| reachable(&spec, ctx, target));
        found.extend(futures_util::future::join_all(tries).await);
        found
    }
}

/// A default route in the kernel's own words; loopback and unreachable routes do not count.
fn has_default_v4(route: &str) -> bool {
    route.lines().skip(1).any(|l| {
        let w: Vec<&str> = l.split_whitespace().collect();
        let flags = w.get(3).and_then(|f| u32::from_str_radix(f, 16).ok()).unwrap_or(0);
        // RTF_UP without RTF_REJECT.
        w.len() >= 8
            && w[0] != "lo"
            && w[1] == "00000000"
            && w[7] == "00000000"
            && flags & 1 == 1
            && flags & 0x200 == 0
    })
}

fn has_default_v6(route: &str) -> bool {
    route.lines().any(|l| {
        let w: Vec<&str> = l.split_whitespace().collect();
        let flags = w.get(8).and_then(|f| u32::from_str_radix(f, 16).ok()).unwrap_or(0);
        w.len() >= 10
            && w[0].bytes().all(|b| b == b'0')
            && w[1] == "00"
            && w[9] != "lo"
            && flags & 1 == 1
            && flags & 0x200 == 0
    })
}

fn name_servers(resolv: &str) -> Vec<String> {
    let lines = resolv.lines().filter_map(|l| l.trim().strip_prefix("nameserver"));
    lines.filter_map(|l| l.split_whitespace().next()).map(str::to_owned).collect()
}

/// `None`: the file is there and says no. `Err`: could not be read.
async fn route(host: &dyn Host) -> Result<Option<&'static str>, String> {
    let v4 = read_text(host, "/proc/net/route").await;
    let v6 = read_text(host, "/proc/net/ipv6_route").await;
    match (&v4, &v6) {
        (Ok(t), _) if has_default_v4(t) => Ok(Some("IPv4")),
        (_, Ok(t)) if has_default_v6(t) => Ok(Some("IPv6")),
        (Err(e), _) => Err(e.to_string()),
        // A host without IPv6 has no such file; any other trouble with it leaves a question open.
        (_, Err(e)) if e.kind != HostErrorKind::NotFound => Err(e.to_string()),
        _ => Ok(None),
    }
}

async fn own_setup(spec: &CheckSpec, ctx: &CheckContext, name: Option<&str>) -> Finding {
    let host = ctx.host.as_ref();
    let subject = host.name();
    let via = match route(host).await {
        Ok(Some(v)) => v,
        Ok(None) => {
            return Finding::new(
                spec,
                subject,
                Outcome::Fail,
                Text::new("this host has no default route", "主机没有默认路由"),
            )
            .with_limit(Text::new("default route", "默认路由"), "none", "IPv4 or IPv6")
            .with_help(Text::new(
                "look at `ip route` and `ip -6 route`; bring the interface up or set the gateway",
                "查看 `ip route`、`ip -6 route`，启用网卡或设置网关",
            ));
        }
        Err(e) => {
            return unknown(
                spec,
                subject,
                crate::text!("the routes cannot be read: {e}", "无法读取路由表：{e}"),
                Text::new("look at `ip route` on the host", "在主机上查看 `ip route`"),
            );
        }
    };
    let servers = match read_text(host, "/etc/resolv.conf").await {
        Ok(t) => name_servers(&t),
        Err(_) => Vec::new(),
    };
    let facts = |f: Finding| {
        let listed = if servers.is_empty() { "none".to_owned() } else { servers.join(", ") };
        f.with_limit(Text::new("default route", "默认路由"), via, "IPv4 or IPv6").with_limit(
            Text::new("name servers in /etc/resolv.conf", "/etc/resolv.conf 中的 DNS 服务器"),
            listed,
            ">= 1",
        )
    };
    if servers.is_empty() && ctx.env.resolvers.is_empty() {
        return facts(Finding::new(
            spec,
            subject,
            Outcome::Fail,
            Text::new("no name server is configured", "未配置 DNS 服务器"),
        ))
        .with_help(Text::new(
            "add `nameserver <ip>` to /etc/resolv.conf (or to what writes it: systemd-resolved, NetworkManager, cloud-init)",
            "在 /etc/resolv.conf 中加入 `nameserver <ip>`（或修改生成它的 systemd-resolved、NetworkManager、cloud-init）",
        ));
    }
    // A route on paper proves nothing: an answer from a name server does.
    let Some(name) = name else {
        return facts(Finding::new(
            spec,
            subject,
            Outcome::Warn,
            Text::new(
                "a default route and a name server are set; nothing outside was tried",
                "默认路由与 DNS 已配置，但未实际访问外部地址",
            ),
        ))
        .with_help(Text::new(
            "name what the host must reach in `checks.reach`, for example [\"api.example.com:443\"]",
            "在 `checks.reach` 中写明主机必须能访问的地址，例如 [\"api.example.com:443\"]",
        ));
    };
    let server = ctx.env.resolvers.iter().find_map(|r| names::dns_server(r));
    let resolution = ctx.net.resolve(name, server).await;
    let asked = &resolution.server;
    match &resolution.answer {
        // That it answers is the question here; what it says is P24's.
        Answer::Records { .. } | Answer::NxDomain { .. } | Answer::NoData => facts(Finding::new(
            spec,
            subject,
            Outcome::Pass,
            crate::text!(
                "the network is up: {asked} answers for {name}",
                "网络连通：{asked} 对 {name} 有应答"
            ),
        )),
        other => {
            let why = match other {
                Answer::Timeout => Text::new("no answer in time", "超时无应答"),
                Answer::ServFail => Text::new("it failed (SERVFAIL)", "查询失败（SERVFAIL）"),
                Answer::Refused => Text::new("it refused", "拒绝查询"),
                Answer::Unreachable { why } => Text::same(why),
                _ => Text::new("no answer", "无应答"),
            };
            let (en, zh) = (why.en, why.zh);
            facts(unknown(
                spec,
                subject,
                crate::text!(
                    "a route is set, but asking {asked} for {name} showed no way out: {en}",
                    "路由已配置，但向 {asked} 查询 {name} 未能证明外网可达：{zh}"
                ),
                crate::text!(
                    "try `dig {name}` and `ping -c1 1.1.1.1` on the host; a firewall may block port 53",
                    "在主机上试 `dig {name}` 和 `ping -c1 1.1.1.1`；防火墙可能拦截了 53 端口"
                ),
            ))
        }
    }
}

fn split(target: &str) -> Option<(String, u16)> {
    let (host, port) = target.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host.to_owned(), port.parse().ok()?))
}

async fn reachable(spec: &CheckSpec, ctx: &CheckContext, target: &str) -> Finding {
    let Some((host, port)) = split(target) else {
        return unknown(
            spec,
            target,
            crate::text!(
                "`{target}` in `checks.reach` is not `host:port`",
                "`checks.reach` 中的 `{target}` 不是 `主机:端口`"
            ),
            Text::new("write it as `api.example.com:443`", "请写成 `api.example.com:443` 的形式"),
        );
    };
    let addresses = match host.parse::<IpAddr>() {
        Ok(ip) => vec![ip],
        Err(_) => match ctx.net.system_lookup(&host).await {
            Ok(a) if !a.is_empty() => a,
            other => {
                let e = other.err().map_or_else(|| "no address".to_owned(), |e| e.to_string());
                return unknown(
                    spec,
                    target,
                    crate::text!("{host} has no address here: {e}", "此处无法解析 {host}：{e}"),
                    crate::text!(
                        "try `getent ahosts {host}` on the host",
                        "在主机上试 `getent ahosts {host}`"
                    ),
                );
            }
        },
    };
    let mut last = (NetError::Timeout, addresses[0]);
    for ip in addresses.into_iter().take(4) {
        match ctx.net.connect(SocketAddr::new(ip, port), CONNECT).await {
            Ok(took) => {
                let ms = took.as_millis();
                return Finding::new(
                    spec,
                    target,
                    Outcome::Pass,
                    crate::text!("{target} is reachable in {ms} ms", "{target} 可达，耗时 {ms} 毫秒"),
                )
                .with_fact(Text::new("address", "地址"), ip.to_string());
            }
            Err(e) => last = (e, ip),
        }
    }
    let (e, ip) = last;
    Finding::new(
        spec,
        target,
        Outcome::Fail,
        crate::text!("{target} cannot be reached: {e}", "无法连接 {target}：{e}"),
    )
    .with_limit(Text::new("connection", "连接"), format!("{ip}: {e}"), "accepted")
    .with_help(crate::text!(
        "try `nc -vz {host} {port}` on the host; look at outgoing rules of its firewall and of the cloud's security group",
        "在主机上试 `nc -vz {host} {port}`；检查防火墙与云安全组的出站规则"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{FakeHost, World, records};

    const ROUTE: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\neth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
    const NONE: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    fn world(route: &str, resolv: &str) -> World {
        let mut w = World::new("");
        w.host = FakeHost::new().file("/proc/net/route", route).file("/etc/resolv.conf", resolv);
        w
    }

    #[tokio::test]
    async fn a_route_and_a_name_server_that_answers_pass() {
        let mut w = world(ROUTE, "# x\nnameserver 192.0.2.53\n");
        w.net.resolutions.insert(("filmtrip.cn".into(), None), records(&["192.0.2.1"], &[]));
        assert_eq!(w.one(Network).await.outcome, Outcome::Pass);
    }

    #[tokio::test]
    async fn a_route_alone_proves_nothing() {
        let w = world(ROUTE, "nameserver 192.0.2.53\n");
        let f = w.one(Network).await;
        assert_eq!(f.outcome, Outcome::Unknown, "offline is not a pass: {f:?}");
    }

    #[tokio::test]
    async fn no_default_route_and_no_name_server_fail() {
        assert_eq!(world(NONE, "nameserver 192.0.2.53\n").one(Network).await.outcome, Outcome::Fail);
        assert_eq!(world(ROUTE, "search example.com\n").one(Network).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn routes_that_cannot_be_read_are_unknown() {
        let mut w = World::new("");
        w.host = FakeHost::new().broken_file("/proc/net/route", HostErrorKind::Permission);
        assert_eq!(w.one(Network).await.outcome, Outcome::Unknown);
    }

    #[test]
    fn unreachable_and_loopback_routes_are_no_default_route() {
        let reject = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
        assert!(!has_default_v6(reject));
        let good = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n";
        assert!(has_default_v6(good));
        assert!(!has_default_v4(&ROUTE.replace("0003", "0200")));
        assert!(!has_default_v4("garbage\n\n1 2 3\n"));
    }

    #[tokio::test]
    async fn an_app_on_this_host_needs_no_network_and_says_so() {
        let f = World::at("http://film.localhost:8080").one(Network).await;
        assert_eq!(f.outcome, Outcome::Skipped);
        assert!(f.summary.en.contains("film.localhost"));
    }

    #[tokio::test]
    async fn addresses_to_reach_are_tried_one_by_one() {
        let mut w = World::at("http://localhost:8080");
        w.toml.push_str(
            "[checks]\nreach = [\"192.0.2.9:443\", \"[2001:db8::1]:443\", \"gone.example.com:1\", \"bad\"]\n",
        );
        w.net.connects.insert("192.0.2.9:443".parse().unwrap(), Ok(Duration::from_millis(3)));
        w.net.connects.insert("[2001:db8::1]:443".parse().unwrap(), Err(NetError::Timeout));
        let outcomes: Vec<Outcome> = w.run(Network).await.iter().map(|f| f.outcome).collect();
        assert_eq!(outcomes, [Outcome::Pass, Outcome::Fail, Outcome::Unknown, Outcome::Unknown]);
    }
}
