//! Putting a backup in the place of a live SQLite database, and taking that back.
//! Blocking: called on threads that may block. What is replaced is kept first, in a directory that appears whole or not
//! at all; whatever is cut off in between can be taken back from there.

use super::{
    sqlite::{Sqlite, show},
    sqlite_copy::{Op, beside, check_integrity, copy_into, copy_raw, copy_to_file, open_live, open_still},
};
use rusqlite::{Connection, types::Value};
use safelight_engine::driver::database::{Backup, DatabaseError, DatabaseErrorKind as Kind, Kept};
use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// A sound copy, in the directory of what was kept.
const COPY: &str = "database.db";
/// The files of a database that SQLite cannot read.
const RAW: &str = "unreadable.db";
/// Says that there was none.
const NOTHING: &str = "there-was-none";
/// Files beside a database that belong to its content.
const PARTS: [&str; 3] = ["", "-wal", "-journal"];

impl Sqlite {
    pub(super) fn restore_now(&self, op: &Op, backup: &Backup, kept: &Path) -> Result<Kept, DatabaseError> {
        if same_file(&self.path, &backup.path) {
            return Err(op.fail(Kind::Other, "refused: the backup is the live database itself"));
        }
        let from = Self::verify(backup)?;
        let first = !kept.exists();
        let how = self.set_aside(op, kept)?;
        self.replace(op, &from, || {
            // It failed as a whole, so there is nothing to take back. What an earlier try did is not known.
            if first {
                let _ = let_go(op, kept);
            }
        })?;
        Ok(how)
    }

    pub(super) fn put_back_now(
        &self,
        op: &Op,
        kept: &Path,
        aside: Option<&Path>,
    ) -> Result<Option<Kept>, DatabaseError> {
        if !kept.exists() {
            let_go(op, kept)?;
            return Ok(None);
        }
        let how = kind_of(op, kept)?;
        if let Some(aside) = aside {
            self.set_aside(op, aside)?;
        }
        match how {
            Kept::Copy => self.replace(op, &open_still(op, &kept.join(COPY))?, || ())?,
            Kept::Raw => self.replace_raw(op, &kept.join(RAW))?,
            Kept::Nothing => remove_database(op, &self.path)?,
        }
        let_go(op, kept)?;
        Ok(Some(how))
    }

    /// Keeps the live database in `dir`, unless an earlier try has.
    fn set_aside(&self, op: &Op, dir: &Path) -> Result<Kept, DatabaseError> {
        if dir.exists() {
            return kind_of(op, dir);
        }
        let temp = beside(dir, ".tmp");
        remove_dir(op, &temp)?;
        fs::DirBuilder::new().mode(0o700).create(&temp).map_err(|e| op.io(&e))?;
        let result = self.keep_in(op, &temp).and_then(|how| {
            sync_dir(op, &temp)?;
            rename(op, &temp, dir)?;
            Ok(how)
        });
        if result.is_err() {
            let _ = remove_dir(op, &temp);
        }
        result
    }

    fn keep_in(&self, op: &Op, dir: &Path) -> Result<Kept, DatabaseError> {
        if !self.path.exists() {
            File::create(dir.join(NOTHING)).and_then(|f| f.sync_all()).map_err(|e| op.io(&e))?;
            return Ok(Kept::Nothing);
        }
        match open_live(op, &self.path).and_then(|live| copy_to_file(op, &live, &dir.join(COPY))) {
            Ok(_) => Ok(Kept::Copy),
            Err(e) if e.kind == Kind::Corrupt => {
                for part in PARTS {
                    let from = beside(&self.path, part);
                    if from.exists() {
                        copy_raw(op, &from, &beside(&dir.join(RAW), part))?;
                    }
                }
                Ok(Kept::Raw)
            }
            Err(e) => Err(e),
        }
    }

    /// Makes `from` the live database. `unchanged` is called when that failed and left the live one as it was.
    fn replace(&self, op: &Op, from: &Connection, unchanged: impl Fn()) -> Result<(), DatabaseError> {
        if !self.path.exists() {
            // Leftovers of the lost database would be taken for changes to the restored one.
            remove_database(op, &self.path)?;
            return copy_to_file(op, from, &self.path).map(drop).inspect_err(|_| unchanged());
        }
        let written = open_live(op, &self.path).and_then(|mut live| {
            live.pragma_update(None, "synchronous", "FULL").map_err(|e| op.sql(&e))?;
            overwrite(op, from, &mut live)?;
            Ok(live)
        });
        let sound = match written {
            Ok(live) => {
                let sound = check_integrity(op, &live);
                // What is still in the WAL is durable; moving it into the file is a courtesy to people with `cp`.
                let _ = live.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
                sound
            }
            Err(e) if e.kind == Kind::Corrupt => Err(e),
            Err(e) => {
                unchanged();
                return Err(e);
            }
        };
        match sound {
            Err(e) if e.kind == Kind::Corrupt => self.replace_file(op, from),
            other => other,
        }
    }

    /// SQLite cannot read the live database, so it cannot write into it either. Processes that hold it open must be
    /// started again.
    fn replace_file(&self, op: &Op, from: &Connection) -> Result<(), DatabaseError> {
        remove_journals(op, &self.path)?;
        let owner = fs::metadata(&self.path).map_err(|e| op.io(&e))?;
        copy_to_file(op, from, &self.path)?;
        own_like(op, &self.path, &owner)
    }

    fn replace_raw(&self, op: &Op, raw: &Path) -> Result<(), DatabaseError> {
        let owner = fs::metadata(&self.path).ok();
        remove_journals(op, &self.path)?;
        for part in PARTS {
            let from = beside(raw, part);
            if !from.exists() {
                continue;
            }
            let to = beside(&self.path, part);
            copy_raw(op, &from, &to)?;
            if let Some(owner) = &owner {
                own_like(op, &to, owner)?;
            }
        }
        Ok(())
    }
}

fn kind_of(op: &Op, kept: &Path) -> Result<Kept, DatabaseError> {
    for (name, how) in [(COPY, Kept::Copy), (RAW, Kept::Raw), (NOTHING, Kept::Nothing)] {
        if kept.join(name).exists() {
            return Ok(how);
        }
    }
    let shown = kept.display();
    Err(op.fail(Kind::Other, format!("{shown} does not hold a database that was kept; look at it by hand")))
}

/// Removes what was kept. Under another name first: one that is removed in part must not be taken for a whole one.
fn let_go(op: &Op, kept: &Path) -> Result<(), DatabaseError> {
    let gone = beside(kept, ".gone");
    if kept.exists() {
        remove_dir(op, &gone)?;
        rename(op, kept, &gone)?;
    }
    remove_dir(op, &gone)
}

fn rename(op: &Op, from: &Path, to: &Path) -> Result<(), DatabaseError> {
    fs::rename(from, to).map_err(|e| op.io(&e))?;
    to.parent().map_or(Ok(()), |dir| sync_dir(op, dir))
}

fn sync_dir(op: &Op, dir: &Path) -> Result<(), DatabaseError> {
    File::open(dir).and_then(|f| f.sync_all()).map_err(|e| op.io(&e))
}

fn remove_dir(op: &Op, dir: &Path) -> Result<(), DatabaseError> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(op.io(&e)),
        _ => Ok(()),
    }
}

/// Copies `from` over `live`. SQLite cannot change the page size of a database in WAL mode: where the two differ, it
/// leaves that mode for the copy, which needs a moment without any other connection.
fn overwrite(op: &Op, from: &Connection, live: &mut Connection) -> Result<(), DatabaseError> {
    let ask = |db: &Connection, pragma: &str| {
        db.query_row(pragma, [], |row| row.get::<_, Value>(0)).map(show).map_err(|e| op.sql(&e))
    };
    let other_size = ask(from, "PRAGMA page_size")? != ask(live, "PRAGMA page_size")?;
    if !other_size || ask(live, "PRAGMA journal_mode")? != "wal" {
        return copy_into(op, from, live);
    }
    if ask(live, "PRAGMA journal_mode = DELETE")? != "delete" {
        let detail = "the backup has another page size, so the app must be stopped for the restore";
        return Err(op.fail(Kind::Busy, detail));
    }
    let copied = copy_into(op, from, live);
    // The copy is what matters; apps set the mode that they want when they open a database.
    let _ = ask(live, "PRAGMA journal_mode = WAL");
    copied
}

pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => std::path::absolute(a).ok() == std::path::absolute(b).ok(),
    }
}

/// What SQLite keeps beside a database, all of it about the content that goes.
fn remove_journals(op: &Op, path: &Path) -> Result<(), DatabaseError> {
    ["-wal", "-shm", "-journal"].iter().try_for_each(|ending| remove(op, &beside(path, ending)))
}

fn remove(op: &Op, path: &Path) -> Result<(), DatabaseError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(op.io(&e)),
        _ => Ok(()),
    }
}

pub(super) fn remove_database(op: &Op, path: &Path) -> Result<(), DatabaseError> {
    remove(op, path)?;
    remove_journals(op, path)
}

/// Gives a new file the owner and mode of the one it replaced: the app runs as another user than we, perhaps.
fn own_like(op: &Op, path: &Path, like: &fs::Metadata) -> Result<(), DatabaseError> {
    use std::os::unix::fs::MetadataExt as _;
    fs::set_permissions(path, like.permissions()).map_err(|e| op.io(&e))?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(like.uid()), Some(like.gid())).map_err(|e| op.io(&e))?;
    }
    Ok(())
}
