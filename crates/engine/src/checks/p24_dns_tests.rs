//! Tests of P24: what names lead to, and who says so.

use super::*;
use crate::checks::testing::{World, records};

const NS: &str = "192.0.2.53:53";
const NAME: &str = "filmtrip.cn";

fn ns() -> SocketAddr {
    NS.parse().unwrap()
}

/// A world in which resolver and authoritative server answer as given.
fn world(recursive: Answer, authoritative: Answer) -> World {
    let mut w = World::new("");
    w.net.resolutions.insert((NAME.into(), None), recursive);
    w.net.resolutions.insert((NAME.into(), Some(ns())), authoritative);
    w.net.authorities.insert(NAME.into(), Ok(vec![ns()]));
    w
}

fn expecting(mut w: World, expected: &[&str]) -> World {
    w.toml.push_str(&format!("[env.production.dns]\n\"{NAME}\" = {expected:?}\n"));
    w
}

#[tokio::test]
async fn an_answer_that_agrees_with_the_zone_passes_in_any_order() {
    let w = world(records(&["192.0.2.1", "192.0.2.2"], &[]), records(&["192.0.2.2", "192.0.2.1"], &[]));
    let f = expecting(w, &["192.0.2.2", "192.0.2.1"]).one(Dns).await;
    assert_eq!(f.outcome, Outcome::Pass, "{f:#?}");
    assert!(f.summary.en.contains("TTL 300 s"));
}

#[tokio::test]
async fn negative_answers_and_silence_are_told_apart() {
    let silent = NetError::Timeout;
    for (answer, expected, word) in [
        (Answer::NxDomain { negative_ttl: Some(600) }, Outcome::Fail, "NXDOMAIN"),
        (Answer::NoData, Outcome::Fail, "NODATA"),
        (Answer::ServFail, Outcome::Unknown, "SERVFAIL"),
        (Answer::Refused, Outcome::Unknown, "REFUSED"),
        (Answer::Timeout, Outcome::Unknown, "in time"),
        (Answer::Unreachable { why: "no network".into() }, Outcome::Unknown, "no network"),
    ] {
        let mut w = world(answer, Answer::Timeout);
        w.net.authorities.insert(NAME.into(), Err(silent.clone()));
        let f = w.one(Dns).await;
        assert_eq!(f.outcome, expected, "{word}");
        assert!(f.summary.en.contains(word), "{word}: {}", f.summary.en);
    }
    let f = world(Answer::NxDomain { negative_ttl: Some(600) }, Answer::NxDomain { negative_ttl: None })
        .one(Dns)
        .await;
    assert!(f.evidence[0].value.en.contains("600 s"), "the negative TTL is reported");
}

#[tokio::test]
async fn a_resolver_that_fails_where_the_zone_answers_fails() {
    let f = world(Answer::ServFail, records(&["192.0.2.1"], &[])).one(Dns).await;
    assert_eq!(f.outcome, Outcome::Fail);
    assert!(f.help.unwrap().en.contains("DNSSEC"));
}

#[tokio::test]
async fn an_old_answer_in_a_cache_warns() {
    let f = world(records(&["192.0.2.9"], &[]), records(&["192.0.2.1"], &[])).one(Dns).await;
    assert_eq!(f.outcome, Outcome::Warn);
    let f = expecting(world(records(&["192.0.2.9"], &[]), records(&["192.0.2.1"], &[])), &["192.0.2.1"]);
    assert_eq!(f.one(Dns).await.outcome, Outcome::Warn, "the zone is right already");
}

#[tokio::test]
async fn records_that_are_not_expected_fail_a_forgotten_aaaa_too() {
    let same = |r: &[&str]| world(records(r, &[]), records(r, &[]));
    let f = expecting(same(&["192.0.2.9"]), &["192.0.2.1"]).one(Dns).await;
    assert_eq!(f.outcome, Outcome::Fail);
    assert_eq!(f.evidence[0].limit.as_ref().unwrap().en, "192.0.2.1");
    let f = expecting(same(&["192.0.2.1", "2001:db8::1"]), &["192.0.2.1"]).one(Dns).await;
    assert_eq!(f.outcome, Outcome::Fail);
}

#[tokio::test]
async fn a_cname_to_a_cdn_is_asserted_and_its_addresses_are_not() {
    let cdn = ["filmtrip.b0.aicdn.com."];
    let w = || world(records(&["192.0.2.77"], &cdn), records(&[], &cdn));
    assert_eq!(expecting(w(), &["FilmTrip.b0.aicdn.com"]).one(Dns).await.outcome, Outcome::Pass);
    assert_eq!(expecting(w(), &["other.aicdn.com"]).one(Dns).await.outcome, Outcome::Fail);
    // A CDN that answers with another address at each place is no disagreement.
    let w = world(records(&["192.0.2.77"], &cdn), records(&["192.0.2.99"], &cdn));
    assert_eq!(w.one(Dns).await.outcome, Outcome::Pass);
}

#[tokio::test]
async fn authoritative_servers_that_cannot_be_asked_or_disagree_warn() {
    let mut w = world(records(&["192.0.2.1"], &[]), Answer::Timeout);
    assert_eq!(w.one(Dns).await.outcome, Outcome::Warn);
    w.net.authorities.insert(NAME.into(), Err(NetError::Timeout));
    assert_eq!(w.one(Dns).await.outcome, Outcome::Warn);
    let second: SocketAddr = "192.0.2.54:53".parse().unwrap();
    let mut w = world(records(&["192.0.2.1"], &[]), records(&["192.0.2.1"], &[]));
    w.net.authorities.insert(NAME.into(), Ok(vec![ns(), second]));
    w.net.resolutions.insert((NAME.into(), Some(second)), records(&["192.0.2.2"], &[]));
    let f = w.one(Dns).await;
    assert_eq!((f.outcome, f.summary.en.contains("disagree")), (Outcome::Warn, true));
}

#[tokio::test]
async fn a_hosts_file_that_overrides_the_name_warns() {
    let mut w = world(records(&["192.0.2.1"], &[]), records(&["192.0.2.1"], &[]));
    w.host = w
        .host
        .file("/etc/hosts", "127.0.0.1 localhost\n10.0.0.5 x FilmTrip.cn # old\n# 10.0.0.6 filmtrip.cn\n");
    let f = w.one(Dns).await;
    assert_eq!(f.outcome, Outcome::Warn);
    assert!(f.summary.en.contains("10.0.0.5") && !f.summary.en.contains("10.0.0.6"));
}

#[tokio::test]
async fn a_host_that_sees_another_address_warns() {
    let mut w = world(records(&["192.0.2.1"], &[]), records(&["192.0.2.1"], &[]));
    w.net.lookups.insert(NAME.into(), Ok(vec!["10.9.9.9".parse().unwrap()]));
    assert_eq!(w.one(Dns).await.outcome, Outcome::Warn);
}

#[tokio::test]
async fn an_aaaa_to_a_dead_host_warns_unless_this_host_has_no_ipv6() {
    let both = || records(&["192.0.2.1", "2001:db8::1"], &[]);
    let mut w = world(both(), both());
    w.net.connects.insert("192.0.2.1:443".parse().unwrap(), Ok(Duration::from_millis(1)));
    let f = w.one(Dns).await;
    assert_eq!(f.outcome, Outcome::Pass, "no way there from here");
    assert!(f.evidence.iter().any(|e| e.label.en.contains("no IPv6")));
    w.net.connects.insert("[2001:db8::1]:443".parse().unwrap(), Err(NetError::Timeout));
    assert_eq!(w.one(Dns).await.outcome, Outcome::Warn);
    w.net.connects.insert("[2001:db8::1]:443".parse().unwrap(), Ok(Duration::from_millis(1)));
    assert_eq!(w.one(Dns).await.outcome, Outcome::Pass);
}

#[tokio::test]
async fn configured_resolvers_are_asked() {
    let mut w = World::new("resolvers = [\"192.0.2.8\"]\n");
    w.net
        .resolutions
        .insert((NAME.into(), Some("192.0.2.8:53".parse().unwrap())), records(&["192.0.2.1"], &[]));
    assert_eq!(w.one(Dns).await.evidence[0].label.en, "resolver 192.0.2.8:53");
}

#[tokio::test]
async fn names_of_this_host_and_addresses_are_skipped_with_the_reason() {
    for url in [
        "http://localhost:3000",
        "http://film.localhost",
        "http://film.test",
        "http://192.0.2.1",
        "http://[::1]:80",
    ] {
        let f = World::at(url).one(Dns).await;
        assert_eq!(f.outcome, Outcome::Skipped, "{url}");
    }
}
