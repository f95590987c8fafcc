//! An undo that cannot go on: what the commands say, and that the next one finishes it.

use safelight_testkit::bed::{Bed, Release};
use std::{fs, path::PathBuf};

/// The route table cannot be written while this lives: its place is taken by a directory.
struct BrokenTable(PathBuf);

impl BrokenTable {
    fn new(bed: &Bed) -> Self {
        let table = bed.home().join("proxy/routes.json");
        fs::rename(&table, table.with_extension("aside")).unwrap();
        fs::create_dir_all(table.join("full")).unwrap();
        Self(table)
    }
}

impl Drop for BrokenTable {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
        fs::rename(self.0.with_extension("aside"), &self.0).unwrap();
    }
}

#[test]
fn an_undo_that_was_stuck_is_finished_by_the_next_command_which_says_so() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"1m\"");
    bed.traffic_begins();
    for (command, code) in [("abort", 0), ("resume", 3)] {
        bed.prepare(&Release::new("v2", 1));
        bed.safelight(&["deploy", "--detach"]).ended(0);
        let broken = BrokenTable::new(&bed);
        bed.safelight(&["abort"]).ended(4).says(&["routes.json"]);
        bed.safelight(&["watch"]).ended(4);
        bed.safelight(&[command]).ended(4).says(&["routes.json"]);
        drop(broken);
        bed.safelight(&[command]).ended(code).says(&["users are back on r1"]);
        bed.serves_exactly("v1");
    }
    bed.nobody_was_failed();
}

#[test]
fn ctrl_c_does_not_hide_that_an_undo_is_stuck() {
    let bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1));
    bed.forget_points();
    bed.order("done:promote:web", "pause");
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, "done:promote:web");
    let broken = BrokenTable::new(&bed);
    cli.interrupt();
    bed.wait_until("the command has heard of it", |_| cli.so_far().contains("interrupted"));
    bed.release("done:promote:web");
    cli.end().ended(4).says(&["routes.json"]);
    drop(broken);
    bed.safelight(&["abort"]).ended(0);
    bed.serves_exactly("v1");
}

#[test]
fn a_command_that_loses_its_daemon_for_good_says_that_the_run_is_open() {
    let mut bed = Bed::new();
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.prepare(&Release::new("v2", 1));
    bed.order("done:promote:web", "kill");
    let mut cli = bed.background(&["deploy"]);
    // It waits for the daemon to come back, and tells at last that it did not.
    cli.end().ended(4).says(&["the host daemon does not answer"]);
    assert!(bed.daemon_died());
    bed.restart_daemon();
    bed.safelight(&["abort"]).ended(0);
    bed.serves_exactly("v1");
}
