//! The SQLite driver against real files, with writers at work.

#![allow(clippy::unwrap_used)]

#[path = "../../../testkit/src/not_run.rs"]
#[expect(unreachable_pub, reason = "the testkit, whose file this is, stands above this crate")]
mod not_run;

use rusqlite::Connection;
use safelight_drivers::database::Sqlite;
use safelight_engine::driver::database::{BackupLevel, Database as _, DatabaseErrorKind as Kind, Kept};
use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

const PHOTOS: &str = "SELECT count(*) FROM photo";

/// A database with 2,000 photos of 200 bytes, and two accounts whose sum is always 1,000.
fn make(path: &Path, mode: &str) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "journal_mode", mode).unwrap();
    db.busy_timeout(Duration::from_secs(20)).unwrap();
    db.execute_batch(
        "CREATE TABLE schema_version(version TEXT); INSERT INTO schema_version VALUES ('7');
         CREATE TABLE photo(id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER);
         INSERT INTO account VALUES (1, 400), (2, 600);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO photo SELECT i, printf('%0200d', i) FROM n;",
    )
    .unwrap();
    db
}

fn driver(path: &Path) -> Sqlite {
    let schema = Some("SELECT version FROM schema_version".to_owned());
    Sqlite::new(path, schema, vec![PHOTOS.to_owned(), "SELECT sum(money) FROM account".to_owned()])
}

fn number(path: &Path, query: &str) -> i64 {
    Connection::open(path).unwrap().query_row(query, [], |row| row.get(0)).unwrap()
}

/// Moves money and adds photos until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn begin(path: &Path) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (path, stop, written) = (path.to_owned(), stop.clone(), written.clone());
            move || {
                let db = Connection::open(path).unwrap();
                db.busy_timeout(Duration::from_secs(20)).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    db.execute_batch(
                        "BEGIN IMMEDIATE; UPDATE account SET money = money - 1 WHERE id = 1;
                         INSERT INTO photo(name) VALUES ('new'); UPDATE account SET money = money + 1 WHERE id = 2;
                         COMMIT",
                    )
                    .unwrap();
                    written.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        let this = Self { stop, written, thread: Some(thread) };
        while this.written.load(Ordering::Relaxed) < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        this
    }

    fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.written.load(Ordering::Relaxed)
    }
}

/// A file system of its own in memory; `None` (said aloud) where this user may not mount one.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output().unwrap();
        if !output.status.success() {
            not_run::not_run(&format!(
                "no right to mount a tmpfs: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            ));
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn status_tells_size_schema_and_that_it_may_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    drop(make(&path, "wal"));
    let before = fs::read(&path).unwrap();
    let status = driver(&path).status().await.unwrap();
    assert!(status.product.starts_with("SQLite 3.") && status.writable);
    assert_eq!(status.schema.as_deref(), Some("7"));
    assert_eq!(status.bytes, fs::metadata(&path).unwrap().len());
    assert_eq!(fs::read(&path).unwrap(), before, "looking changed the database");
    let without = Sqlite::new(&path, Some("SELECT v FROM not_migrated_yet".into()), vec![]);
    assert_eq!(without.status().await.unwrap().schema, None);
    let wrong = Sqlite::new(&path, Some("SELEC".into()), vec![]).status().await.unwrap_err();
    assert_eq!(wrong.kind, Kind::Query);
}

#[tokio::test]
async fn a_missing_database_is_missing_and_is_not_made_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    assert_eq!(driver(&path).status().await.unwrap_err().kind, Kind::Missing);
    assert_eq!(driver(&path).back_up(&dir.path().join("b")).await.unwrap_err().kind, Kind::Missing);
    assert!(names(dir.path()).is_empty());
    assert_eq!(driver(dir.path()).status().await.unwrap_err().kind, Kind::Unreachable);
}

#[tokio::test]
async fn a_file_that_is_no_database_or_is_damaged_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    fs::write(&path, "this is a text file, and long enough for a header ".repeat(20)).unwrap();
    assert_eq!(driver(&path).status().await.unwrap_err().kind, Kind::Corrupt);

    let path = dir.path().join("damaged.db");
    drop(make(&path, "delete"));
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(40 * 4096)).unwrap();
    file.write_all(&[0x5a; 3 * 4096]).unwrap();
    let error = driver(&path).back_up(&dir.path().join("b.db")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Corrupt, "{error}");
    assert_eq!(names(dir.path()), ["app.db", "damaged.db"], "a bad backup stayed");
}

#[tokio::test]
async fn a_backup_under_writers_is_consistent_in_both_journal_modes() {
    for mode in ["wal", "delete"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let db = make(&path, mode);
        let writer = Writer::begin(&path);
        for round in 0..3 {
            let target = dir.path().join(format!("backup {round}.db"));
            let before = writer.written.load(Ordering::Relaxed);
            let backup = driver(&path).back_up(&target).await.unwrap();
            assert_eq!((backup.level, backup.schema.as_deref()), (BackupLevel::Fresh, Some("7")));
            assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(backup.bytes, fs::metadata(&target).unwrap().len());
            let proof = driver(&path).prove(&backup, &dir.path().join("scratch.db")).await.unwrap();
            let moved = 400 - number(&proof.scratch, "SELECT money FROM account WHERE id = 1");
            let photos = number(&proof.scratch, PHOTOS);
            assert_eq!(photos - 2000, moved, "{mode}: half a transaction is in the backup");
            assert!(
                moved >= i64::try_from(before).unwrap(),
                "{mode}: the backup is older than its beginning"
            );
            assert!(proof.tables.contains(&("account".to_owned(), 2)), "{:?}", proof.tables);
            assert_eq!(proof.queries[0].1, "0 violations");
            assert_eq!(proof.queries[1], (PHOTOS.to_owned(), photos.to_string()));
            assert_eq!(proof.queries[2].1, "1000");
        }
        assert!(writer.end() > 10, "{mode}: writers were held up");
        drop(db);
        let left: Vec<String> = names(dir.path()).into_iter().filter(|n| !n.starts_with("app.db")).collect();
        assert_eq!(left, ["backup 0.db", "backup 1.db", "backup 2.db", "scratch.db"]);
    }
}

#[tokio::test]
async fn a_backup_that_was_changed_or_lost_is_refused_by_proof_and_restore() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    drop(make(&path, "wal"));
    let target = dir.path().join("backup.db");
    let backup = driver(&path).back_up(&target).await.unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&target).unwrap();
    file.seek(SeekFrom::End(-10)).unwrap();
    file.write_all(b"x").unwrap();
    let (scratch, kept) = (dir.path().join("scratch.db"), dir.path().join("kept"));
    assert_eq!(driver(&path).prove(&backup, &scratch).await.unwrap_err().kind, Kind::Corrupt);
    assert_eq!(driver(&path).restore(&backup, &kept).await.unwrap_err().kind, Kind::Corrupt);
    assert!(!kept.exists(), "a backup that is refused replaces nothing");
    fs::remove_file(&target).unwrap();
    assert_eq!(driver(&path).prove(&backup, &scratch).await.unwrap_err().kind, Kind::Missing);
    assert_eq!(number(&path, PHOTOS), 2000);
    assert!(!scratch.exists());
}

#[tokio::test]
async fn a_proof_query_without_a_row_fails_the_proof() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    drop(make(&path, "wal"));
    let scratch = dir.path().join("scratch.db");
    let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
    for query in ["SELECT id FROM photo WHERE id < 0", "SELECT id FROM no_such_table"] {
        let schema = Some("SELECT version FROM schema_version".to_owned());
        let strict = Sqlite::new(&path, schema, vec![query.to_owned()]);
        let error = strict.prove(&backup, &scratch).await.unwrap_err();
        assert_eq!(error.kind, Kind::Query);
        assert!(error.detail.contains(query), "{error}");
        assert!(!scratch.exists(), "a scratch database that failed stayed");
    }
    for same in [&path, &backup.path] {
        assert!(driver(&path).prove(&backup, same).await.unwrap_err().detail.contains("refused"));
    }
}

#[tokio::test]
async fn a_restore_reaches_processes_that_have_the_database_open() {
    for mode in ["wal", "delete"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.db");
        let open = make(&path, mode);
        let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
        open.execute_batch("DELETE FROM photo; UPDATE schema_version SET version = '8'").unwrap();
        let writer = Writer::begin(&path);
        let kept = dir.path().join("kept");
        assert_eq!(driver(&path).restore(&backup, &kept).await.unwrap(), Kept::Copy);
        writer.end();
        let kept = kept.join("database.db");
        assert!(open.query_row(PHOTOS, [], |r| r.get::<_, i64>(0)).unwrap() >= 2000, "{mode}");
        assert_eq!(driver(&path).status().await.unwrap().schema.as_deref(), Some("7"));
        open.execute_batch("INSERT INTO photo(name) VALUES ('after')").unwrap();
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(number(&kept, "SELECT CAST(version AS INTEGER) FROM schema_version"), 8);
        assert!(number(&kept, PHOTOS) < 2000);
        let now: String = open.query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
        assert_eq!(now, mode, "the journal mode changed");
        let sound: String = open.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
}

#[tokio::test]
async fn a_backup_with_another_page_size_is_restored_once_nobody_has_the_database_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    drop(make(&path, "wal"));
    let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
    let db = Connection::open(&path).unwrap();
    db.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM; DELETE FROM photo")
        .unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    // A connection that has read something, as the app's would.
    assert_eq!(db.query_row(PHOTOS, [], |r| r.get::<_, i64>(0)).unwrap(), 0);
    assert_eq!(number(&path, "PRAGMA page_size"), 8192);
    let kept = dir.path().join("kept");
    let error = driver(&path).restore(&backup, &kept).await.unwrap_err();
    assert_eq!(error.kind, Kind::Busy, "{error}");
    assert_eq!(number(&path, PHOTOS), 0);
    drop(db);
    driver(&path).restore(&backup, &kept).await.unwrap();
    assert_eq!((number(&path, PHOTOS), number(&path, "PRAGMA page_size")), (2000, 4096));
    let mode: String =
        Connection::open(&path).unwrap().query_row("PRAGMA journal_mode", [], |r| r.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_lost_or_unreadable_database_is_restored_and_that_is_taken_back_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (path, kept) = (dir.path().join("app.db"), dir.path().join("kept"));
    drop(make(&path, "wal"));
    let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
    let ruin = "ruined ".repeat(1000);
    fs::write(&path, &ruin).unwrap();
    fs::write(dir.path().join("app.db-wal"), "a leftover").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(driver(&path).restore(&backup, &kept).await.unwrap(), Kept::Raw);
    assert_eq!(number(&path, PHOTOS), 2000);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(driver(&path).put_back(&kept, None).await.unwrap(), Some(Kept::Raw));
    assert_eq!(fs::read_to_string(&path).unwrap(), ruin);
    assert_eq!(fs::read_to_string(dir.path().join("app.db-wal")).unwrap(), "a leftover");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);

    fs::remove_file(&path).unwrap();
    assert_eq!(driver(&path).restore(&backup, &kept).await.unwrap(), Kept::Nothing);
    assert_eq!(number(&path, PHOTOS), 2000);
    let aside = dir.path().join("aside");
    assert_eq!(driver(&path).put_back(&kept, Some(&aside)).await.unwrap(), Some(Kept::Nothing));
    assert_eq!(number(&aside.join("database.db"), PHOTOS), 2000);
    assert_eq!(names(dir.path()), ["aside", "backup.db"], "there was none, and there is none");
}

#[tokio::test]
async fn a_database_that_is_damaged_inside_is_replaced_and_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (path, kept) = (dir.path().join("app.db"), dir.path().join("kept"));
    drop(make(&path, "delete"));
    let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(40 * 4096)).unwrap();
    file.write_all(&[0x5a; 3 * 4096]).unwrap();
    drop(file);
    driver(&path).restore(&backup, &kept).await.unwrap();
    assert_eq!(number(&path, "SELECT sum(length(name)) FROM photo"), 400_000);
    driver(&path).put_back(&kept, None).await.unwrap();
    let sum =
        Connection::open(&path).unwrap().query_row("SELECT sum(length(name)) FROM photo", [], |_| Ok(()));
    assert!(sum.is_err(), "the damage is gone, so this is another database");
}

#[tokio::test]
async fn a_restore_that_is_begun_twice_keeps_what_was_there_before_the_first() {
    for mode in ["wal", "delete"] {
        let dir = tempfile::tempdir().unwrap();
        let (path, kept) = (dir.path().join("app.db"), dir.path().join("kept"));
        let db = make(&path, mode);
        let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
        db.execute_batch("INSERT INTO photo(name) VALUES ('after the backup')").unwrap();
        for _ in 0..2 {
            assert_eq!(driver(&path).restore(&backup, &kept).await.unwrap(), Kept::Copy);
            assert_eq!(number(&path, PHOTOS), 2000, "{mode}");
        }
        // As a kill leaves it that comes before the database is put back, or right after that.
        assert_eq!(driver(&path).put_back(&kept, None).await.unwrap(), Some(Kept::Copy));
        assert_eq!(number(&path, PHOTOS), 2001, "{mode}");
        db.execute_batch("INSERT INTO photo(name) VALUES ('after it was put back')").unwrap();
        assert_eq!(driver(&path).put_back(&kept, None).await.unwrap(), None);
        assert_eq!(number(&path, PHOTOS), 2002, "{mode}: what was written since is lost");
    }
}

#[tokio::test]
async fn a_locked_database_is_busy_in_bounded_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    let holder = make(&path, "delete");
    let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let begin = Instant::now();
    let (one, two, three) = (driver(&path), driver(&path), driver(&path));
    let (target, kept) = (dir.path().join("second.db"), dir.path().join("kept"));
    let (status, copy, restore) =
        tokio::join!(one.status(), two.back_up(&target), three.restore(&backup, &kept));
    assert_eq!(status.unwrap_err().kind, Kind::Busy);
    assert_eq!(copy.unwrap_err().kind, Kind::Busy);
    assert_eq!(restore.unwrap_err().kind, Kind::Busy);
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(names(dir.path()), ["app.db", "backup.db"]);
}

#[tokio::test]
async fn a_full_disk_leaves_neither_a_torn_backup_nor_a_torn_database() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    drop(make(&path, "wal"));
    let Some(small) = Mount::new(&dir.path().join("small"), "size=256k") else { return };
    let error = driver(&path).back_up(&small.0.join("backup.db")).await.unwrap_err();
    assert_eq!(error.kind, Kind::NoSpace, "{error}");
    assert!(names(&small.0).is_empty(), "{:?}", names(&small.0));

    // A restore into a disk that has room for the old database only.
    let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
    let tiny = small.0.join("tiny.db");
    let db = Connection::open(&tiny).unwrap();
    db.execute_batch("CREATE TABLE schema_version(version TEXT); INSERT INTO schema_version VALUES ('1')")
        .unwrap();
    let kept = dir.path().join("kept");
    let error = driver(&tiny).restore(&backup, &kept).await.unwrap_err();
    assert_eq!(error.kind, Kind::NoSpace, "{error}");
    assert!(!kept.exists(), "nothing was replaced, so there is nothing to put back on a full disk");
    assert_eq!(
        db.query_row("SELECT version FROM schema_version", [], |r| r.get::<_, String>(0)).unwrap(),
        "1"
    );
}

#[tokio::test]
async fn a_database_that_may_not_be_written_says_so_and_can_be_backed_up() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(&dir.path().join("ro"), "size=8m") else { return };
    let path = mount.0.join("app.db");
    drop(make(&path, "delete"));
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(&mount.0).status().unwrap();
    assert!(remount.success());
    let status = driver(&path).status().await.unwrap();
    assert!(!status.writable && status.schema.is_some());
    let backup = driver(&path).back_up(&dir.path().join("backup.db")).await.unwrap();
    assert_eq!(number(&backup.path, PHOTOS), 2000);
    let kept = dir.path().join("kept");
    assert_eq!(driver(&path).restore(&backup, &kept).await.unwrap_err().kind, Kind::Denied);
}
