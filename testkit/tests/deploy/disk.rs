//! The disk of the host is full while a release is staged, while the database is backed up, and while a release that serves
//! is watched.

use safelight_testkit::bed::{Bed, HOST, Release};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

/// A small disk, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None`, counted as not run, where this user may not mount.
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("sd-").tempdir_in("/tmp").ok()?.keep();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&dir).output();
        if mounted.is_ok_and(|o| o.status.success()) {
            return Some(Self(dir));
        }
        let _ = fs::remove_dir(&dir);
        safelight_testkit::not_run("needs root to mount a tmpfs");
        None
    }

    /// Leaves only this much.
    fn fill(&self, leave_kb: u64) -> PathBuf {
        let free = rustix::fs::statvfs(&self.0).map(|s| s.f_bavail * s.f_frsize / 1024).unwrap();
        let path = self.0.join("somebody-elses-file");
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let filled = file.write_all(&vec![7_u8; usize::try_from((free - leave_kb) * 1024).unwrap()]);
        if leave_kb > 0 {
            filled.unwrap();
        } else {
            // Others take and give meanwhile: to the last byte.
            while file.write_all(&[7; 4096]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

fn bed_on(disk: &Path) -> Bed {
    let mut bed = Bed::with_home(&disk.join("h"));
    // The check of the disk would see it coming; here somebody else fills it while the deploy is under way.
    bed.configure("disk-min-free = \"1MB\"", "disk-min-free = \"1kB\"");
    bed
}

/// Deploys v2 onto a disk that is full from `point` on; then makes room and deploys again.
fn full_at(point: &str, leave_kb: u64, big_file: bool, words: &[&str]) {
    let Some(disk) = Disk::mount(160) else { return };
    let mut bed = bed_on(&disk.0);
    bed.deploy(&Release::new("v1", 1)).ended(0);
    if !big_file {
        let db = rusqlite::Connection::open(bed.app_dir().join("shared/data/shop.db")).unwrap();
        db.execute_batch("CREATE TABLE blobs(b BLOB); INSERT INTO blobs VALUES (zeroblob(3000000))").unwrap();
    }
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 2));
    if big_file {
        bed.write("app/film.bin", &"x".repeat(3_000_000));
    }
    bed.forget_points();
    bed.order(point, "pause");
    let mut cli = bed.background(&["deploy"]);
    cli.comes_to(&bed, point);
    let ballast = disk.fill(leave_kb);
    bed.release(point);
    cli.end().ended(1).says(words).says(&["the disk is full", "stopped before anything changed"]);
    bed.serves_exactly("v1");
    assert!(!bed.app_dir().join("releases/r2").exists(), "a half-made release stays");
    fs::remove_file(ballast).unwrap();
    bed.safelight(&["deploy"]).ended(0);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_disk_that_is_full_while_staging_undoes_the_deploy() {
    full_at("intent:stage", 1500, true, &["stage", "No space left on device"]);
}

#[test]
fn a_disk_that_is_full_while_backing_up_undoes_the_deploy() {
    full_at("intent:back-up-database", 1500, false, &["back up"]);
}

#[test]
fn not_one_byte_left_while_staging_undoes_the_deploy() {
    full_at("intent:stage", 0, true, &["stage", "No space left on device"]);
}

#[test]
fn not_one_byte_left_while_backing_up_undoes_the_deploy() {
    full_at("intent:back-up-database", 0, false, &["back up"]);
}

/// v2 serves and is watched on a disk without one free byte when it begins to fail its users. `kept`: the room that
/// Safelight keeps back for its journal is there; somebody else has taken it otherwise.
fn full_while_watching(kept: bool) {
    let Some(disk) = Disk::mount(160) else { return };
    let mut bed = bed_on(&disk.0);
    let (reserve, fault) = (bed.home().join("reserve"), bed.dir().join("fault"));
    bed.wait_until("room is kept back", |_| reserve.exists());
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.configure("duration = \"1s\"", "duration = \"5m\"");
    bed.prepare(&Release::new("v2", 1).with_env(&[&format!("APP_FAULT_FILE={}", fault.display())]));
    bed.safelight(&["deploy", "--detach"]).ended(0);
    assert_eq!(bed.get(HOST, "/").map(|(s, b)| (s, b.starts_with("v2 "))), Some((200, true)));
    let ballast = disk.fill(0);
    if !kept {
        // On a full disk it is not made again.
        fs::remove_file(&reserve).unwrap();
        disk.fill(0);
    }
    let mut cli = bed.background(&["watch"]);
    fs::write(&fault, "").unwrap();
    if !kept {
        bed.wait_until("the run waits for room", |_| cli.so_far().contains("the journal cannot be written"));
        fs::remove_file(&ballast).unwrap();
    }
    cli.end().ended(3);
    bed.serves_exactly("v1");
    if kept {
        assert!(!reserve.exists(), "the undo needed no room, so this shows nothing");
        fs::remove_file(&ballast).unwrap();
    }
    bed.wait_until("room is kept back again", |_| reserve.exists());
}

#[test]
fn a_breach_on_a_full_disk_is_undone_with_the_room_that_was_kept_back() {
    full_while_watching(true);
}

#[test]
fn a_breach_that_cannot_be_journaled_is_undone_as_soon_as_there_is_room() {
    full_while_watching(false);
}

/// Nobody restarts the daemon, and nobody comes back: a run that users have not met is taken back all the same.
#[test]
fn a_deploy_whose_journal_finds_no_room_is_taken_back_when_nobody_comes_for_it() {
    let Some(disk) = Disk::mount(160) else { return };
    let mut bed = bed_on(&disk.0);
    let reserve = bed.home().join("reserve");
    bed.wait_until("room is kept back", |_| reserve.exists());
    bed.deploy(&Release::new("v1", 1)).ended(0);
    bed.traffic_begins();
    bed.prepare(&Release::new("v2", 2));
    bed.write("app/film.bin", &"x".repeat(3_000_000));
    bed.forget_points();
    bed.order("intent:stage", "pause");
    let mut cli = bed.background(&["deploy", "--lease", "5"]);
    cli.comes_to(&bed, "intent:stage");
    let ballast = disk.fill(0);
    fs::remove_file(&reserve).unwrap();
    disk.fill(0);
    bed.release("intent:stage");
    cli.end().ended(4).says(&["the journal could not be written"]);
    assert_eq!(bed.get(HOST, "/").map(|(s, b)| (s, b.starts_with("v1 "))), Some((200, true)));
    fs::remove_file(ballast).unwrap();
    bed.wait_until("the run is taken back", |b| b.app()["run"].is_null());
    bed.serves_exactly("v1");
    assert!(!bed.app_dir().join("releases/r2").exists(), "a half-made release stays");
    bed.nobody_was_failed();
}
