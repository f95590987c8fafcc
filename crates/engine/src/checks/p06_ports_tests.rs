//! Tests of P6: who keeps whom from binding.

use super::*;
use crate::checks::{
    p05_processes::process,
    testing::{World, host_error},
};

fn listener(addr: &str, v6only: Option<bool>, pid: Option<u32>) -> Listener {
    Listener {
        addr: addr.parse().unwrap(),
        port: 3001,
        v6only,
        owner: pid.map(|p| process(p, 1, "node", "node /srv/blog/index.js")),
    }
}

fn world(listeners: Vec<Listener>) -> World {
    let mut w = World::new("");
    w.toml = w.toml.replace("path = \"/\"", "path = \"/\"\nfixed-port = 3001");
    w.host.listeners = Ok(listeners);
    w.host = w.host.file("/proc/net/if_inet6", "00000000000000000000000000000001 01 80 10 80 lo\n");
    w
}

fn bound_to(w: World, host: &str) -> World {
    let mut w = w;
    w.toml =
        w.toml.replace("fixed-port = 3001", &format!("fixed-port = 3001\nenv = {{ HOST = \"{host}\" }}"));
    w
}

#[test]
fn addresses_block_each_other_as_the_kernel_does_it() {
    use Blocks::{No, Perhaps, Yes};
    for (held, v6only, target, expected) in [
        ("::", Some(false), "0.0.0.0", Yes),
        ("::", Some(true), "0.0.0.0", No),
        ("::", None, "0.0.0.0", Perhaps),
        ("::", None, "127.0.0.1", Perhaps),
        ("::", Some(true), "::", Yes),
        ("::1", None, "::", Yes),
        ("::1", None, "0.0.0.0", No),
        ("0.0.0.0", None, "127.0.0.1", Yes),
        ("127.0.0.1", None, "0.0.0.0", Yes),
        ("127.0.0.1", None, "127.0.0.2", No),
        ("127.0.0.1", None, "127.0.0.1", Yes),
        ("0.0.0.0", None, "::", Yes),
        ("127.0.0.1", None, "::1", No),
        ("::ffff:127.0.0.1", None, "127.0.0.1", Yes),
        ("::ffff:127.0.0.1", None, "127.0.0.2", No),
    ] {
        let l = listener(held, v6only, None);
        assert_eq!(blocks(&l, target.parse().unwrap()), expected, "{held} ({v6only:?}) and {target}");
    }
}

#[tokio::test]
async fn a_free_port_passes_and_one_of_another_app_fails_with_its_owner() {
    assert_eq!(world(vec![]).one(Ports).await.outcome, Outcome::Pass);
    let f = world(vec![listener("::", Some(false), Some(70))]).one(Ports).await;
    assert_eq!(f.outcome, Outcome::Fail);
    assert!(f.summary.en.contains("node /srv/blog/index.js (pid 70, www, in /srv/film)"), "{}", f.summary.en);
}

#[tokio::test]
async fn a_listener_on_another_port_or_another_loopback_address_is_no_conflict() {
    let other_port = Listener { port: 3002, ..listener("0.0.0.0", None, Some(70)) };
    assert_eq!(world(vec![other_port]).one(Ports).await.outcome, Outcome::Pass);
    let w = bound_to(world(vec![listener("127.0.0.1", None, Some(70))]), "127.0.0.2");
    assert_eq!(w.one(Ports).await.outcome, Outcome::Pass);
    let w = bound_to(world(vec![listener("127.0.0.1", None, Some(70))]), "127.0.0.1");
    assert_eq!(w.one(Ports).await.outcome, Outcome::Fail);
}

#[tokio::test]
async fn the_apps_own_process_and_its_children_are_no_conflict() {
    let mut w = world(vec![listener("0.0.0.0", None, Some(70))]);
    w.host.processes =
        Ok(vec![process(60, 1, "npm", "npm start"), process(70, 60, "node", "node server.js")]);
    w.state.own_pids = vec![60];
    assert_eq!(w.one(Ports).await.outcome, Outcome::Pass);
}

fn held_from(cwd: &str, deployed: bool) -> World {
    let mut owner = process(70, 1, "node", "node server.js");
    owner.cwd = Some(cwd.into());
    let mut w = world(vec![Listener { owner: Some(owner), ..listener("0.0.0.0", None, None) }]);
    w.state.data_dir = "/var/lib/safelight/apps/film.production".into();
    if deployed { w.deployed() } else { w }
}

#[tokio::test]
async fn the_release_that_serves_started_again_under_another_pid_is_no_conflict() {
    let at = "/var/lib/safelight/apps/film.production/releases/r12";
    assert_eq!(held_from(at, true).one(Ports).await.outcome, Outcome::Pass);
    assert_eq!(held_from(at, false).one(Ports).await.outcome, Outcome::Fail, "nothing of ours serves");
}

#[tokio::test]
async fn the_same_app_of_another_environment_is_a_conflict_and_named_with_its_place() {
    let at = "/var/lib/safelight/apps/film.staging/releases/r12";
    let f = held_from(at, true).one(Ports).await;
    assert_eq!(f.outcome, Outcome::Fail);
    assert!(
        f.summary.en.contains("in /var/lib/safelight/apps/film.staging/releases/r12"),
        "{}",
        f.summary.en
    );
}

#[tokio::test]
async fn an_owner_that_may_not_be_seen_is_unknown() {
    assert_eq!(world(vec![listener("0.0.0.0", None, None)]).one(Ports).await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn an_unreadable_v6only_is_tried_out() {
    let w = bound_to(world(vec![listener("::", None, Some(70))]), "127.0.0.1");
    assert_eq!(w.one(Ports).await.outcome, Outcome::Pass);
    let mut w = bound_to(world(vec![listener("::", None, Some(70))]), "127.0.0.1");
    w.host.unbindable = vec![("127.0.0.1".parse().unwrap(), 3001)];
    assert_eq!(w.one(Ports).await.outcome, Outcome::Fail);
}

#[tokio::test]
async fn a_port_that_is_bound_and_not_listened_on_fails() {
    let mut w = world(vec![]);
    w.host.unbindable = vec![("0.0.0.0".parse().unwrap(), 3001)];
    assert_eq!(w.one(Ports).await.outcome, Outcome::Fail);
}

#[tokio::test]
async fn a_host_that_cannot_list_or_bind_is_unknown_and_a_privileged_port_fails() {
    let mut w = world(vec![]);
    w.host.listeners = Err(host_error(HostErrorKind::Permission));
    assert_eq!(w.one(Ports).await.outcome, Outcome::Unknown);
    let mut w = world(vec![]);
    w.host.bind_error = Some(host_error(HostErrorKind::Other));
    assert_eq!(w.one(Ports).await.outcome, Outcome::Unknown);
    w.host.bind_error = Some(host_error(HostErrorKind::Permission));
    assert_eq!(w.one(Ports).await.outcome, Outcome::Fail);
}

#[tokio::test]
async fn without_a_fixed_port_a_private_one_is_picked_if_there_is_any() {
    let mut w = World::new("");
    w.host = w.host.file("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    let f = w.one(Ports).await;
    assert_eq!((f.outcome, f.evidence[0].value.en.as_str()), (Outcome::Pass, "32768-60999"));
    w.host.unbindable = vec![("127.0.0.1".parse().unwrap(), 0)];
    assert_eq!(w.one(Ports).await.outcome, Outcome::Fail);
    w.host.bind_error = Some(host_error(HostErrorKind::Timeout));
    assert_eq!(w.one(Ports).await.outcome, Outcome::Unknown);
}
