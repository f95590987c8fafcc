//! The host daemon is killed at every point between journal and effect, and the command line with it. `resume` leads to
//! exactly the new state, `abort` to exactly the old one, and users notice neither.

use safelight_testkit::bed::{Bed, Release};
use std::time::Instant;

/// Steps that change something: killed before, between effect and record, and after.
const CHANGING: [&str; 9] =
    ["stage", "back-up-database", "migrate", "start:", "dark-test", "promote:", "commit", "watch", "retire"];

fn is_changing(point: &str) -> bool {
    let (_, step) = point.split_once(':').unwrap_or_default();
    CHANGING.iter().any(|c| if c.ends_with(':') { step.starts_with(c) } else { step == *c })
}

/// The points of a deploy from one release to another, learned from a clean one: all of those of steps that change
/// something, and the intent of all others.
pub(super) fn points_of_a_deploy(bed: &Bed) -> Vec<String> {
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.forget_points();
    bed.deploy(&Release::new("v2", 2)).ended(0);
    let points: Vec<String> =
        bed.points().into_iter().filter(|p| is_changing(p) || p.starts_with("intent:")).collect();
    for expected in ["intent:assess", "applied:promote:web", "done:commit", "applied:watch", "done:retire"] {
        assert!(points.iter().any(|p| p == expected), "{expected} is missing in {points:?}");
    }
    assert!(points.len() > 35, "{points:?}");
    points
}

/// Deploys `version`, and has daemon and command line killed at `point`.
fn deploy_until_killed(bed: &mut Bed, version: &str, schema: u32, point: &str) {
    bed.restart_daemon();
    bed.prepare(&Release::new(version, schema));
    bed.order(point, "kill");
    let mut cli = bed.background(&["deploy"]);
    bed.daemon_dies_at(point, &cli);
    cli.kill();
}

#[test]
fn after_a_kill_at_any_point_resume_leads_to_exactly_the_new_release() {
    let mut bed = Bed::new();
    let points = points_of_a_deploy(&bed);
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate() {
        let (version, schema) = (format!("v{}", n + 3), u32::try_from(n + 3).unwrap());
        bed.mark(point);
        deploy_until_killed(&mut bed, &version, schema, point);
        let said = bed.safelight(&["resume"]);
        // What follows the commit goes on by itself as soon as the daemon is back, and may be over already.
        let late = ["watch", "retire", "prune", "commit"].iter().any(|s| point.ends_with(s));
        assert!(said.code == Some(0) || (late && said.found_no_open_run()), "{point}: {said:?}");
        eprintln!("{point}: resumed");
        bed.serves_exactly(&version);
    }
    bed.nobody_was_failed();
}

#[test]
fn after_a_kill_at_any_point_abort_leads_to_exactly_the_old_release() {
    let mut bed = Bed::new();
    let points = points_of_a_deploy(&bed);
    let mut old = "v2".to_owned();
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate() {
        let over = watch_for(&mut bed, point);
        let (version, schema) = (format!("v{}", n + 3), u32::try_from(n + 3).unwrap());
        bed.mark(point);
        deploy_until_killed(&mut bed, &version, schema, point);
        let said = bed.safelight(&["abort"]);
        eprintln!("{point}: aborted ({:?})", said.code);
        if over && (said.found_no_open_run() || said.err.contains("too late")) {
            // The watch was over before the kill: the daemon has tidied up before anybody could ask.
            bed.serves_exactly(&version);
            old = version;
            continue;
        }
        assert_eq!(said.code, Some(0), "{point}: {said:?}");
        bed.serves_exactly(&old);
    }
    bed.configure(&current_watch(&bed), "[watch]\nduration = \"1s\"");
    bed.restart_daemon();
    bed.deploy(&Release::new("v-after-all-of-it", 99)).ended(0);
    bed.serves_exactly("v-after-all-of-it");
    bed.nobody_was_failed();
}

#[test]
fn an_undo_that_is_killed_at_any_point_is_finished() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"1m\"");
    bed.traffic_begins();
    let aborted = |bed: &mut Bed, n: usize, point: Option<&str>| {
        bed.restart_daemon();
        bed.prepare(&Release::new(&format!("v{}", n + 2), 2));
        bed.forget_points();
        bed.safelight(&["deploy", "--detach"]).ended(0);
        let Some(point) = point else {
            bed.safelight(&["abort"]).ended(0);
            return;
        };
        bed.order(point, "kill");
        let mut cli = bed.background(&["abort"]);
        bed.daemon_dies_at(point, &cli);
        cli.kill();
    };
    aborted(&mut bed, 0, None);
    let points: Vec<String> =
        bed.points().into_iter().filter(|p| p.starts_with("undo-") && is_changing(p)).collect();
    assert!(points.iter().any(|p| p == "undo-applied:promote:api") && points.len() >= 18, "{points:?}");
    for (n, point) in points.iter().enumerate() {
        bed.mark(point);
        aborted(&mut bed, n + 1, Some(point));
        // The daemon goes on with an undo as soon as it is back; both commands only join it.
        let command = if n % 2 == 0 { "resume" } else { "abort" };
        let said = bed.safelight(&[command]);
        // `resume` ends like the deploy that it goes on with: undone.
        let fits = if n % 2 == 0 { said.code == Some(3) } else { said.code == Some(0) };
        assert!(fits || said.found_no_open_run(), "{point}: {command}: {said:?}");
        eprintln!("{point}: finished by {command} ({:?})", said.code);
        bed.serves_exactly("v1");
    }
    bed.nobody_was_failed();
}

#[test]
fn after_a_kill_in_the_middle_of_any_step_resume_leads_to_exactly_the_new_release() {
    const KILLS: u32 = 12;
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.restart_daemon();
    bed.prepare(&Release::new("v2", 2));
    bed.forget_points();
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, "done:assess");
    let began = Instant::now();
    cli.comes_to(&bed, "done:commit");
    let span = began.elapsed();
    cli.end().ended(0);
    for n in 0..KILLS {
        let version = format!("v{}", n + 3);
        bed.restart_daemon();
        bed.prepare(&Release::new(&version, n + 3));
        bed.forget_points();
        let mut cli = bed.background(&["deploy"]);
        cli.comes_to(&bed, "done:assess");
        std::thread::sleep(span * n / KILLS);
        let pid = bed.status().and_then(|s| s["pid"].as_u64()).expect("the daemon runs");
        let at = bed.points().last().cloned().unwrap_or_default();
        bed.mark(&at);
        safelight_testkit::processes::kill(u32::try_from(pid).unwrap(), rustix::process::Signal::KILL);
        cli.kill();
        bed.reap_daemon();
        let said = bed.safelight(&["resume"]);
        eprintln!("killed after {at}: {:?}", said.code);
        assert!(said.code == Some(0) || said.found_no_open_run(), "killed after {at}: {said:?}");
        bed.serves_exactly(&version);
    }
    bed.nobody_was_failed();
}

/// Has a watch last long enough for an abort to come in time, and short where it has to end for the point to come. Returns
/// whether it ends.
pub(super) fn watch_for(bed: &mut Bed, point: &str) -> bool {
    let over = ["applied:watch", "done:watch", "retire", "prune"].iter().any(|s| point.ends_with(s));
    let now = current_watch(bed);
    bed.configure(&now, if over { "[watch]\nduration = \"1s\"" } else { "[watch]\nduration = \"1m\"" });
    over
}

fn current_watch(bed: &Bed) -> String {
    let text = bed.config_text();
    let at = text.find("[watch]\nduration = \"").unwrap();
    let end = text[at..].match_indices('"').nth(1).unwrap().0;
    text[at..=at + end].to_owned()
}
