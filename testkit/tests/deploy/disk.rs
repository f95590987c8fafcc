//! The disk of the host is full while a release is staged, and while the database is backed up.

use safelight_testkit::bed::{Bed, Release};
use std::{
    fs,
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
        fs::write(&path, vec![7_u8; usize::try_from((free - leave_kb) * 1024).unwrap()]).unwrap();
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
fn full_at(point: &str, big_file: bool, words: &[&str]) {
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
    let ballast = disk.fill(1500);
    bed.release(point);
    cli.end().ended(1).says(words).says(&["the disk is full"]);
    bed.serves_exactly("v1");
    fs::remove_file(ballast).unwrap();
    bed.safelight(&["deploy"]).ended(0);
    bed.serves_exactly("v2");
    bed.nobody_was_failed();
}

#[test]
fn a_disk_that_is_full_while_staging_undoes_the_deploy() {
    full_at("intent:stage", true, &["stage", "No space left on device"]);
}

#[test]
fn a_disk_that_is_full_while_backing_up_undoes_the_deploy() {
    full_at("intent:back-up-database", false, &["back up"]);
}
