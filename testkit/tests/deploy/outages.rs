//! The proxy or an app is killed in the middle of a deploy.

use rustix::process::Signal;
use safelight_testkit::{
    bed::{Bed, HOST, Release},
    processes,
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Longest time without a proxy. Its supervisor looks every 150 ms; the rest is for a busy test machine.
const OUTAGE: Duration = Duration::from_secs(2);

#[test]
fn a_killed_proxy_is_back_at_once_and_the_deploy_goes_on() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let points = ["applied:stage", "intent:promote:api", "done:promote:web", "intent:watch"];
    let mut outages = Vec::new();
    for (n, point) in points.iter().enumerate() {
        let version = format!("v{}", n + 2);
        bed.prepare(&Release::new(&version, 1));
        bed.forget_points();
        bed.order(point, "pause");
        let mut cli = bed.background(&["deploy"]);
        cli.comes_to(&bed, point);
        let pid = bed.status().unwrap()["proxy"]["pid"].as_u64().unwrap();
        bed.mark(&format!("outage at {point}"));
        processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
        let since = Instant::now();
        bed.wait_until("the proxy is back", |b| b.get(HOST, "/").is_some_and(|(s, _)| s == 200));
        let outage = since.elapsed();
        assert!(outage < OUTAGE, "{point}: no proxy for {outage:?}");
        eprintln!("{point}: back after {outage:?}");
        outages.push(outage);
        // Requests that were under way have failed by now.
        std::thread::sleep(Duration::from_millis(200));
        bed.mark(&format!("after {point}"));
        bed.release(point);
        cli.end().ended(0);
        bed.serves_exactly(&version);
    }
    // Other tests share the cores: one outage may be longer, not most of them.
    outages.sort();
    assert!(outages[1] < Duration::from_secs(1), "the proxy is not back within a second: {outages:?}");
    only_connections_broke_in_outages(&mut bed);
}

/// Kills the proxy while the run is at `point`, and lets the run go on at once: it meets a proxy that is not there.
fn kill_the_proxy_at(bed: &Bed, point: &str) {
    let pid = bed.status().unwrap()["proxy"]["pid"].as_u64().unwrap();
    bed.mark(&format!("outage at {point}"));
    processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
    bed.release(point);
}

/// Nothing failed but connections, and those only while the proxy was away.
#[track_caller]
pub(super) fn only_connections_broke_in_outages(bed: &mut Bed) {
    for (mark, c) in bed.traffic_ends() {
        if mark.starts_with("outage") {
            let cut_off =
                c.samples.iter().all(|s| !s.contains("50") && !s.contains("404") && !s.contains("421"));
            assert!(cut_off, "{mark}: only connections may break: {:#?}", c.samples);
        } else {
            assert_eq!(c.failed, 0, "{mark}: {:#?}", c.samples);
        }
    }
}

#[test]
fn a_run_that_meets_no_proxy_waits_for_it() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let points =
        ["intent:dark-test", "intent:promote:api", "applied:promote:api", "intent:verify", "intent:commit"];
    for (n, point) in points.iter().enumerate() {
        let version = format!("v{}", n + 2);
        bed.prepare(&Release::new(&version, 1));
        bed.forget_points();
        bed.order(point, "pause");
        let mut cli = bed.background(&["deploy"]);
        cli.comes_to(&bed, point);
        kill_the_proxy_at(&bed, point);
        cli.end().ended(0);
        bed.serves_exactly(&version);
        bed.mark(&format!("after {point}"));
    }
    only_connections_broke_in_outages(&mut bed);
}

#[test]
fn an_undo_that_meets_no_proxy_waits_for_it() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"1m\"");
    bed.traffic_begins();
    for point in ["undo-intent:promote:web", "undo-intent:promote:api", "undo-intent:dark-test"] {
        bed.prepare(&Release::new("v2", 1));
        bed.forget_points();
        bed.safelight(&["deploy", "--detach"]).ended(0);
        bed.order(point, "pause");
        let mut cli = bed.background(&["abort"]);
        cli.comes_to(&bed, point);
        kill_the_proxy_at(&bed, point);
        cli.end().ended(0);
        bed.serves_exactly("v1");
        bed.mark(&format!("after {point}"));
    }
    only_connections_broke_in_outages(&mut bed);
}

/// Ids of an app's process and, as its parent, of its shim.
fn pids(bed: &Bed, name: &str) -> (u32, u32) {
    let list = bed.app()["processes"].as_array().cloned().unwrap_or_default();
    let is = |p: &&Value| p["name"].as_str() == Some(name);
    let pid = list.iter().find(is).and_then(|p| p["pid"].as_u64()).expect("it runs");
    let pid = u32::try_from(pid).unwrap();
    (pid, parent(pid))
}

/// The process that started this one and still lives.
pub(super) fn parent(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_new_release_that_dies_before_users_meet_it_is_undone() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    for (n, (point, shim_too)) in
        [("intent:dark-test", true), ("done:dark-test", true), ("done:dark-test", false)].iter().enumerate()
    {
        bed.prepare(&Release::new("v2", 1));
        bed.forget_points();
        bed.order(point, "pause");
        let mut cli = bed.background(&["deploy"]);
        cli.comes_to(&bed, point);
        let (app, shim) = pids(&bed, &format!("shop.production.web.r{}", n + 2));
        if *shim_too {
            processes::kill(shim, Signal::KILL);
        }
        processes::kill(app, Signal::KILL);
        if !shim_too {
            bed.wait_until("its shim has started it again", |b| {
                let list = b.app()["processes"].as_array().cloned().unwrap_or_default();
                list.iter().any(|p| p["restarts"].as_u64() == Some(1) && p["state"] == "running")
            });
        }
        bed.release(point);
        cli.end().ended(3).says(&["web", "died"]);
        bed.serves_exactly("v1");
    }
    bed.nobody_was_failed();
}

#[test]
fn an_app_that_is_killed_during_the_watch_is_started_again() {
    let mut bed = Bed::new();
    bed.configure("duration = \"1s\"", "duration = \"3s\"");
    // More bad looks than fit into the watch: a quick restart is no reason to undo a deploy.
    bed.configure("breaches-to-undo = 2", "breaches-to-undo = 30");
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 1));
    bed.forget_points();
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, "intent:watch");
    let (app, _) = pids(&bed, "shop.production.web.r2");
    bed.mark("killed");
    processes::kill(app, Signal::KILL);
    bed.wait_until("it answers again", |b| b.get(HOST, "/").is_some_and(|(s, _)| s == 200));
    std::thread::sleep(Duration::from_millis(200));
    bed.mark("after");
    cli.end().ended(0);
    bed.serves_exactly("v2");
    for (mark, c) in bed.traffic_ends() {
        if mark == "killed" {
            assert!(c.failed < 60, "{} of {} requests failed: {:#?}", c.failed, c.sent, c.samples);
        } else {
            assert_eq!(c.failed, 0, "{mark}: {:#?}", c.samples);
        }
    }
}

#[test]
fn an_app_that_dies_for_good_during_the_watch_is_left_for_the_old_release() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"1m\"");
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 1));
    bed.forget_points();
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, "intent:watch");
    let (app, shim) = pids(&bed, "shop.production.web.r2");
    bed.mark("killed");
    processes::kill(shim, Signal::KILL);
    processes::kill(app, Signal::KILL);
    bed.wait_until("users are back on v1", |b| {
        b.get(HOST, "/").is_some_and(|(s, body)| s == 200 && body.starts_with("v1"))
    });
    cli.end().ended(3).says(&["web"]);
    bed.serves_exactly("v1");
    // Whoever asked before the way back was done has had an answer by now.
    bed.mark("after");
    bed.wait_until("users go on", |b| b.counts().iter().any(|(m, c)| m == "after" && c.sent > 20));
    for (mark, c) in bed.traffic_ends() {
        assert!(mark == "killed" || c.failed == 0, "{mark}: {:#?}", c.samples);
    }
}
