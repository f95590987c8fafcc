//! P24: does each name of the app lead where it should, for users and not only for this host?
//! Asks the authoritative servers for the truth and resolvers for what users get; never the local hosts file.

use super::support::{Problems, list, names, skipped, unknown};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::{Config, value::url_parts},
    driver::net::{Answer, NetError, Resolution},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

const CONNECT: Duration = Duration::from_secs(3);
/// Authoritative servers that are asked; more tell nothing new.
const AUTHORITIES: usize = 4;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dns;

#[async_trait]
impl Check for Dns {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P24", title: ("DNS", "域名解析"), risks: &["R4"] }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(20)
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let mut hosts = Config::hosts_of(&ctx.env);
        hosts.extend(ctx.env.dns.keys().map(|k| k.to_lowercase()));
        let mut seen = BTreeSet::new();
        hosts.retain(|h| seen.insert(h.clone()));
        futures_util::future::join_all(hosts.iter().map(|h| one(&spec, ctx, h))).await
    }
}

/// What one name looks like from everywhere it was asked.
struct View {
    recursive: Vec<Resolution>,
    authoritative: Result<Vec<Resolution>, NetError>,
    /// Addresses that /etc/hosts gives.
    hosts_file: Vec<IpAddr>,
    /// What libc makes of it all.
    system: Vec<IpAddr>,
    /// IPv6 addresses where nobody answers while IPv4 does.
    dead: Vec<IpAddr>,
    /// IPv6 addresses that this host has no way to.
    untried: Vec<IpAddr>,
}

async fn one(spec: &CheckSpec, ctx: &CheckContext, name: &str) -> Finding {
    if let Some(why) = names::needs_no_dns(name) {
        return skipped(spec, name, why);
    }
    let mut servers = Vec::new();
    for text in &ctx.env.resolvers {
        match names::dns_server(text) {
            Some(s) => servers.push(Some(s)),
            None => {
                return unknown(
                    spec,
                    name,
                    crate::text!(
                        "`{text}` in `resolvers` is not `ip:port`",
                        "`resolvers` 中的 `{text}` 不是 `IP:端口`"
                    ),
                    Text::new("write it as `223.5.5.5:53`", "请写成 `223.5.5.5:53` 的形式"),
                );
            }
        }
    }
    if servers.is_empty() {
        servers.push(None);
    }
    let ask = |s: Option<SocketAddr>| ctx.net.resolve(name, s);
    let recursive = futures_util::future::join_all(servers.into_iter().map(ask));
    let truth = async {
        let servers = ctx.net.authorities(name).await?;
        Ok(futures_util::future::join_all(servers.into_iter().take(AUTHORITIES).map(|s| ask(Some(s)))).await)
    };
    let (recursive, authoritative, system, file) =
        tokio::join!(recursive, truth, ctx.net.system_lookup(name), ctx.host.read(Path::new("/etc/hosts")));
    let file = file.map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let mut view = View {
        recursive,
        authoritative,
        hosts_file: in_hosts_file(&file, name),
        system: system.unwrap_or_default(),
        dead: Vec::new(),
        untried: Vec::new(),
    };
    probe_v6(ctx, name, &mut view).await;
    judge(
        spec,
        name,
        ctx.env.dns.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_slice()),
        &view,
    )
}

/// Addresses that a hosts file gives to `name`.
fn in_hosts_file(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or(""));
    let mut words = lines.map(str::split_whitespace);
    let mut out = Vec::new();
    for line in &mut words {
        let mut line = line;
        if let Some(ip) = line.next().and_then(|w| w.parse().ok())
            && line.any(|n| n.eq_ignore_ascii_case(name))
        {
            out.push(ip);
        }
    }
    out
}

/// Finds AAAA records that lead nowhere: users with IPv6 would wait there.
async fn probe_v6(ctx: &CheckContext, name: &str, view: &mut View) {
    let urls = std::iter::once(&ctx.env.url).chain(&ctx.env.urls);
    let Some(port) = urls.filter_map(|u| url_parts(u)).find(|p| p.host == name).map(|p| p.port) else {
        return;
    };
    let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
    for r in &view.recursive {
        if let Answer::Records { a, aaaa, .. } = &r.answer {
            v4.extend(a.iter().copied());
            v6.extend(aaaa.iter().copied());
        }
    }
    if v6.is_empty() {
        return;
    }
    let connect = |ip: IpAddr| async move { (ip, ctx.net.connect(SocketAddr::new(ip, port), CONNECT).await) };
    let on_four = futures_util::future::join_all(v4.into_iter().take(4).map(connect));
    let on_six = futures_util::future::join_all(v6.into_iter().take(4).map(connect));
    let (on_four, on_six) = tokio::join!(on_four, on_six);
    // When nobody answers on IPv4 either, the service is down, and that is P26's to say.
    let serves = on_four.is_empty() || on_four.iter().any(|(_, r)| r.is_ok());
    for (ip, result) in on_six {
        match result {
            Ok(_) | Err(NetError::Protocol(_)) => {}
            Err(NetError::Unreachable(_)) => view.untried.push(ip),
            Err(_) if serves => view.dead.push(ip),
            Err(_) => {}
        }
    }
}

fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn addresses(answer: &Answer) -> BTreeSet<IpAddr> {
    match answer {
        Answer::Records { a, aaaa, .. } => a.iter().chain(aaaa).copied().collect(),
        _ => BTreeSet::new(),
    }
}

fn chain(answer: &Answer) -> Vec<String> {
    match answer {
        Answer::Records { cname, .. } => cname.iter().map(|c| plain(c)).collect(),
        _ => Vec::new(),
    }
}

/// What two servers have to agree on: the first CNAME, because what a CDN's name leads to differs from place to place;
/// without one, the set of addresses.
fn essence(answer: &Answer) -> Option<BTreeSet<String>> {
    let Answer::Records { .. } = answer else { return None };
    match chain(answer).into_iter().next() {
        Some(first) => Some(BTreeSet::from([first])),
        None => Some(addresses(answer).iter().map(ToString::to_string).collect()),
    }
}

/// Whether an answer has the records that the configuration expects, in any order.
fn as_expected(expected: &[String], answer: &Answer) -> bool {
    let (mut ips, mut targets) = (BTreeSet::new(), Vec::new());
    for e in expected {
        match e.parse::<IpAddr>() {
            Ok(ip) => {
                ips.insert(ip);
            }
            Err(_) => targets.push(plain(e)),
        }
    }
    let chain = chain(answer);
    targets.iter().all(|t| chain.contains(t)) && (ips.is_empty() || ips == addresses(answer))
}

fn shown(answer: &Answer) -> Text {
    match answer {
        Answer::Records { ttl, .. } => {
            let mut parts: Vec<String> = chain(answer).into_iter().map(|c| format!("CNAME {c}")).collect();
            parts.extend(addresses(answer).iter().map(ToString::to_string));
            let parts = list(&parts, 8);
            let (en, zh) = (parts.en, parts.zh);
            crate::text!("{en} (TTL {ttl} s)", "{zh}（TTL {ttl} 秒）")
        }
        Answer::NxDomain { negative_ttl: Some(ttl) } => {
            crate::text!("NXDOMAIN (remembered for {ttl} s)", "NXDOMAIN（负缓存 {ttl} 秒）")
        }
        Answer::NxDomain { negative_ttl: None } => Text::same("NXDOMAIN"),
        Answer::NoData => Text::new("no address (NODATA)", "无地址记录（NODATA）"),
        Answer::ServFail => Text::same("SERVFAIL"),
        Answer::Refused => Text::same("REFUSED"),
        Answer::Timeout => Text::new("no answer in time", "超时无应答"),
        Answer::Unreachable { why } => {
            crate::text!("could not be asked: {why}", "无法查询：{why}")
        }
    }
}

fn judge(spec: &CheckSpec, name: &str, expected: Option<&[String]>, view: &View) -> Finding {
    let mut problems = Problems::default();
    let known: &[Resolution] = view.authoritative.as_deref().unwrap_or(&[]);
    let truth = known.iter().find(|r| matches!(r.answer, Answer::Records { .. }));
    negative_answers(name, view, truth.is_some(), &mut problems);
    authoritative(name, view, known, &mut problems);
    let of_users = view.recursive.iter().find(|r| matches!(r.answer, Answer::Records { .. }));
    if let Some(truth) = truth {
        for r in view.recursive.iter().filter(|r| essence(&r.answer).is_some()) {
            if essence(&r.answer) != essence(&truth.answer) {
                let (at, of) = (&r.server, &truth.server);
                problems.add(
                    Outcome::Warn,
                    crate::text!(
                        "{at} still gives another answer than the authoritative {of}",
                        "{at} 的应答与权威服务器 {of} 不一致"
                    ),
                    Text::new(
                        "a change is still spreading: wait for the old TTL to run out before deploying",
                        "解析变更仍在生效中：请等旧 TTL 过期后再部署",
                    ),
                );
            }
        }
    }
    if let Some(expected) = expected {
        // The zone's own server knows only its own records: where a CDN's chain ends, a resolver has to say.
        let truth_ok = truth.is_none_or(|t| {
            as_expected(expected, &t.answer)
                || (!chain(&t.answer).is_empty()
                    && of_users.is_some_and(|u| {
                        as_expected(expected, &u.answer) && essence(&u.answer) == essence(&t.answer)
                    }))
        });
        let users_ok = of_users.is_none_or(|u| as_expected(expected, &u.answer));
        let wanted = expected.join(", ");
        if !truth_ok || (truth.is_none() && !users_ok) {
            problems.add(
                Outcome::Fail,
                crate::text!("the records are not the expected ones ({wanted})", "解析记录与预期（{wanted}）不符"),
                crate::text!(
                    "correct the records of {name} at your DNS provider, or `dns` in the configuration: `dig +short {name} A; dig +short {name} AAAA`; an AAAA record that nobody wanted counts too",
                    "在 DNS 服务商处修正 {name} 的记录，或修改配置中的 `dns`：`dig +short {name} A; dig +short {name} AAAA`；多余的 AAAA 记录同样算不符"
                ),
            );
        }
    }
    on_this_host(name, view, of_users, &mut problems);
    if !view.dead.is_empty() {
        let dead = list(&view.dead.iter().map(ToString::to_string).collect::<Vec<_>>(), 4);
        let (en, zh) = (dead.en, dead.zh);
        problems.add(
            Outcome::Warn,
            crate::text!("nobody answers at the IPv6 address {en}", "IPv6 地址 {zh} 无应答"),
            Text::new(
                "remove the AAAA record or serve IPv6 there: users with IPv6 wait for it first",
                "删除该 AAAA 记录或在其上提供服务：IPv6 用户会先尝试它而变慢",
            ),
        );
    }
    let answer = of_users.or(truth).map(|r| shown(&r.answer));
    let fine = answer.map_or_else(
        || crate::text!("{name} resolves", "{name} 解析正常"),
        |t| {
            let (en, zh) = (t.en, t.zh);
            crate::text!("{name} is {en}", "{name} 解析为 {zh}")
        },
    );
    evidence(problems.finding(spec, name, fine), expected, view, known)
}

fn evidence(mut f: Finding, expected: Option<&[String]>, view: &View, known: &[Resolution]) -> Finding {
    let limit = expected.map(|e| Text::same(e.join(", ")));
    for r in &view.recursive {
        let server = &r.server;
        f.evidence.push(crate::finding::Evidence {
            label: crate::text!("resolver {server}", "解析服务器 {server}"),
            value: shown(&r.answer),
            limit: limit.clone(),
        });
    }
    for r in known {
        let server = &r.server;
        f.evidence.push(crate::finding::Evidence {
            label: crate::text!("authoritative {server}", "权威服务器 {server}"),
            value: shown(&r.answer),
            limit: limit.clone(),
        });
    }
    if !view.untried.is_empty() {
        let ips = view.untried.iter().map(ToString::to_string).collect::<Vec<_>>();
        f = f
            .with_note(Text::new("not tried: this host has no IPv6", "未尝试：主机没有 IPv6"), list(&ips, 4));
    }
    f
}

fn negative_answers(name: &str, view: &View, truth_has_records: bool, problems: &mut Problems) {
    for r in &view.recursive {
        let at = &r.server;
        let (outcome, what) = match &r.answer {
            Answer::Records { .. } => continue,
            Answer::NxDomain { .. } => (
                Outcome::Fail,
                crate::text!(
                    "{name} does not exist, says {at} (NXDOMAIN)",
                    "{at} 称 {name} 不存在（NXDOMAIN）"
                ),
            ),
            Answer::NoData => (
                Outcome::Fail,
                crate::text!(
                    "{name} exists and has no address, says {at} (NODATA)",
                    "{at} 称 {name} 存在但没有地址记录（NODATA）"
                ),
            ),
            // A resolver that fails where the zone itself answers fails its users: DNSSEC is the usual reason. Where
            // nothing else answers either, this host may just be offline.
            Answer::ServFail => (
                if truth_has_records { Outcome::Fail } else { Outcome::Unknown },
                crate::text!("{at} fails to resolve {name} (SERVFAIL)", "{at} 解析 {name} 失败（SERVFAIL）"),
            ),
            Answer::Refused => (
                Outcome::Unknown,
                crate::text!("{at} refuses to answer (REFUSED)", "{at} 拒绝查询（REFUSED）"),
            ),
            Answer::Timeout => {
                (Outcome::Unknown, crate::text!("{at} did not answer in time", "{at} 超时无应答"))
            }
            Answer::Unreachable { why } => {
                (Outcome::Unknown, crate::text!("{at} could not be asked: {why}", "无法向 {at} 查询：{why}"))
            }
        };
        let help = match outcome {
            Outcome::Fail => crate::text!(
                "set the records of {name} at your DNS provider and compare with `dig {name} +trace`; after SERVFAIL also look at DNSSEC: `delv {name}`",
                "在 DNS 服务商处设置 {name} 的记录，并用 `dig {name} +trace` 核对；若为 SERVFAIL 还需检查 DNSSEC：`delv {name}`"
            ),
            _ => crate::text!(
                "try `dig {name}` on the host; name other servers in `resolvers`, for example [\"223.5.5.5:53\", \"1.1.1.1:53\"]",
                "在主机上试 `dig {name}`；可在 `resolvers` 中指定其他服务器，例如 [\"223.5.5.5:53\", \"1.1.1.1:53\"]"
            ),
        };
        problems.add(outcome, what, help);
    }
}

fn authoritative(name: &str, view: &View, known: &[Resolution], problems: &mut Problems) {
    let help = crate::text!(
        "look at the delegation with `dig {name} +trace` and `dig NS {name}`",
        "用 `dig {name} +trace`、`dig NS {name}` 检查域名授权"
    );
    if let Err(e) = &view.authoritative {
        problems.add(
            Outcome::Warn,
            crate::text!(
                "the authoritative servers could not be asked ({e}): caches alone were looked at",
                "无法查询权威服务器（{e}）：仅检查了缓存结果"
            ),
            help.clone(),
        );
    }
    let mut said = BTreeSet::new();
    for r in known {
        let at = &r.server;
        match &r.answer {
            Answer::Records { .. } => {
                said.extend(essence(&r.answer));
            }
            Answer::NxDomain { .. } | Answer::NoData => problems.add(
                Outcome::Fail,
                crate::text!(
                    "the authoritative {at} has no address for {name}",
                    "权威服务器 {at} 没有 {name} 的地址记录"
                ),
                help.clone(),
            ),
            other => {
                let why = shown(other);
                let (en, zh) = (why.en, why.zh);
                problems.add(
                    Outcome::Warn,
                    crate::text!(
                        "the authoritative {at} gives no answer: {en}",
                        "权威服务器 {at} 没有给出应答：{zh}"
                    ),
                    help.clone(),
                );
            }
        }
    }
    if said.len() > 1 {
        problems.add(
            Outcome::Warn,
            Text::new("the authoritative servers disagree", "各权威服务器的应答不一致"),
            Text::new(
                "wait until the zone has reached all of them, or ask the DNS provider",
                "等待区域数据同步到全部服务器，或联系 DNS 服务商",
            ),
        );
    }
}

fn on_this_host(name: &str, view: &View, of_users: Option<&Resolution>, problems: &mut Problems) {
    if !view.hosts_file.is_empty() {
        let ips = list(&view.hosts_file.iter().map(ToString::to_string).collect::<Vec<_>>(), 4);
        let (en, zh) = (ips.en, ips.zh);
        problems.add(
            Outcome::Warn,
            crate::text!(
                "/etc/hosts of this host overrides it with {en}: what works here may fail for users",
                "本机 /etc/hosts 将其改为 {zh}：这里可用不代表用户可用"
            ),
            crate::text!("remove the line of {name} from /etc/hosts", "从 /etc/hosts 中删除 {name} 所在的行"),
        );
        return;
    }
    let Some(users) = of_users.filter(|u| chain(&u.answer).is_empty()) else { return };
    let public = addresses(&users.answer);
    let odd: Vec<String> =
        view.system.iter().filter(|ip| !public.contains(ip)).map(ToString::to_string).collect();
    if !odd.is_empty() {
        let odd = list(&odd, 4);
        let (en, zh) = (odd.en, odd.zh);
        problems.add(
            Outcome::Warn,
            crate::text!("this host itself sees {en} instead", "本机解析到的却是 {zh}"),
            crate::text!(
                "see where that comes from: `getent ahosts {name}`, /etc/nsswitch.conf, a local resolver",
                "查明来源：`getent ahosts {name}`、/etc/nsswitch.conf、本地解析服务"
            ),
        );
    }
}

#[cfg(test)]
#[path = "p24_dns_tests.rs"]
mod tests;
