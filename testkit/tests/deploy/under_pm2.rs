//! Whole deploys under a real PM2 that somebody else uses, too: killed where something has been done to processes and is not yet on
//! record, and with a PM2 that dies itself.

use crate::{
    kill_matrix::points_of_a_deploy,
    kill_walks::{Way, deploy_until, new_release_is_killed},
};
use rustix::process::Signal;
use safelight_testkit::{
    bed::{Bed, Release},
    processes,
};

/// `version` serves, PM2 holds its two apps, and no other ones of Safelight.
#[track_caller]
fn serves_under_pm2(bed: &Bed, version: &str) {
    let id = bed.serves_exactly(version);
    bed.pm2().holds_exactly(&["api", "web"].map(|s| format!("shop.production.{s}.{id}")));
}

/// The points of a deploy from the first one that has to do with processes on, at which something has been done and is not
/// yet on record. PM2 is slow: the walks through every point are done without it.
fn points_of_processes(bed: &Bed) -> Vec<String> {
    let points = points_of_a_deploy(bed);
    let first = points.iter().position(|p| p == "intent:start:api").unwrap();
    let points: Vec<String> = points[first..].iter().filter(|p| p.starts_with("applied:")).cloned().collect();
    assert!(points.len() > 6, "{points:?}");
    points
}

#[test]
fn daemon_and_command_line_killed_at_any_point_come_back_to_exactly_one_release() {
    let mut bed = Bed::under_pm2();
    let points = points_of_processes(&bed);
    let mut old = "v2".to_owned();
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate() {
        let way = Way::choose(&mut bed, n, point);
        let version = format!("v{}", n + 3);
        bed.mark(point);
        bed.restart_daemon();
        let mut cli = deploy_until(&bed, &version, u32::try_from(n + 3).unwrap(), point);
        let pid = bed.status().unwrap()["pid"].as_u64().unwrap();
        processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
        cli.kill();
        bed.reap_daemon();
        bed.release(point);
        old = way.leads_to(&bed.safelight(&[way.command]), point, &old, &version);
        serves_under_pm2(&bed, &old);
    }
    bed.nobody_was_failed();
}

#[test]
fn a_new_release_killed_at_any_point_is_started_again_by_pm2_or_undone() {
    let mut bed = Bed::under_pm2();
    let points = points_of_processes(&bed);
    let apps_alone = |_: &str, apps: &[u32]| apps.iter().for_each(|pid| processes::kill(*pid, Signal::KILL));
    new_release_is_killed(&mut bed, &points, apps_alone, serves_under_pm2);
}

#[test]
fn a_pm2_that_dies_in_a_deploy_or_after_it_costs_no_request_and_leaves_nothing_behind() {
    let mut bed = Bed::under_pm2();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    for (n, point) in
        ["intent:start:api", "applied:start:web", "done:promote:api", "intent:watch"].iter().enumerate()
    {
        let version = format!("v{}", n + 2);
        bed.mark(point);
        let mut cli = deploy_until(&bed, &version, 1, point);
        bed.pm2().daemon_is_killed();
        bed.release(point);
        let said = cli.end();
        assert_eq!(said.code, Some(0), "{point}: {said:?}");
        bed.serves_exactly(&version);
    }
    // The next deploy ends what no PM2 holds any more.
    bed.deploy(&Release::new("v9", 1)).ended(0);
    bed.serves_exactly("v9");
    bed.nobody_was_failed();

    // Afterwards apps die, first the one and then the other: nobody but Safelight starts them again.
    bed.pm2().daemon_is_killed();
    for service in ["api", "web"] {
        let find = |b: &Bed| {
            let app = b.app();
            let all = app["processes"].as_array().unwrap().clone();
            let name = |p: &serde_json::Value| p["name"].as_str().unwrap().contains(&format!(".{service}."));
            all.into_iter().find(name).and_then(|p| p["pid"].as_u64())
        };
        let pid = find(&bed).unwrap();
        processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
        bed.wait_until("it runs again", |b| find(b).is_some_and(|now| now != pid));
    }
    bed.users_are_served();
    let id = bed.serves_exactly("v9");
    let names: Vec<String> =
        bed.pm2().list().iter().filter_map(|e| e["name"].as_str().map(str::to_owned)).collect();
    for service in ["api", "web"] {
        assert!(names.contains(&format!("shop.production.{service}.{id}")), "{names:?}");
    }
}

#[test]
fn old_releases_that_a_stale_dump_of_pm2_brings_back_are_ended() {
    let bed = Bed::under_pm2();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.pm2().run(&["save"]);
    bed.deploy(&Release::new("v2", 2)).ended(0);
    serves_under_pm2(&bed, "v2");
    // As after a reboot of a machine whose owner has run `pm2 save` some deploys ago.
    bed.pm2().run(&["resurrect"]);
    bed.wait_until("the old release is gone again", |b| {
        let known = b.app()["processes"].as_array().map_or(0, Vec::len);
        known == 2 && processes::running_releases(&b.app_dir()) == ["r2", "r2"]
    });
    serves_under_pm2(&bed, "v2");
    bed.deploy(&Release::new("v3", 3)).ended(0);
    serves_under_pm2(&bed, "v3");
}
