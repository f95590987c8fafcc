//! The app's own commands outlive a daemon that is killed while they run. A migration is waited for, and never does a
//! second one run beside it; an installation or a build is ended before another begins or its directory is removed.

use rustix::process::Signal;
use safelight_testkit::{
    bed::{Bed, PATIENCE, Release},
    command::Background,
    processes,
};
use std::{fs, path::PathBuf};

fn schema(bed: &Bed) -> u32 {
    let db = rusqlite::Connection::open(bed.app_dir().join("shared/data/shop.db")).unwrap();
    db.query_row("SELECT max(number) FROM migrations", [], |r| r.get(0)).unwrap()
}

/// Lines of a file that the app's commands write.
fn lines(bed: &Bed, name: &str) -> Vec<String> {
    let text = fs::read_to_string(bed.dir().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// v2, whose migration of the live database waits between its two steps until `gate` is there. It notes when it begins
/// and how it ends, and whether another one is at work.
fn with_a_slow_migration(bed: &Bed, last: u32) {
    bed.prepare(&Release::new("v2", 3));
    let step = |n: u32| {
        fs::read_to_string(bed.project().join("app/migrate.sh"))
            .unwrap()
            .replace("exec ", "")
            .replace("migrate 3", &format!("migrate {n}"))
    };
    let dir = bed.dir().display();
    let script = format!(
        "case $DATABASE_URL in *scratch*) {all} exit ;; esac\n\
         mkdir {dir}/at-work || echo beside >> {dir}/begun\n\
         echo begun >> {dir}/begun\n{first}touch {dir}/half\n\
         while [ ! -e {dir}/gate ]; do sleep 0.05; done\necho going on\n{last}rmdir {dir}/at-work\necho the end\n",
        all = step(3).replace('\n', "; "),
        first = step(2),
        last = step(last),
    );
    bed.write("app/migrate.sh", &script);
}

/// Deploys until `file` is there, then kills the daemon and the command line.
fn kill_when(bed: &mut Bed, file: &str) {
    let mut cli = bed.background(&["deploy"]);
    let path = bed.dir().join(file);
    bed.wait_until(&format!("{file} is there; it said:\n{}", cli.so_far()), |_| path.exists());
    let pid = bed.status().and_then(|s| s["pid"].as_u64()).expect("the daemon runs");
    processes::kill(u32::try_from(pid).unwrap(), Signal::KILL);
    cli.kill();
    bed.reap_daemon();
}

fn waits(bed: &Bed, cli: &Background) {
    bed.wait_until("the run waits for the migration", |_| {
        cli.so_far().contains("of before the interruption still runs")
    });
    assert_eq!(lines(bed, "begun"), ["begun"], "a second migration was begun");
    assert!(bed.app_dir().join("releases/r2/migrate.sh").exists(), "its directory is gone");
}

fn open_the_gate(bed: &Bed) {
    fs::write(bed.dir().join("gate"), "").unwrap();
}

#[test]
fn a_migration_that_outlives_the_daemon_is_waited_for_and_the_run_goes_on() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    with_a_slow_migration(&bed, 3);
    kill_when(&mut bed, "half");
    let mut cli = bed.background(&["resume"]);
    waits(&bed, &cli);
    open_the_gate(&bed);
    // What it says without a listener does not end it, and is told later.
    cli.end().ended(0).says(&["migration 3 applied", "the end"]);
    assert_eq!(lines(&bed, "begun"), ["begun"], "its schema is the rehearsed one: it is not run again");
    assert_eq!(schema(&bed), 3);
    bed.serves_exactly("v2");
    assert_eq!(fs::read_dir(bed.app_dir().join("commands")).unwrap().count(), 0);
    bed.nobody_was_failed();
}

#[test]
fn stopping_the_daemon_does_not_cut_a_migration_off() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    with_a_slow_migration(&bed, 3);
    let cli = bed.background(&["deploy"]);
    let half = bed.dir().join("half");
    bed.wait_until("the migration is half-way", |_| half.exists());
    bed.safelight(&["host", "stop"]).ended(0);
    let until = std::time::Instant::now() + PATIENCE;
    while !bed.daemon_died() {
        assert!(std::time::Instant::now() < until, "the daemon does not end");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(cli);
    bed.reap_daemon();
    let mut cli = bed.background(&["resume"]);
    waits(&bed, &cli);
    open_the_gate(&bed);
    cli.end().ended(0);
    assert_eq!((lines(&bed, "begun"), schema(&bed)), (vec!["begun".to_owned()], 3));
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_migration_that_outlives_the_daemon_and_ends_half_way_is_run_again_after_it() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    with_a_slow_migration(&bed, 2);
    kill_when(&mut bed, "half");
    let mut cli = bed.background(&["resume"]);
    waits(&bed, &cli);
    open_the_gate(&bed);
    cli.end().ended(0).says(&["the migration has ended at schema 2: it is run again"]);
    assert_eq!(lines(&bed, "begun"), ["begun", "begun"], "one after the other");
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_migration_that_outlives_the_daemon_is_waited_for_before_the_run_is_taken_back() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    with_a_slow_migration(&bed, 3);
    kill_when(&mut bed, "half");
    let mut cli = bed.background(&["abort"]);
    waits(&bed, &cli);
    open_the_gate(&bed);
    cli.end().ended(0).says(&["the new schema 3 stays; the old release was proven on it"]);
    assert_eq!((lines(&bed, "begun"), schema(&bed)), (vec!["begun".to_owned()], 3));
    bed.serves_exactly("v1");
    assert!(!bed.app_dir().join("releases/r2").exists());
    bed.nobody_was_failed();
}

#[test]
fn a_migration_that_does_not_end_in_its_time_is_left_alone_and_a_person_is_asked() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.configure("[database]", "[build]\ntimeout = \"6s\"\n\n[database]");
    with_a_slow_migration(&bed, 3);
    kill_when(&mut bed, "half");
    let said = bed.safelight(&["abort"]).ended(4);
    said.says(&["begun before an interruption, still runs", "wait for its end"]);
    assert_eq!(lines(&bed, "begun"), ["begun"]);
    assert!(bed.app_dir().join("releases/r2/migrate.sh").exists(), "its directory is gone");
    open_the_gate(&bed);
    bed.wait_until("the migration has ended", |b| !b.dir().join("at-work").exists());
    bed.safelight(&["abort"]).ended(0);
    bed.serves_exactly("v1");
    bed.nobody_was_failed();
}

/// A build that hangs the first time, with a child, and notes its process.
fn with_a_hanging_build(bed: &mut Bed) -> PathBuf {
    let dir = bed.dir().display().to_string();
    bed.configure("[database]", "[build]\nbuild = \"sh build.sh\"\n\n[database]");
    bed.prepare(&Release::new("v2", 1));
    bed.write(
        "app/build.sh",
        &format!(
            "echo $$ >> {dir}/builds\nif [ -e {dir}/hung ]; then echo built > built; exit; fi\n\
             sh -c 'echo $$ > {dir}/hung; while :; do echo x >> made; sleep 0.05; done'\n"
        ),
    );
    bed.dir().join("hung")
}

fn pid_in(file: &PathBuf) -> u32 {
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

#[test]
fn a_build_that_outlives_the_daemon_is_ended_before_another_begins() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    let hung = with_a_hanging_build(&mut bed);
    kill_when(&mut bed, "hung");
    assert!(processes::alive(pid_in(&hung)), "the build outlives the daemon");
    bed.safelight(&["resume"]).ended(0).says(&["still runs", "ending it"]);
    assert!(!processes::alive(pid_in(&hung)));
    assert_eq!(lines(&bed, "builds").len(), 2);
    assert!(!bed.app_dir().join("releases/r2/made").exists(), "the first build has written into the second");
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_build_that_outlives_the_daemon_is_ended_before_its_directory_is_removed() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    let hung = with_a_hanging_build(&mut bed);
    kill_when(&mut bed, "hung");
    bed.safelight(&["abort"]).ended(0).says(&["ending it"]);
    assert!(!processes::alive(pid_in(&hung)));
    assert!(!bed.app_dir().join("releases/r2").exists());
    bed.serves_exactly("v1");
}
