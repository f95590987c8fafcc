//! Part of P25: the certificates that Safelight's own proxy is to serve, as they lie in their files. They are looked at
//! before anything is served with them.

use super::{Problems, percent, percent_limit, skipped};
use crate::{
    check::{CheckContext, CheckSpec},
    config::{CertificateFiles, url_of},
    driver::net::FileCertificate,
    finding::{Finding, Outcome},
    text::Text,
};
use jiff::Timestamp;

/// One finding for each configured pair of files, and one for whether they can be served at all.
pub(in crate::checks) async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Vec<Finding> {
    let Some(tls) = &ctx.env.tls else { return Vec::new() };
    let mut found = Vec::new();
    let mut readable = Vec::new();
    for files in &tls.certificates {
        let files = files.below(&ctx.project);
        match ctx.net.certificate_files(&files).await {
            Ok(c) => {
                found.push(judge(spec, ctx, &files, &c));
                readable.push(c);
            }
            Err(t) => {
                let subject = files.certificate.display().to_string();
                found.push(Finding::new(spec, subject, Outcome::Fail, t.what).with_help(t.help));
            }
        }
    }
    found.push(served(spec, ctx, &readable));
    found
}

fn judge(spec: &CheckSpec, ctx: &CheckContext, files: &CertificateFiles, c: &FileCertificate) -> Finding {
    let shown = files.certificate.display().to_string();
    let min = ctx.config.checks.certificate_min_left_percent;
    let left = left(c, ctx.now);
    let days = (c.not_after.as_second() - ctx.now.as_second()).div_euclid(86_400);
    let renew = crate::text!(
        "renew it (`certbot renew`, `acme.sh --renew`); the proxy reads the files again by itself. The limit is `checks.certificate-min-left-percent`",
        "续签证书（`certbot renew`、`acme.sh --renew`）；代理会自动重新读取文件。阈值为 `checks.certificate-min-left-percent`"
    );
    let mut problems = Problems::default();
    let ends = c.not_after;
    if c.not_after < ctx.now {
        problems.add(Outcome::Fail, crate::text!("expired at {ends}", "已于 {ends} 过期"), renew);
    } else if c.not_before > ctx.now {
        let begins = c.not_before;
        problems.add(
            Outcome::Fail,
            crate::text!("not valid before {begins}", "在 {begins} 之前无效"),
            Text::new("check the clock of this host (`timedatectl`)", "核对本机时钟（`timedatectl`）"),
        );
    } else if left < min {
        problems.add(
            Outcome::Warn,
            crate::text!("it ends in {days} days", "证书将在 {days} 天后到期"),
            renew,
        );
    }
    let fine = crate::text!(
        "key and certificate match, good for {days} more days",
        "私钥与证书匹配，剩余 {days} 天"
    );
    problems
        .finding(spec, shown, fine)
        .with_limit(
            Text::new("lifetime left", "剩余有效期"),
            format!("{} ({days} d)", percent(left)),
            percent_limit(">=", min),
        )
        .with_fact(Text::new("names", "证书域名"), c.names.join(", "))
        .with_fact(Text::new("valid until", "有效期至"), ends.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "seconds of some years")]
fn left(c: &FileCertificate, now: Timestamp) -> f64 {
    let (from, to) = (c.not_before.as_second(), c.not_after.as_second());
    if to <= from {
        return 0.0;
    }
    (to - now.as_second()) as f64 / (to - from) as f64 * 100.0
}

/// Is there a listener for them, and one of them for the address that users type?
fn served(spec: &CheckSpec, ctx: &CheckContext, readable: &[FileCertificate]) -> Finding {
    let subject = "tls";
    if ctx.state.proxy_listen.is_empty() && ctx.state.proxy_listen_tls.is_empty() {
        return skipped(
            spec,
            subject,
            Text::new("the proxy does not run, so nothing is served yet", "代理未运行，尚未提供服务"),
        );
    }
    let mut problems = Problems::default();
    if ctx.state.proxy_listen_tls.is_empty() {
        problems.add(
            Outcome::Fail,
            Text::new("the proxy takes no TLS: it listens in plain HTTP only", "代理没有 TLS 监听：只监听明文 HTTP"),
            Text::new(
                "`safelight host stop --proxy`, then `safelight host start --listen 0.0.0.0:80 --listen-tls 0.0.0.0:443`",
                "先 `safelight host stop --proxy`，再 `safelight host start --listen 0.0.0.0:80 --listen-tls 0.0.0.0:443`",
            ),
        );
    }
    if let Some(url) = url_of(&ctx.env).filter(|u| u.tls)
        && !readable.is_empty()
        && !readable.iter().any(|c| c.covers(&url.host))
    {
        let (host, names) =
            (url.host, readable.iter().flat_map(|c| c.names.clone()).collect::<Vec<_>>().join(", "));
        problems.add(
            Outcome::Fail,
            crate::text!("no certificate here is for {host}; they name {names}", "没有适用于 {host} 的证书；现有证书域名：{names}"),
            crate::text!(
                "get one that names {host} (a wildcard covers one level only) and add its files to `tls.certificates`",
                "申请包含 {host} 的证书（通配符只覆盖一级），并把文件加入 `tls.certificates`"
            ),
        );
    }
    let at = ctx.state.proxy_listen_tls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    problems.finding(spec, subject, crate::text!("the proxy takes TLS at {at}", "代理在 {at} 接受 TLS"))
}
