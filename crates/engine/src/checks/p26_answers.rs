//! P26: does each address of the app answer?
//! One GET each, no redirect followed.

use super::support::names::{LocalTarget, local_target, nothing_deployed_text, nothing_deployed_yet};
use super::support::{skipped, unknown};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::value::url_parts,
    driver::net::{HttpAnswer, NetError},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(8);

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers;

#[async_trait]
impl Check for Answers {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P26", title: ("Addresses answer", "站点可访问"), risks: &["R1", "R4"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let urls = std::iter::once(&ctx.env.url).chain(&ctx.env.urls);
        futures_util::future::join_all(urls.map(|url| one(&spec, ctx, url))).await
    }
}

async fn one(spec: &CheckSpec, ctx: &CheckContext, url: &str) -> Finding {
    let Some(parts) = url_parts(url) else {
        return unknown(
            spec,
            url,
            crate::text!("`{url}` is not an http or https address", "`{url}` 不是 http 或 https 地址"),
            Text::new("write it as `https://example.com`", "请写成 `https://example.com`"),
        );
    };
    let target = local_target(ctx, &parts);
    let answer = ctx.net.get(url, target.map(|t| t.addr), LIMIT).await;
    let mut finding = match answer {
        Ok(a) => judge(spec, ctx, url, target, &a),
        Err(e) if nothing_deployed_yet(ctx, target, &e) => skipped(spec, url, nothing_deployed_text()),
        Err(e) => silent(spec, url, &e),
    };
    if let Some(t) = target {
        finding = finding.with_fact(Text::new("asked at", "访问地址"), t.addr.to_string());
    }
    finding
}

fn judge(
    spec: &CheckSpec,
    ctx: &CheckContext,
    url: &str,
    target: Option<LocalTarget>,
    a: &HttpAnswer,
) -> Finding {
    let (status, millis) = (a.status, a.millis);
    // Safelight's own proxy runs for other apps and does not know this one yet.
    let unrouted = target.is_some_and(|t| t.proxied) && matches!(status, 404 | 421 | 502 | 503);
    if ctx.state.current.is_none() && unrouted {
        return skipped(spec, url, nothing_deployed_text())
            .with_fact(Text::new("status", "状态码"), status.to_string());
    }
    // The proxy's word for a host that it does not know: one that this deploy adds could never pass otherwise.
    if status == 421 {
        let summary = crate::text!(
            "no route leads to {url} yet; a deploy adds it",
            "尚无路由指向 {url}；部署后才会加上"
        );
        let finding = Finding::new(spec, url, Outcome::Warn, summary).with_limit(
            Text::new("status", "状态码"),
            status.to_string(),
            "200-399",
        );
        return finding.with_help(Text::new(
            "nothing to do when this address is new; if users had it before, `safelight proxy state` shows what is routed",
            "若该地址是新增的，无需处理；若此前已在使用，请用 `safelight proxy state` 查看当前路由",
        ));
    }
    let downgraded = url.starts_with("https://")
        && (300..400).contains(&status)
        && a.location.as_deref().is_some_and(|l| l.starts_with("http://"));
    // What is down is what this deploy exchanges: refusing it would keep the site down.
    // Behind another web server only a release that does not run at all is certain to be the fault.
    let ours = target.is_some_and(|t| t.proxied) || ctx.state.own_pids.is_empty();
    if ours && ctx.state.current.is_some() && status >= 500 {
        let summary = crate::text!(
            "{url} answers {status}: the release that serves is down",
            "{url} 返回 {status}：当前版本已不可用"
        );
        let finding = Finding::new(spec, url, Outcome::Warn, summary).with_limit(
            Text::new("status", "状态码"),
            status.to_string(),
            "200-399",
        );
        return finding.with_help(Text::new(
            "a deploy that mends it may go on; `safelight rollback` leads users back to the verified release before, `safelight logs` shows what the app says",
            "修复问题的部署可以继续；`safelight rollback` 可切回上一个已验证版本，`safelight logs` 可查看应用日志",
        ));
    }
    let outcome = match status {
        200..400 if downgraded => Outcome::Warn,
        200..400 => Outcome::Pass,
        _ => Outcome::Fail,
    };
    let summary = if downgraded {
        crate::text!("{url} redirects from https to http", "{url} 从 https 跳转到了 http")
    } else {
        crate::text!("{url} answers {status} in {millis} ms", "{url} 返回 {status}，耗时 {millis} 毫秒")
    };
    let mut finding = Finding::new(spec, url, outcome, summary).with_limit(
        Text::new("status", "状态码"),
        status.to_string(),
        "200-399",
    );
    if let Some(l) = &a.location {
        finding = finding.with_fact(Text::new("redirects to", "跳转到"), l);
    }
    match outcome {
        Outcome::Pass => finding,
        Outcome::Warn => finding.with_help(Text::new(
            "let the redirect begin with https:// (in nginx: `return 301 https://$host$request_uri`)",
            "让跳转地址以 https:// 开头（nginx：`return 301 https://$host$request_uri`）",
        )),
        _ => finding.with_help(crate::text!(
            "see what it says with `curl -sv {url} -o /dev/null`, then look at the app's log and at the web server in front of it",
            "用 `curl -sv {url} -o /dev/null` 查看响应，再检查应用日志与前置 Web 服务器"
        )),
    }
}

fn silent(spec: &CheckSpec, url: &str, e: &NetError) -> Finding {
    // Without a way there nobody knows whether users are served.
    let outcome = if matches!(e, NetError::Unreachable(_)) { Outcome::Unknown } else { Outcome::Fail };
    let why = match e {
        NetError::Refused => Text::new("nobody listens there", "无人监听"),
        NetError::Timeout => Text::new("no answer in time", "超时无应答"),
        NetError::Unreachable(w) | NetError::Protocol(w) => Text::same(w),
    };
    let (en, zh) = (why.en, why.zh);
    Finding::new(
        spec,
        url,
        outcome,
        crate::text!("{url} does not answer: {en}", "{url} 没有应答：{zh}"),
    )
    .with_limit(Text::new("status", "状态码"), "-", "200-399")
    .with_help(crate::text!(
        "try `curl -sv {url} -o /dev/null` on the host and elsewhere; before a first deploy behind a public name, waive P26 for this address until it is done",
        "在主机及其他机器上试 `curl -sv {url} -o /dev/null`；若是公网域名下的首次部署，可在完成前为该地址豁免 P26"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, http, value};

    fn world(url: &str, answer: Result<HttpAnswer, NetError>) -> World {
        let mut w = World::at(url);
        w.net.gets.insert(url.to_owned(), answer);
        w
    }

    #[tokio::test]
    async fn an_address_that_a_deploy_adds_is_a_warning() {
        let w = world("https://new.filmtrip.cn", Ok(http(421))).deployed();
        assert_eq!(w.one(Answers).await.outcome, Outcome::Warn);
    }

    #[tokio::test]
    async fn two_and_three_hundreds_pass_and_errors_fail() {
        for (status, expected) in [
            (200, Outcome::Pass),
            (204, Outcome::Pass),
            (302, Outcome::Pass),
            (404, Outcome::Fail),
            (500, Outcome::Fail),
            (503, Outcome::Fail),
        ] {
            let f = world("https://filmtrip.cn", Ok(http(status))).one(Answers).await;
            assert_eq!(f.outcome, expected, "{status}");
            assert_eq!(value(&f, "status"), status.to_string());
        }
    }

    #[tokio::test]
    async fn refused_and_late_fail_and_no_way_there_is_unknown() {
        let url = "https://filmtrip.cn";
        for (e, expected) in [
            (NetError::Refused, Outcome::Fail),
            (NetError::Timeout, Outcome::Fail),
            (NetError::Protocol("TLS alert".into()), Outcome::Fail),
            (NetError::Unreachable("network is unreachable".into()), Outcome::Unknown),
        ] {
            assert_eq!(world(url, Err(e)).one(Answers).await.outcome, expected);
        }
    }

    #[tokio::test]
    async fn before_the_first_deploy_a_refusal_on_this_host_is_skipped_and_later_it_fails() {
        let w = world("http://film.localhost:8080", Err(NetError::Refused));
        assert_eq!(w.one(Answers).await.outcome, Outcome::Skipped);
        assert_eq!(w.deployed().one(Answers).await.outcome, Outcome::Fail);
        assert_eq!(
            world("https://filmtrip.cn", Err(NetError::Refused)).one(Answers).await.outcome,
            Outcome::Fail
        );
        let late = world("http://film.localhost:8080", Err(NetError::Timeout));
        assert_eq!(late.one(Answers).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn an_app_on_this_host_is_asked_through_the_proxy() {
        let mut w = world("http://film.localhost", Ok(http(404)));
        w.state.proxy_listen = vec!["0.0.0.0:7080".parse().unwrap()];
        assert_eq!(w.one(Answers).await.outcome, Outcome::Skipped, "the proxy does not know this app yet");
        assert_eq!(w.net.asked.lock().unwrap()[0].1, Some("127.0.0.1:7080".parse().unwrap()));
        assert_eq!(w.deployed().one(Answers).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn a_release_that_is_down_does_not_keep_its_own_cure_away() {
        let mut w = world("http://film.localhost", Ok(http(502))).deployed();
        w.state.proxy_listen = vec!["0.0.0.0:7080".parse().unwrap()];
        let f = w.one(Answers).await;
        assert_eq!(f.outcome, Outcome::Warn);
        assert!(f.help.unwrap().en.contains("safelight rollback"));
        // Behind somebody else's web server it is known only when nothing runs.
        let mut w = world("https://filmtrip.cn", Ok(http(502))).deployed();
        assert_eq!(w.one(Answers).await.outcome, Outcome::Warn);
        w.state.own_pids = [4711].into();
        assert_eq!(w.one(Answers).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn every_address_is_asked_and_a_redirect_out_of_https_warns() {
        let mut w = world("https://filmtrip.cn", Ok(http(200)));
        w.toml.push_str("urls = [\"https://img.filmtrip.cn\"]\n");
        let location = Some("http://img.filmtrip.cn/".to_owned());
        w.net.gets.insert("https://img.filmtrip.cn".into(), Ok(HttpAnswer { location, ..http(301) }));
        let outcomes: Vec<Outcome> = w.run(Answers).await.iter().map(|f| f.outcome).collect();
        assert_eq!(outcomes, [Outcome::Pass, Outcome::Warn]);
    }

    #[tokio::test]
    async fn the_main_address_is_reached_where_the_configuration_says() {
        let mut w = world("https://filmtrip.cn", Ok(http(200)));
        w.toml.push_str("connect = \"192.0.2.7:8443\"\nurls = [\"https://img.filmtrip.cn\"]\n");
        w.net.gets.insert("https://img.filmtrip.cn".into(), Err(NetError::Refused));
        let outcomes: Vec<Outcome> = w.run(Answers).await.iter().map(|f| f.outcome).collect();
        assert_eq!(outcomes, [Outcome::Pass, Outcome::Fail]);
        let asked: Vec<_> = w.net.asked.lock().unwrap().iter().map(|(_, to)| *to).collect();
        assert_eq!(asked, [Some("192.0.2.7:8443".parse().unwrap()), None]);
        // Another machine that refuses is no first deploy on this one.
        w.net.gets.insert("https://filmtrip.cn".into(), Err(NetError::Refused));
        assert_eq!(w.run(Answers).await[0].outcome, Outcome::Fail);
    }
}
