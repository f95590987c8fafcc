//! P25: does every address of every https name serve a certificate that browsers accept, for long enough?
//! A clock that is wrong proves nothing about dates, so it is compared with the server's own.

use super::support::{
    Problems, certificate_files, names,
    names::{LocalTarget, Place, nothing_deployed_text, nothing_deployed_yet},
    percent, percent_limit, skipped, unknown,
};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::value::{UrlParts, url_parts},
    driver::net::{Answer, CertInfo, CertProblem, Certificate, NetError},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(6);
/// Seconds by which two clocks may differ.
const SKEW: i64 = 300;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Certificates;

#[async_trait]
impl Check for Certificates {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P25", title: ("TLS certificates", "TLS 证书"), risks: &["R4"] }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(20)
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let mut seen: Vec<(String, u16)> = Vec::new();
        let mut secure = Vec::new();
        let mut found = Vec::new();
        for url in std::iter::once(&ctx.env.url).chain(&ctx.env.urls) {
            let Some(parts) = url_parts(url) else { continue };
            let key = (parts.host.clone(), parts.port);
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            if parts.tls {
                secure.push(parts);
            } else {
                found.push(skipped(
                    &spec,
                    url,
                    crate::text!("{url} uses http: there is no certificate", "{url} 使用 http，没有证书"),
                ));
            }
        }
        let looks = futures_util::future::join_all(secure.iter().map(|p| host(&spec, ctx, p))).await;
        found.splice(0..0, looks.into_iter().flatten());
        found.extend(certificate_files::look(&spec, ctx).await);
        found
    }
}

/// Where the name leads: every A and AAAA address.
async fn addresses(ctx: &CheckContext, parts: &UrlParts) -> Result<Vec<IpAddr>, String> {
    match names::place(&parts.host) {
        Place::Literal(ip) => Ok(vec![ip]),
        Place::Loopback | Place::Reserved => {
            ctx.net.system_lookup(&parts.host).await.map_err(|e| e.to_string())
        }
        Place::Public => {
            let server = ctx.env.resolvers.iter().find_map(|r| names::dns_server(r));
            match ctx.net.resolve(&parts.host, server).await.answer {
                Answer::Records { a, aaaa, .. } => Ok(a.into_iter().chain(aaaa).collect()),
                Answer::NxDomain { .. } => Err("NXDOMAIN".to_owned()),
                Answer::NoData => Err("NODATA".to_owned()),
                Answer::ServFail => Err("SERVFAIL".to_owned()),
                Answer::Refused => Err("REFUSED".to_owned()),
                Answer::Timeout => Err("time-out".to_owned()),
                Answer::Unreachable { why } => Err(why),
            }
        }
    }
}

async fn host(spec: &CheckSpec, ctx: &CheckContext, parts: &UrlParts) -> Vec<Finding> {
    let name = &parts.host;
    let target = names::local_target(ctx, parts);
    let addresses = match target {
        Some(t) => vec![t.addr],
        None => match addresses(ctx, parts).await {
            Ok(ips) if !ips.is_empty() => ips.into_iter().map(|ip| SocketAddr::new(ip, parts.port)).collect(),
            other => {
                let why = other.err().unwrap_or_else(|| "no address".to_owned());
                return vec![unknown(
                    spec,
                    name,
                    crate::text!(
                        "{name} leads nowhere ({why}), so there is no certificate to look at",
                        "{name} 无法解析（{why}），无从检查证书"
                    ),
                    Text::new("see P24", "请先处理 P24"),
                )];
            }
        },
    };
    let looks = addresses.iter().map(|a| ctx.net.certificate(name, *a, ctx.now));
    let (looks, skew) = tokio::join!(futures_util::future::join_all(looks), skew(ctx, parts, target));
    let each = addresses.iter().zip(looks);
    each.map(|(addr, look)| {
        let subject = format!("{name} {addr}");
        match look {
            Ok(c) => judge(spec, ctx, subject, name, &c, skew),
            Err(e) if nothing_deployed_yet(ctx, target, &e) => {
                skipped(spec, subject, nothing_deployed_text())
            }
            // Safelight is to serve it from now on: what is judged before the deploy is the files. Only for an address at
            // which nobody speaks TLS yet; one that was not reached is not known.
            Err(e @ (NetError::Refused | NetError::Protocol(_)))
                if ctx.env.tls.is_some() && ctx.state.current.is_none() =>
            {
                skipped(
                    spec,
                    subject,
                    crate::text!(
                        "{e}; this deploy brings the certificate, whose files are looked at instead",
                        "{e}；证书由本次部署启用，这里改为检查证书文件"
                    ),
                )
            }
            Err(e) => no_answer(spec, subject, name, *addr, &e),
        }
    })
    .collect()
}

/// How many seconds this host's clock is ahead of the server's; `None` when no server told the time. Plain http is
/// asked too: a certificate that is refused because of a wrong clock keeps https from answering at all.
async fn skew(ctx: &CheckContext, parts: &UrlParts, target: Option<LocalTarget>) -> Option<i64> {
    let host = if parts.host.contains(':') { format!("[{}]", parts.host) } else { parts.host.clone() };
    let port = parts.port;
    let over_tls = format!("https://{host}:{port}/");
    let plain = format!("http://{host}/");
    let connect = target.map(|t| t.addr);
    let connect_plain = connect.map(|a| SocketAddr::new(a.ip(), 80));
    for (url, to) in [(over_tls, connect), (plain, connect_plain)] {
        let Ok(answer) = ctx.net.get(&url, to, LIMIT).await else { continue };
        if let Some(date) = answer.date.and_then(|d| jiff::fmt::rfc2822::parse(&d).ok()) {
            return Some(ctx.now.as_second() - date.timestamp().as_second());
        }
    }
    None
}

fn no_answer(spec: &CheckSpec, subject: String, name: &str, addr: SocketAddr, e: &NetError) -> Finding {
    let outcome = match e {
        // Nobody serves it, or what serves it speaks no TLS: users get nothing.
        NetError::Refused | NetError::Protocol(_) => Outcome::Fail,
        // A host behind a NAT may not reach its own public address, nor IPv6 without a route.
        NetError::Timeout | NetError::Unreachable(_) => Outcome::Unknown,
    };
    let why = match e {
        NetError::Refused => Text::new("nobody listens there", "无人监听"),
        NetError::Timeout => Text::new("no answer in time", "超时无应答"),
        NetError::Unreachable(w) | NetError::Protocol(w) => Text::same(w),
    };
    let (en, zh) = (why.en, why.zh);
    let summary = if outcome == Outcome::Fail {
        crate::text!("{addr} serves no certificate: {en}", "{addr} 未提供证书：{zh}")
    } else {
        crate::text!("{addr} could not be looked at: {en}", "无法检查 {addr}：{zh}")
    };
    Finding::new(spec, subject, outcome, summary)
    .with_help(crate::text!(
        "try `openssl s_client -connect {addr} -servername {name} </dev/null` here and elsewhere; if the address is not meant to serve, remove its DNS record",
        "在本机与其他机器上试 `openssl s_client -connect {addr} -servername {name} </dev/null`；若该地址不应提供服务，请删除其 DNS 记录"
    ))
}

/// Share of a certificate's lifetime that is left, in percent.
#[expect(clippy::cast_precision_loss, reason = "seconds of some years")]
fn left(c: &CertInfo, now: Timestamp) -> f64 {
    let (from, to) = (c.not_before.as_second(), c.not_after.as_second());
    if to <= from {
        return 0.0;
    }
    (to - now.as_second()) as f64 / (to - from) as f64 * 100.0
}

fn days(c: &CertInfo, now: Timestamp) -> i64 {
    (c.not_after.as_second() - now.as_second()).div_euclid(86_400)
}

fn judge(
    spec: &CheckSpec,
    ctx: &CheckContext,
    subject: String,
    name: &str,
    c: &Certificate,
    skew: Option<i64>,
) -> Finding {
    let now = ctx.now;
    let min = ctx.config.checks.certificate_min_left_percent;
    let Some(leaf) = c.chain.first() else {
        return unknown(
            spec,
            subject,
            Text::new("the server sent no certificate", "服务器没有发送证书"),
            Text::new("look at the TLS settings of the web server", "检查 Web 服务器的 TLS 配置"),
        );
    };
    let ends = leaf.not_after;
    let days = days(leaf, now);
    let facts = |f: Finding| {
        let f = f
            .with_limit(
                Text::new("lifetime left", "剩余有效期"),
                format!("{} ({days} d)", percent(left(leaf, now))),
                percent_limit(">=", min),
            )
            .with_limit(Text::new("names", "证书域名"), leaf.names.join(", "), name)
            .with_fact(Text::new("valid until", "有效期至"), ends.to_string())
            .with_fact(Text::new("issuer", "签发者"), &leaf.issuer)
            .with_fact(Text::new("signature", "签名算法"), &leaf.signature);
        match skew {
            Some(s) => f.with_limit(
                Text::new("clock of this host against the server's", "本机与服务器的时钟差"),
                format!("{s} s"),
                format!("+-{SKEW} s"),
            ),
            None => f.with_note(
                Text::new("clock of this host", "本机时钟"),
                Text::new("not compared: no server told the time", "未比对：没有服务器返回时间"),
            ),
        }
    };
    if let Some(s) = skew.filter(|s| s.abs() > SKEW) {
        return facts(unknown(
            spec,
            subject,
            crate::text!(
                "this host's clock is {s} s off the server's: dates of certificates cannot be judged by it",
                "本机时钟与服务器相差 {s} 秒，无法据此判断证书有效期"
            ),
            Text::new(
                "set the clock: `timedatectl set-ntp true`, or `chronyc makestep`",
                "校准时钟：`timedatectl set-ntp true` 或 `chronyc makestep`",
            ),
        ));
    }
    let mut problems = Problems::default();
    if let Err(problem) = &c.verified {
        let (what, help) = wrong(name, c, leaf, problem, now);
        problems.add(Outcome::Fail, what, help);
    }
    let signature = leaf.signature.to_ascii_lowercase().replace('-', "");
    if signature.contains("sha1") || signature.contains("md5") {
        let alg = &leaf.signature;
        problems.add(
            Outcome::Fail,
            crate::text!("it is signed with {alg}, which browsers refuse", "签名算法 {alg} 已被浏览器拒绝"),
            renew(name),
        );
    }
    if problems.is_empty() {
        if left(leaf, now) < min {
            problems.add(
                Outcome::Warn,
                crate::text!("it ends in {days} days", "证书将在 {days} 天后到期"),
                renew(name),
            );
        }
        for between in c.chain.iter().skip(1).filter(|i| i.subject != i.issuer) {
            // One that is past its end although the chain verifies is superfluous: clients build the path without it.
            if between.not_after > now && between.not_after < leaf.not_after {
                let (who, when) = (&between.subject, between.not_after);
                problems.add(
                    Outcome::Warn,
                    crate::text!(
                        "the intermediate {who} ends at {when}, before the certificate itself",
                        "中间证书 {who} 将于 {when} 到期，早于站点证书"
                    ),
                    renew(name),
                );
            }
        }
    }
    let fine = crate::text!("good for {days} more days", "证书有效，剩余 {days} 天");
    facts(problems.finding(spec, subject, fine))
}

fn renew(name: &str) -> Text {
    crate::text!(
        "renew it (`certbot renew --cert-name {name}`, `acme.sh --renew -d {name}`, or the CDN's console) and reload the web server; the limit is `checks.certificate-min-left-percent`",
        "续签证书（`certbot renew --cert-name {name}`、`acme.sh --renew -d {name}` 或 CDN 控制台）并重载 Web 服务器；阈值为 `checks.certificate-min-left-percent`"
    )
}

fn wrong(
    name: &str,
    c: &Certificate,
    leaf: &CertInfo,
    problem: &CertProblem,
    now: Timestamp,
) -> (Text, Text) {
    match problem {
        CertProblem::Expired => {
            // The leaf first: what follows it may be past its end and superfluous.
            let ended = c.chain.iter().find(|i| i.not_after < now).unwrap_or(leaf);
            let (who, when) = (&ended.subject, ended.not_after);
            (crate::text!("expired: {who} ended at {when}", "证书已过期：{who} 于 {when} 到期"), renew(name))
        }
        CertProblem::NotYetValid => {
            let when = leaf.not_before;
            (
                crate::text!("not valid before {when}", "证书在 {when} 之前无效"),
                Text::new(
                    "check the clock of this host (`timedatectl`), then get a certificate that is valid now",
                    "先核对本机时钟（`timedatectl`），再换用当前有效的证书",
                ),
            )
        }
        CertProblem::WrongName if leaf.names.is_empty() => (
            Text::new(
                "it names no host in its SAN extension; a common name alone counts for nothing",
                "证书没有 SAN 扩展；仅有 CN 不被认可",
            ),
            renew(name),
        ),
        CertProblem::WrongName => {
            let names = leaf.names.join(", ");
            (
                crate::text!("it is made for {names}, not for {name}", "证书属于 {names}，不含 {name}"),
                crate::text!(
                    "get one that names {name} (a wildcard covers one level only), and see that the web server picks it by SNI",
                    "申请包含 {name} 的证书（通配符只覆盖一级），并确认 Web 服务器按 SNI 选用它"
                ),
            )
        }
        CertProblem::UntrustedIssuer if leaf.subject == leaf.issuer => (
            Text::new("it is self-signed", "证书是自签名的"),
            crate::text!(
                "get one of a public authority: `certbot certonly -d {name}`",
                "向受信任的机构申请证书：`certbot certonly -d {name}`"
            ),
        ),
        CertProblem::UntrustedIssuer if c.chain.len() == 1 => {
            let issuer = &leaf.issuer;
            (
                crate::text!(
                    "the chain is incomplete: the intermediate {issuer} is not sent",
                    "证书链不完整：服务器没有发送中间证书 {issuer}"
                ),
                Text::new(
                    "let the web server send the full chain (in nginx: `ssl_certificate .../fullchain.pem`); many desktop browsers hide this, phones and API clients do not",
                    "让 Web 服务器发送完整证书链（nginx：`ssl_certificate .../fullchain.pem`）；桌面浏览器常会掩盖此问题，手机与 API 客户端则会报错",
                ),
            )
        }
        CertProblem::UntrustedIssuer => {
            let issuer = &c.chain.last().unwrap_or(leaf).issuer;
            (
                crate::text!("its issuer {issuer} is not trusted here", "签发者 {issuer} 不受信任"),
                Text::new(
                    "use a certificate of a public authority; for a private one, install its root: `cp root.crt /usr/local/share/ca-certificates/ && update-ca-certificates`",
                    "使用公共机构签发的证书；若为私有 CA，请安装其根证书：`cp root.crt /usr/local/share/ca-certificates/ && update-ca-certificates`",
                ),
            )
        }
        CertProblem::Other(why) => (
            crate::text!("it does not verify: {why}", "证书校验失败：{why}"),
            crate::text!(
                "look at it with `openssl s_client -connect {name}:443 -servername {name} -showcerts </dev/null`",
                "用 `openssl s_client -connect {name}:443 -servername {name} -showcerts </dev/null` 查看"
            ),
        ),
    }
}

#[cfg(test)]
#[path = "p25_certificates_tests.rs"]
mod tests;
