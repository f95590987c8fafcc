//! Whoever else takes part in a deploy is killed at every point of it: the proxy together with the daemon, the command
//! line alone, the new release. Half of the points lead to `resume` and half to `abort`.

use crate::{
    kill_matrix::{points_of_a_deploy, watch_for},
    outages::{only_connections_broke_in_outages, parent},
};
use rustix::process::Signal;
use safelight_testkit::{
    bed::{Bed, Release},
    command::{Background, Said},
    processes,
};

/// A deploy of `version` that waits at `point`.
pub(super) fn deploy_until(bed: &Bed, version: &str, schema: u32, point: &str) -> Background {
    bed.prepare(&Release::new(version, schema));
    bed.forget_points();
    bed.order(point, "pause");
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(bed, point);
    cli
}

/// The command that follows at the n-th point.
pub(super) struct Way {
    pub(super) command: &'static str,
    /// What comes after the commit goes on by itself, and may be over before anybody asks.
    late: bool,
}

impl Way {
    pub(super) fn choose(bed: &mut Bed, n: usize, point: &str) -> Self {
        let aborts = n % 2 == 1;
        let over = watch_for(bed, if aborts { point } else { "retire" });
        let late = ["watch", "retire", "prune", "commit"].iter().any(|s| point.ends_with(s));
        Self { command: if aborts { "abort" } else { "resume" }, late: late && over }
    }

    /// Checks the end of the command, and says which release has to serve.
    #[track_caller]
    pub(super) fn leads_to(&self, said: &Said, point: &str, old: &str, new: &str) -> String {
        eprintln!("{point}: {} ({:?})", self.command, said.code);
        let too_late = said.found_no_open_run() || said.err.contains("too late");
        assert!(said.code == Some(0) || (self.late && too_late), "{point}: {}: {said:?}", self.command);
        let goes_back = self.command == "abort" && said.code == Some(0);
        if goes_back { old.to_owned() } else { new.to_owned() }
    }
}

#[test]
fn proxy_and_daemon_killed_at_any_point_come_back_to_exactly_one_release() {
    let mut bed = Bed::new();
    let points = points_of_a_deploy(&bed);
    let mut old = "v2".to_owned();
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate() {
        let way = Way::choose(&mut bed, n, point);
        let version = format!("v{}", n + 3);
        bed.restart_daemon();
        bed.mark(&format!("after the one before {point}"));
        let mut cli = deploy_until(&bed, &version, u32::try_from(n + 3).unwrap(), point);
        let status = bed.status().unwrap();
        bed.mark(&format!("outage at {point}"));
        for pid in [&status["pid"], &status["proxy"]["pid"]] {
            processes::kill(u32::try_from(pid.as_u64().unwrap()).unwrap(), Signal::KILL);
        }
        cli.kill();
        bed.reap_daemon();
        bed.release(point);
        let said = bed.safelight(&[way.command]);
        old = way.leads_to(&said, point, &old, &version);
        bed.serves_exactly(&old);
    }
    only_connections_broke_in_outages(&mut bed);
}

#[test]
fn the_command_line_killed_at_any_point_leaves_a_run_that_is_led_on() {
    let mut bed = Bed::new();
    let points = points_of_a_deploy(&bed);
    let mut old = "v2".to_owned();
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate() {
        let way = Way::choose(&mut bed, n, point);
        let version = format!("v{}", n + 3);
        bed.mark(point);
        let mut cli = deploy_until(&bed, &version, u32::try_from(n + 3).unwrap(), point);
        cli.kill();
        let mut next = bed.background(&[way.command]);
        // It has joined the run before that goes on: the first that it says.
        bed.wait_until("it has joined", |_| !next.so_far().is_empty());
        bed.release(point);
        old = way.leads_to(&next.end(), point, &old, &version);
        bed.serves_exactly(&old);
    }
    bed.nobody_was_failed();
}

/// Deploys once for each of `points`, from the one on at which both of its processes run; there `kill` is told the point
/// and them. Whatever comes of it, exactly one release serves then, as `serves` sees it, and users of the old release
/// notice nothing.
pub(super) fn new_release_is_killed(
    bed: &mut Bed,
    points: &[String],
    kill: impl Fn(&str, &[u32]),
    serves: impl Fn(&Bed, &str),
) {
    let started = points.iter().position(|p| p == "applied:start:web").unwrap();
    let promoted = points.iter().position(|p| p == "applied:promote:api").unwrap();
    let mut old = "v2".to_owned();
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate().skip(started) {
        watch_for(bed, "retire");
        let version = format!("v{}", n + 3);
        bed.restart_daemon();
        // Users of the new release notice its death; those of the old one notice nothing.
        bed.mark(&format!("{} {point}", if n < promoted { "before promotion:" } else { "outage at" }));
        let mut cli = deploy_until(bed, &version, u32::try_from(n + 3).unwrap(), point);
        let apps = processes::below(&bed.app_dir().join(format!("releases/r{}", n - started + 3)));
        assert_eq!(apps.len(), 2, "{point}");
        kill(point, &apps);
        bed.release(point);
        let said = cli.end();
        eprintln!("{point}: {:?}", said.code);
        assert!(matches!(said.code, Some(0 | 3)), "{point}: {said:?}");
        if said.code == Some(0) {
            old = version;
        }
        bed.users_are_served();
        serves(bed, &old);
    }
    for (mark, c) in bed.traffic_ends() {
        assert!(c.failed == 0 || mark.starts_with("outage"), "{mark}: {:#?}", c.samples);
    }
}

#[test]
fn a_new_release_killed_at_any_point_ends_as_exactly_one_release() {
    let mut bed = Bed::new();
    let points = points_of_a_deploy(&bed);
    let with_shims = |point: &str, apps: &[u32]| {
        let shims: Vec<u32> = apps.iter().map(|app| parent(*app)).collect();
        // After the watch nobody starts it again but its shim.
        let over = ["retire", "prune"].iter().any(|s| point.ends_with(s));
        for pid in apps.iter().chain(shims.iter().filter(|_| !over)) {
            processes::kill(*pid, Signal::KILL);
        }
    };
    new_release_is_killed(&mut bed, &points, with_shims, |bed, version| {
        bed.serves_exactly(version);
    });
}
