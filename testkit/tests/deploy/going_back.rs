//! `rollback --database`: code and data go back together, or neither does. Rows that are written before and after the
//! backup prove it.

use safelight_testkit::{
    bed::{Background, Bed, HOST, Release},
    processes,
};
use std::{fs, path::PathBuf};

/// Rows before the backup, and after it.
const BEFORE: u32 = 2;
const AFTER: u32 = 3;

fn notes(bed: &Bed) -> u32 {
    let answer = bed.get(HOST, "/notes").map(|(_, b)| b).unwrap_or_default();
    answer.trim().parse().unwrap_or_else(|_| panic!("/notes says: {answer}"))
}

fn add_note(bed: &Bed) {
    assert_eq!(bed.request("POST", HOST, "/notes").map(|(s, _)| s), Some(200));
}

fn database(bed: &Bed) -> PathBuf {
    bed.app_dir().join("shared/data/shop.db")
}

/// v1, rows, v2 with its backup of them, more rows.
fn bed_with_data() -> Bed {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    (0..BEFORE).for_each(|_| add_note(&bed));
    bed.deploy(&Release::new("v2", 2)).ended(0);
    (0..AFTER).for_each(|_| add_note(&bed));
    assert_eq!(notes(&bed), BEFORE + AFTER);
    bed
}

const ROLLBACK: [&str; 3] = ["rollback", "--database", "--yes"];

/// What was kept of the database that a run replaced.
fn kept(bed: &Bed, file: &str) -> Option<PathBuf> {
    let dirs = fs::read_dir(bed.app_dir().join("backups")).unwrap().flatten().map(|e| e.path());
    dirs.map(|d| d.join(file)).find(|f| f.is_file())
}

fn rows(file: &PathBuf) -> u32 {
    let db = rusqlite::Connection::open(file).unwrap();
    db.query_row("SELECT count(*) FROM notes", [], |r| r.get(0)).unwrap()
}

fn killed(bed: &mut Bed, point: &str, cli: &mut Background) {
    bed.daemon_dies_at(point, cli);
    cli.kill();
}

/// Points of a clean rollback: all of those of steps that change something, and the intent of the others.
fn points(bed: &Bed) -> Vec<String> {
    bed.forget_points();
    bed.safelight(&ROLLBACK).ended(0);
    let changing = ["back-up-database", "restore-database", "start", "promote", "commit", "retire"];
    let points: Vec<String> = bed
        .points()
        .into_iter()
        .filter(|p| p.starts_with("intent:") || changing.iter().any(|c| p.split(':').nth(1) == Some(*c)))
        .collect();
    for expected in ["applied:restore-database", "intent:start:web", "done:promote:api", "intent:verify"] {
        assert!(points.iter().any(|p| p == expected), "{expected} is missing in {points:?}");
    }
    assert!(points.len() >= 26, "{points:?}");
    points
}

/// Deploys `version` on the release that serves, and writes rows that its backup does not have. Returns how many there
/// are in the backup.
fn next_release(bed: &mut Bed, version: &str, schema: u32) -> u32 {
    let before = notes(bed);
    bed.restart_daemon();
    bed.deploy(&Release::new(version, schema)).ended(0);
    (0..AFTER).for_each(|_| add_note(bed));
    before
}

#[test]
fn a_rollback_with_the_database_that_is_killed_at_any_point_is_resumed_to_exactly_the_backup() {
    let mut bed = bed_with_data();
    let points = points(&bed);
    assert_eq!(notes(&bed), BEFORE);
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate() {
        let n = u32::try_from(n).unwrap();
        let before = next_release(&mut bed, &format!("v{}", n + 3), n + 3);
        bed.mark(point);
        bed.order(point, "kill");
        let mut cli = bed.background(&ROLLBACK);
        killed(&mut bed, point, &mut cli);
        let said = bed.safelight(&["resume"]);
        assert!(said.code == Some(0) || said.found_no_open_run(), "{point}: {said:?}");
        eprintln!("{point}: resumed");
        bed.wait_until("the run is over", |b| b.app()["run"].is_null());
        bed.serves_exactly("v1");
        assert_eq!(notes(&bed), before, "{point}");
        add_note(&bed);
    }
    bed.nobody_was_failed();
}

#[test]
fn a_rollback_with_the_database_that_is_killed_at_any_point_is_aborted_to_exactly_what_was() {
    let mut bed = bed_with_data();
    let points = points(&bed);
    let mut before = next_release(&mut bed, "v3", 3);
    let mut version = "v3".to_owned();
    bed.traffic_begins();
    for (n, point) in points.iter().enumerate() {
        let now = notes(&bed);
        bed.restart_daemon();
        bed.mark(point);
        bed.order(point, "kill");
        let mut cli = bed.background(&ROLLBACK);
        killed(&mut bed, point, &mut cli);
        let said = bed.safelight(&["abort"]);
        eprintln!("{point}: aborted ({:?})", said.code);
        bed.wait_until("the run is over", |b| b.app()["run"].is_null());
        // After the commit the daemon goes on by itself, and is done before anybody can ask.
        let late = ["done:commit", "retire", "prune"].iter().any(|s| point.ends_with(s));
        if late && page(&bed) == "v1" {
            bed.serves_exactly("v1");
            assert_eq!(notes(&bed), before, "{point}");
            version = format!("v{}", n + 4);
            before = next_release(&mut bed, &version, u32::try_from(n).unwrap() + 4);
            continue;
        }
        assert_eq!(said.code, Some(0), "{point}: {said:?}");
        bed.serves_exactly(&version);
        assert_eq!(notes(&bed), now, "{point}");
        add_note(&bed);
    }
    bed.nobody_was_failed();
}

fn page(bed: &Bed) -> String {
    let body = bed.get(HOST, "/").map(|(_, b)| b).unwrap_or_default();
    body.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn an_undo_of_a_restore_that_is_killed_at_any_point_puts_the_database_back_once() {
    let mut bed = bed_with_data();
    bed.traffic_begins();
    let aborted = |bed: &mut Bed, point: Option<&str>| {
        bed.restart_daemon();
        bed.forget_points();
        bed.order("done:verify", "pause");
        let mut cli = bed.background(&ROLLBACK);
        cli.comes_to(bed, "done:verify");
        // Written on the restored data, which the undo takes away again.
        assert_eq!(notes(bed), BEFORE);
        add_note(bed);
        if let Some(point) = point {
            bed.order(point, "kill");
        }
        let mut abort = bed.background(&["abort"]);
        // It follows the run only when the daemon has taken the order.
        bed.wait_until("the abort is heard", |_| !abort.so_far().is_empty());
        bed.release("done:verify");
        match point {
            Some(point) => {
                killed(bed, point, &mut abort);
                cli.kill();
            }
            None => {
                abort.end().ended(0);
                cli.end().ended(3);
            }
        }
    };
    aborted(&mut bed, None);
    let points: Vec<String> = bed.points().into_iter().filter(|p| p.starts_with("undo-")).collect();
    assert!(points.iter().any(|p| p == "undo-applied:restore-database") && points.len() >= 12, "{points:?}");
    for (n, point) in points.iter().enumerate() {
        let now = notes(&bed);
        bed.mark(point);
        aborted(&mut bed, Some(point));
        let said = bed.safelight(&[if n % 2 == 0 { "resume" } else { "abort" }]);
        assert!(matches!(said.code, Some(0 | 3)) || said.found_no_open_run(), "{point}: {said:?}");
        eprintln!("{point}: finished ({:?})", said.code);
        bed.wait_until("the run is over", |b| b.app()["run"].is_null());
        bed.serves_exactly("v2");
        assert_eq!(notes(&bed), now, "{point}");
        let aside = kept(&bed, "database.db").expect("the rows written meanwhile are kept");
        assert_eq!(rows(&aside), BEFORE + 1, "{point}");
        add_note(&bed);
    }
    bed.nobody_was_failed();
}

#[test]
fn nothing_that_the_new_code_writes_lands_in_the_restored_database() {
    let bed = bed_with_data();
    bed.order("done:restore-database", "pause");
    bed.forget_points();
    let mut cli = bed.background(&ROLLBACK);
    cli.comes_to(&bed, "done:restore-database");
    assert!(processes::running_releases(&bed.app_dir()).is_empty(), "the new release still runs");
    assert_eq!(rows(&database(&bed)), BEFORE);
    std::thread::scope(|s| {
        let waiting = s.spawn(|| bed.request("POST", HOST, "/notes"));
        bed.wait_until("the request waits in the proxy", |b| {
            let state: serde_json::Value =
                serde_json::from_str(&b.safelight(&["proxy", "state"]).ended(0).out).unwrap();
            let services = state["services"].as_array().unwrap();
            services.iter().any(|s| s["held"]["waiting"].as_u64() == Some(1))
        });
        bed.release("done:restore-database");
        assert_eq!(waiting.join().unwrap().map(|(status, _)| status), Some(200));
    });
    cli.end().ended(0);
    bed.serves_exactly("v1");
    assert_eq!(notes(&bed), BEFORE + 1, "the request was answered by the old release, on the restored data");
    let replaced = kept(&bed, "database.db").expect("the replaced database is kept");
    assert_eq!(rows(&replaced), BEFORE + AFTER);
}

#[test]
fn ctrl_c_while_the_database_is_replaced_takes_the_whole_of_it_back() {
    let mut bed = bed_with_data();
    bed.traffic_begins();
    bed.order("intent:restore-database", "pause");
    bed.forget_points();
    let mut cli = bed.background(&ROLLBACK);
    cli.comes_to(&bed, "intent:restore-database");
    cli.interrupt();
    bed.wait_until("the interrupt is heard", |_| cli.so_far().contains("interrupted"));
    bed.release("intent:restore-database");
    cli.end().ended(130);
    bed.serves_exactly("v2");
    assert_eq!(notes(&bed), BEFORE + AFTER);
    bed.nobody_was_failed();
}

#[test]
fn the_backup_is_that_of_the_deploy_that_is_taken_back_and_its_window_is_what_is_printed() {
    let mut bed = bed_with_data();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    // Its backup is newer, and proven, and full of what v2 wrote.
    bed.deploy(&Release::new("v3", 3).with_env(&["APP_MODE=500"])).ended(3);
    bed.safelight(&["rollback", "--database"]).ended(1).says(&[
        "before r2 took over from r1",
        "is lost",
        "not agreed to",
    ]);
    bed.safelight(&ROLLBACK).ended(0).says(&["taken before r2"]);
    bed.serves_exactly("v1");
    assert_eq!(notes(&bed), BEFORE);
    // r2 was left without a proven backup: nothing else takes its place.
    bed.safelight(&["rollback", "r2", "--database", "--yes"]).ended(1).says(&["took users from r2"]);
    bed.serves_exactly("v1");
}

#[test]
fn a_lost_database_is_restored_and_an_abort_leaves_things_as_they_were() {
    let bed = bed_with_data();
    let lost = database(&bed);
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", lost.display()));
    }
    bed.safelight(&["check"]).ended(1).says(&["P16", "safelight rollback --database"]);
    bed.order("done:restore-database", "pause");
    bed.forget_points();
    let mut cli = bed.background(&ROLLBACK);
    cli.comes_to(&bed, "done:restore-database");
    assert_eq!(rows(&lost), BEFORE);
    cli.interrupt();
    bed.wait_until("the interrupt is heard", |_| cli.so_far().contains("interrupted"));
    bed.release("done:restore-database");
    cli.end().ended(130);
    bed.serves_exactly("v2");
    assert!(!lost.exists(), "there was none before");

    bed.safelight(&ROLLBACK).ended(0).says(&["there was none in its place"]);
    bed.serves_exactly("v1");
    assert_eq!(notes(&bed), BEFORE);
}

#[test]
fn a_damaged_database_is_restored_and_its_files_are_kept() {
    let bed = bed_with_data();
    let damaged = database(&bed);
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", damaged.display()));
    }
    fs::write(&damaged, "somebody wrote a report over it ".repeat(500)).unwrap();
    bed.safelight(&["check"]).ended(1).says(&["P16", "safelight rollback --database"]);
    bed.safelight(&ROLLBACK).ended(0).says(&["the damaged one is kept as it was"]);
    bed.serves_exactly("v1");
    assert_eq!(notes(&bed), BEFORE);
    let kept = kept(&bed, "unreadable.db").expect("the damaged file is kept");
    assert!(fs::read_to_string(kept).unwrap().starts_with("somebody wrote a report"));
}

fn files(bed: &Bed, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(bed.app_dir().join(dir)).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn failed_attempts_do_not_fill_the_disk_nor_push_out_the_backup_that_leads_back() {
    let mut bed = bed_with_data();
    bed.configure("start-timeout = \"8s\"", "start-timeout = \"2s\"");
    bed.safelight(&["backup"]).ended(0);
    let needed = files(&bed, "backups");
    for n in 3..9 {
        let label = format!("APP_LABEL=try {n}");
        bed.deploy(&Release::new(&format!("v{n}"), n).with_env(&["APP_MODE=500", &label])).ended(3);
        let backups = files(&bed, "backups");
        // Those that lead back or were made by hand, two of earlier attempts, and this one's.
        assert!(backups.len() <= needed.len() + 3, "try {n}: {backups:?}");
        assert!(needed.iter().all(|f| backups.contains(f)), "try {n}: {backups:?}");
        assert_eq!(files(&bed, "scratch"), [""; 0], "try {n}");
        assert!(files(&bed, "env").len() <= 2, "try {n}: {:?}", files(&bed, "env"));
    }
    bed.serves_exactly("v2");
    bed.safelight(&ROLLBACK).ended(0);
    bed.serves_exactly("v1");
    assert_eq!(notes(&bed), BEFORE);
}
