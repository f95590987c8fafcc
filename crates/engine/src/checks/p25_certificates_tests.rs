//! Tests of P25: what is wrong with a chain, and how long it lasts.

use super::*;
use crate::checks::testing::{World, http, now, records, value};
use crate::driver::net::{FileCertificate, FileTrouble, HttpAnswer};

const ADDR: &str = "192.0.2.1:443";
const URL: &str = "https://filmtrip.cn:443/";

fn info(subject: &str, issuer: &str, from_days: i64, to_days: i64) -> CertInfo {
    let at = |d: i64| now() + jiff::SignedDuration::from_hours(24 * d);
    CertInfo {
        subject: subject.into(),
        issuer: issuer.into(),
        names: vec!["filmtrip.cn".into()],
        not_before: at(from_days),
        not_after: at(to_days),
        signature: "ecdsa-with-SHA256".into(),
    }
}

fn leaf(from_days: i64, to_days: i64) -> CertInfo {
    info("filmtrip.cn", "E7", from_days, to_days)
}

fn chain(verified: Result<(), CertProblem>, chain: Vec<CertInfo>) -> Certificate {
    Certificate { address: ADDR.parse().unwrap(), verified, chain }
}

fn world(look: Result<Certificate, NetError>) -> World {
    let mut w = World::new("");
    w.net.resolutions.insert(("filmtrip.cn".into(), None), records(&["192.0.2.1"], &[]));
    w.net.certificates.insert(ADDR.parse().unwrap(), look);
    w.net.gets.insert(URL.into(), Ok(http(200)));
    w
}

#[tokio::test]
async fn a_good_chain_passes_and_shows_what_is_left() {
    let c = chain(Ok(()), vec![leaf(-30, 60), info("E7", "Root", -500, 500)]);
    let f = world(Ok(c)).one(Certificates).await;
    assert_eq!((f.outcome, value(&f, "left")), (Outcome::Pass, "66.7 % (60 d)"));
    assert_eq!(value(&f, "clock"), "-1 s");
}

#[tokio::test]
async fn the_end_is_warned_of_by_a_fraction_of_the_lifetime() {
    // 15 of 90 days and 70 of 400 are too little; 2 of 6 days are not.
    for (from, to, expected) in [(-75, 15, Outcome::Warn), (-330, 70, Outcome::Warn), (-4, 2, Outcome::Pass)]
    {
        let f = world(Ok(chain(Ok(()), vec![leaf(from, to)]))).one(Certificates).await;
        assert_eq!(f.outcome, expected, "{from} {to}");
    }
}

#[tokio::test]
async fn each_problem_has_words_of_its_own() {
    let other = CertInfo { names: vec!["example.com".into()], ..leaf(-30, 60) };
    let nameless = CertInfo { names: vec![], ..leaf(-30, 60) };
    let own = info("filmtrip.cn", "filmtrip.cn", -30, 60);
    for (problem, leaf, words) in [
        (CertProblem::Expired, leaf(-90, -1), "expired"),
        (CertProblem::NotYetValid, leaf(10, 90), "not valid before"),
        (CertProblem::WrongName, other, "made for example.com, not for filmtrip.cn"),
        (CertProblem::WrongName, nameless, "SAN"),
        (CertProblem::UntrustedIssuer, own, "self-signed"),
        (CertProblem::UntrustedIssuer, leaf(-30, 60), "the intermediate E7 is not sent"),
        (CertProblem::Other("bad signature".into()), leaf(-30, 60), "bad signature"),
    ] {
        let f = world(Ok(chain(Err(problem), vec![leaf]))).one(Certificates).await;
        assert_eq!(f.outcome, Outcome::Fail, "{words}");
        assert!(f.summary.en.contains(words), "{words}: {}", f.summary.en);
    }
    let c = chain(Err(CertProblem::UntrustedIssuer), vec![leaf(-30, 60), info("E7", "My Root", -50, 50)]);
    let f = world(Ok(c)).one(Certificates).await;
    assert!(f.summary.en.contains("My Root"), "{}", f.summary.en);
}

#[tokio::test]
async fn a_sha1_signature_fails_even_where_the_verifier_says_nothing() {
    let weak = CertInfo { signature: "sha1WithRSAEncryption".into(), ..leaf(-30, 60) };
    assert_eq!(world(Ok(chain(Ok(()), vec![weak]))).one(Certificates).await.outcome, Outcome::Fail);
}

#[tokio::test]
async fn an_expiring_intermediate_warns_and_superfluous_expired_ones_do_not() {
    let c = chain(Ok(()), vec![leaf(-10, 80), info("E7", "Root", -900, 20)]);
    let f = world(Ok(c)).one(Certificates).await;
    assert_eq!((f.outcome, f.summary.en.contains("intermediate E7")), (Outcome::Warn, true));
    let root = info("Old Root", "Old Root", -9000, -100);
    let cross = info("Root", "Old Root", -900, -100);
    let c = chain(Ok(()), vec![leaf(-10, 80), info("E7", "Root", -900, 900), cross, root]);
    assert_eq!(world(Ok(c)).one(Certificates).await.outcome, Outcome::Pass);
}

#[tokio::test]
async fn a_wrong_clock_is_unknown_whatever_the_dates_say() {
    let late = HttpAnswer { date: Some("Mon, 02 Mar 2026 02:00:00 GMT".into()), ..http(200) };
    let mut w = world(Ok(chain(Ok(()), vec![leaf(-30, 60)])));
    w.net.gets.insert(URL.into(), Ok(late.clone()));
    assert_eq!(w.one(Certificates).await.outcome, Outcome::Unknown);
    // https does not answer a client that refuses the certificate: plain http tells the time.
    let mut w = world(Ok(chain(Err(CertProblem::Expired), vec![leaf(-90, -1)])));
    w.net.gets.insert(URL.into(), Err(NetError::Protocol("expired".into())));
    w.net.gets.insert("http://filmtrip.cn/".into(), Ok(late));
    assert_eq!(w.one(Certificates).await.outcome, Outcome::Unknown);
    w.net.gets.remove("http://filmtrip.cn/");
    let f = w.one(Certificates).await;
    assert_eq!((f.outcome, value(&f, "clock").contains("not compared")), (Outcome::Fail, true));
}

#[tokio::test]
async fn every_address_is_looked_at_and_failures_to_connect_are_told_apart() {
    let mut w = world(Ok(chain(Ok(()), vec![leaf(-30, 60)])));
    let all = records(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"], &[]);
    w.net.resolutions.insert(("filmtrip.cn".into(), None), all);
    w.net.certificates.insert("192.0.2.2:443".parse().unwrap(), Err(NetError::Refused));
    w.net.certificates.insert("192.0.2.3:443".parse().unwrap(), Err(NetError::Timeout));
    let found = w.run(Certificates).await;
    let outcomes: Vec<Outcome> = found.iter().map(|f| f.outcome).collect();
    assert_eq!(outcomes, [Outcome::Pass, Outcome::Fail, Outcome::Unknown, Outcome::Unknown]);
    assert_eq!(found[3].subject, "filmtrip.cn [2001:db8::1]:443");
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_unknown_and_http_is_skipped() {
    let mut w = world(Err(NetError::Refused));
    w.net.resolutions.insert(("filmtrip.cn".into(), None), Answer::Timeout);
    assert_eq!(w.one(Certificates).await.outcome, Outcome::Unknown);
    assert_eq!(World::at("http://filmtrip.cn").one(Certificates).await.outcome, Outcome::Skipped);
}

#[tokio::test]
async fn before_the_first_deploy_a_refusal_on_this_host_is_skipped() {
    let mut w = World::at("https://film.localhost:8443");
    w.net.certificates.insert("127.0.0.1:8443".parse().unwrap(), Err(NetError::Refused));
    assert_eq!(w.one(Certificates).await.outcome, Outcome::Skipped);
    assert_eq!(w.deployed().one(Certificates).await.outcome, Outcome::Fail);
}

const TLS: &str =
    "[env.production.tls]\ncertificates = [{ certificate = \"/etc/ssl/c.pem\", key = \"/etc/ssl/k.pem\" }]\n";

fn with_files(file: Result<FileCertificate, FileTrouble>) -> World {
    let mut w = World::new(TLS);
    w.net.resolutions.insert(("filmtrip.cn".into(), None), records(&["192.0.2.1"], &[]));
    w.net.certificates.insert(ADDR.parse().unwrap(), Err(NetError::Protocol("handshake".into())));
    w.net.files.insert("/etc/ssl/c.pem".into(), file);
    w.state.proxy_listen = vec!["0.0.0.0:80".parse().unwrap()];
    w.state.proxy_listen_tls = vec!["0.0.0.0:443".parse().unwrap()];
    w
}

fn file(names: &[&str], from_days: i64, to_days: i64) -> FileCertificate {
    let leaf = leaf(from_days, to_days);
    let names = names.iter().map(|n| (*n).to_owned()).collect();
    FileCertificate { names, not_before: leaf.not_before, not_after: leaf.not_after }
}

async fn outcomes(w: &World) -> Vec<Outcome> {
    w.run(Certificates).await.iter().map(|f| f.outcome).collect()
}

#[tokio::test]
async fn before_a_first_deploy_the_files_are_judged_in_place_of_what_is_not_served_yet() {
    use Outcome::{Fail, Pass, Skipped, Warn};
    let w = with_files(Ok(file(&["*.filmtrip.cn", "filmtrip.cn"], -30, 60)));
    assert_eq!(outcomes(&w).await, [Skipped, Pass, Pass]);
    assert_eq!(outcomes(&w.deployed()).await, [Fail, Pass, Pass], "later it has to be served");
    for (from, to, expected) in [(-80, 10, Warn), (-90, -1, Fail), (1, 90, Fail)] {
        let w = with_files(Ok(file(&["filmtrip.cn"], from, to)));
        assert_eq!(outcomes(&w).await, [Skipped, expected, Pass], "{from} {to}");
    }
}

#[tokio::test]
async fn before_a_first_deploy_an_address_that_was_not_reached_is_unknown() {
    for e in [NetError::Timeout, NetError::Unreachable("no route".into())] {
        let mut w = with_files(Ok(file(&["filmtrip.cn"], -30, 60)));
        w.net.certificates.insert(ADDR.parse().unwrap(), Err(e.clone()));
        assert_eq!(outcomes(&w).await[0], Outcome::Unknown, "{e}");
    }
    let mut w = with_files(Ok(file(&["filmtrip.cn"], -30, 60)));
    w.net.certificates.insert(ADDR.parse().unwrap(), Err(NetError::Refused));
    assert_eq!(outcomes(&w).await[0], Outcome::Skipped);
}

#[tokio::test]
async fn files_that_cannot_be_served_names_they_lack_and_a_missing_listener_fail_with_what_to_do() {
    use Outcome::{Fail, Pass, Skipped};
    let (what, help) = (Text::new("is gone", "不存在"), Text::new("correct the path", "请改正路径"));
    let w = with_files(Err(FileTrouble { key: true, what, help }));
    let found = w.run(Certificates).await;
    assert_eq!(found[1].outcome, Fail);
    assert_eq!(found[1].help.as_ref().map(|h| h.en.as_str()), Some("correct the path"));
    let w = with_files(Ok(file(&["*.filmtrip.cn"], -30, 60)));
    let found = w.run(Certificates).await;
    assert_eq!(found[2].outcome, Fail, "a wildcard does not cover its parent");
    assert!(found[2].summary.en.contains("no certificate here is for filmtrip.cn"), "{:?}", found[2].summary);
    let mut w = with_files(Ok(file(&["filmtrip.cn"], -30, 60)));
    w.state.proxy_listen_tls.clear();
    let found = w.run(Certificates).await;
    assert_eq!(found[2].outcome, Fail);
    assert!(found[2].help.as_ref().unwrap().en.contains("--listen-tls"));
    w.state.proxy_listen.clear();
    assert_eq!(outcomes(&w).await, [Skipped, Pass, Skipped]);
}
