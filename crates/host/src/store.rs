//! The host's own memory: journal, runs, releases, events. One SQLite file, WAL, synced on every commit.
//! Every journal line carries a checksum over the line before it, so damage is seen, not believed.

use crate::api::{ApiError, ErrorKind};
use crate::reserve::Reserve;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use safelight_engine::{
    driver::{database::Backup, env::hex, state::ReleaseRecord},
    event::Event,
    plan::Plan,
    run::{
        RunEnd,
        journal::{Entry, EntryKind, Journal, JournalError, RunState},
    },
    text::Text,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{path::Path, sync::Mutex};

/// Version of the tables.
const VERSION: i64 = 1;

/// Why the host's memory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the host's own database could not be {op}: {}{}",
    why.en,
    help.as_ref().map(|h| format!("; {}", h.en)).unwrap_or_default()
)]
pub struct StoreError {
    op: &'static str,
    why: Text,
    help: Option<Text>,
}

impl From<StoreError> for ApiError {
    fn from(e: StoreError) -> Self {
        let op = if e.op == "read" { "读取" } else { "写入" };
        let message = Text::new(
            format!("the host's own database could not be {}: {}", e.op, e.why.en),
            format!("无法{op}主机自己的数据库：{}", e.why.zh),
        );
        Self { kind: ErrorKind::Failed, message, help: e.help }
    }
}

type Result<T> = std::result::Result<T, StoreError>;

fn reading(e: impl std::fmt::Display) -> StoreError {
    StoreError { op: "read", why: Text::same(e.to_string()), help: None }
}
fn writing(e: impl std::fmt::Display) -> StoreError {
    StoreError { op: "written", why: Text::same(e.to_string()), help: None }
}

/// What a run was started with; enough to go on with it after a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// Text of `safelight.toml` at that time.
    pub config: String,
    /// The directory it stood in.
    pub project: std::path::PathBuf,
    /// The plan.
    pub plan: Plan,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub end: Option<RunEnd>,
    /// Seconds without a coordinator after which an uncommitted run is taken back; `None`: never.
    pub lease_s: Option<u64>,
}

/// The host's memory.
pub struct Store {
    db: Mutex<Connection>,
    reserve: Reserve,
}

impl Store {
    /// Opens or creates it. Refuses one that SQLite finds damaged or a newer Safelight has written.
    ///
    /// # Errors
    /// With the repair.
    pub fn open(path: &Path) -> Result<Self> {
        let db = Connection::open(path).map_err(reading)?;
        let setup = || -> rusqlite::Result<()> {
            db.busy_timeout(std::time::Duration::from_secs(5))?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            Ok(())
        };
        setup().map_err(|e| damaged(path, &e))?;
        let check: String =
            db.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(|e| damaged(path, &e))?;
        if check != "ok" {
            return Err(damaged(path, &check));
        }
        let version: i64 = db.query_row("PRAGMA user_version", [], |r| r.get(0)).map_err(reading)?;
        if version > VERSION {
            let p = path.display();
            let why = safelight_engine::text!(
                "{p} was written by a newer safelight; install that one",
                "{p} 由更新版本的 safelight 写入；请安装那个版本"
            );
            return Err(StoreError { op: "read", why, help: None });
        }
        let reserve = Reserve::beside(path);
        if version == VERSION {
            // Nothing to write: it opens on a full disk, too.
            return Ok(Self { db: Mutex::new(db), reserve });
        }
        db.execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS runs(
                 id TEXT PRIMARY KEY, app TEXT NOT NULL, env TEXT NOT NULL, began TEXT NOT NULL,
                 ended TEXT, body TEXT NOT NULL) STRICT;
             CREATE TABLE IF NOT EXISTS journal(
                 run TEXT NOT NULL REFERENCES runs(id), seq INTEGER NOT NULL, body TEXT NOT NULL, chain TEXT NOT NULL,
                 PRIMARY KEY(run, seq)) STRICT;
             CREATE TABLE IF NOT EXISTS events(
                 run TEXT NOT NULL REFERENCES runs(id), seq INTEGER NOT NULL, body TEXT NOT NULL,
                 PRIMARY KEY(run, seq)) STRICT;
             CREATE TABLE IF NOT EXISTS releases(
                 app TEXT NOT NULL, env TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL,
                 PRIMARY KEY(app, env, id)) STRICT;
             CREATE TABLE IF NOT EXISTS serving(
                 app TEXT NOT NULL, env TEXT NOT NULL, current TEXT, previous TEXT, PRIMARY KEY(app, env)) STRICT;
             CREATE TABLE IF NOT EXISTS backups(
                 app TEXT NOT NULL, env TEXT NOT NULL, run TEXT NOT NULL, taken TEXT NOT NULL, body TEXT NOT NULL,
                 PRIMARY KEY(app, env, run)) STRICT;
             PRAGMA user_version = 1;
             COMMIT;",
        )
        .map_err(writing)?;
        Ok(Self { db: Mutex::new(db), reserve })
    }

    /// Keeps room back for the journal, where there is room to spare. True when it is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn keep_reserve(&self) -> std::io::Result<bool> {
        self.reserve.make()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Connection) -> T) -> T {
        // A thread that panicked while holding the lock has left a transaction that SQLite rolled back.
        let mut guard = self.db.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        f(&mut guard)
    }

    /// Records a new run, its first journal line, and the number of its release, in one transaction. `None` when
    /// another run of that app and environment is open: it comes back instead.
    pub fn begin_run(&self, row: &RunRow, first: &Entry) -> Result<Option<RunRow>> {
        self.with(|db| {
            let tx =
                db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(writing)?;
            let open: Option<String> = tx
                .query_row(
                    "SELECT body FROM runs WHERE app = ?1 AND env = ?2 AND ended IS NULL",
                    params![row.plan.app, row.plan.env],
                    |r| r.get(0),
                )
                .optional()
                .map_err(reading)?;
            if let Some(body) = open {
                return serde_json::from_str(&body).map(Some).map_err(reading);
            }
            tx.execute(
                "INSERT INTO runs(id, app, env, began, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![row.id, row.plan.app, row.plan.env, row.began.to_string(), json(row)?],
            )
            .map_err(writing)?;
            let body = json(first)?;
            let chain = link("", &body);
            tx.execute(
                "INSERT INTO journal(run, seq, body, chain) VALUES (?1, ?2, ?3, ?4)",
                params![row.id, 1, body, chain],
            )
            .map_err(writing)?;
            tx.commit().map_err(writing)?;
            Ok(None)
        })
    }

    /// Marks a run as ended.
    pub fn end_run(&self, id: &str, end: &RunEnd) -> Result<()> {
        self.with(|db| end_run(db, id, end))
    }

    /// One run.
    pub fn run(&self, id: &str) -> Result<Option<RunRow>> {
        self.with(|db| {
            db.query_row("SELECT body FROM runs WHERE id = ?1", [id], |r| r.get::<_, String>(0))
                .optional()
                .map_err(reading)?
                .map(|b| serde_json::from_str(&b).map_err(reading))
                .transpose()
        })
    }

    /// Runs, newest first; only open ones, or all.
    pub fn runs(&self, only_open: bool, limit: usize) -> Result<Vec<RunRow>> {
        let sql = if only_open {
            "SELECT body FROM runs WHERE ended IS NULL ORDER BY began DESC, id DESC LIMIT ?1"
        } else {
            "SELECT body FROM runs ORDER BY began DESC, id DESC LIMIT ?1"
        };
        self.with(|db| {
            let mut st = db.prepare_cached(sql).map_err(reading)?;
            let rows = st
                .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |r| r.get::<_, String>(0))
                .map_err(reading)?;
            rows.map(|b| serde_json::from_str(&b.map_err(reading)?).map_err(reading)).collect()
        })
    }

    /// Runs that took users from a release, or tried to; newest first.
    pub fn runs_from(&self, app: &str, env: &str, release: &str) -> Result<Vec<RunRow>> {
        self.runs_by("$.plan.from.id", app, env, release)
    }

    /// Runs that took users to a release, or tried to; newest first.
    pub fn runs_to(&self, app: &str, env: &str, release: &str) -> Result<Vec<RunRow>> {
        self.runs_by("$.plan.to.id", app, env, release)
    }

    fn runs_by(&self, field: &str, app: &str, env: &str, release: &str) -> Result<Vec<RunRow>> {
        self.with(|db| {
            let mut st = db
                .prepare_cached(
                    "SELECT body FROM runs WHERE app = ?1 AND env = ?2 AND json_extract(body, ?3) = ?4
                     ORDER BY began DESC, id DESC",
                )
                .map_err(reading)?;
            let rows =
                st.query_map([app, env, field, release], |r| r.get::<_, String>(0)).map_err(reading)?;
            rows.map(|b| serde_json::from_str(&b.map_err(reading)?).map_err(reading)).collect()
        })
    }

    /// The newest run of an app in an environment. It is the open one when there is one: no other begins beside it.
    pub fn last_run(&self, app: &str, env: &str) -> Result<Option<RunRow>> {
        self.with(|db| {
            let mut st = db
                .prepare_cached(
                    "SELECT body FROM runs WHERE app = ?1 AND env = ?2 ORDER BY began DESC, id DESC LIMIT 1",
                )
                .map_err(reading)?;
            let body = st.query_row([app, env], |r| r.get::<_, String>(0)).optional().map_err(reading)?;
            body.map(|b| serde_json::from_str(&b).map_err(reading)).transpose()
        })
    }

    /// The run that deployed a release. Numbers of releases are never used twice, so there is one at most.
    pub fn deploy_of(&self, app: &str, env: &str, release: &str) -> Result<Option<RunRow>> {
        self.with(|db| {
            let mut st = db
                .prepare_cached(
                    "SELECT body FROM runs WHERE app = ?1 AND env = ?2 AND json_extract(body, '$.plan.to.id') = ?3
                         AND json_extract(body, '$.plan.kind') = 'deploy'",
                )
                .map_err(reading)?;
            let body =
                st.query_row([app, env, release], |r| r.get::<_, String>(0)).optional().map_err(reading)?;
            body.map(|b| serde_json::from_str(&b).map_err(reading)).transpose()
        })
    }

    /// The state of a run, from its journal.
    pub fn run_state(&self, id: &str) -> std::result::Result<RunState, JournalError> {
        RunState::replay(id, &self.load(id)?)
    }

    /// Stores an event. Events are for people; losing one loses no state.
    pub fn add_event(&self, e: &Event) -> Result<()> {
        let seq = i64::try_from(e.seq).unwrap_or(i64::MAX);
        self.with(|db| {
            db.execute(
                "INSERT OR REPLACE INTO events(run, seq, body) VALUES (?1, ?2, ?3)",
                params![e.run, seq, json(e)?],
            )
            .map_err(writing)
            .map(drop)
        })
    }

    /// Events of a run after position `after`.
    pub fn events(&self, run: &str, after: u64) -> Result<Vec<Event>> {
        self.with(|db| {
            let mut st = db
                .prepare_cached("SELECT body FROM events WHERE run = ?1 AND seq > ?2 ORDER BY seq")
                .map_err(reading)?;
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let rows = st.query_map(params![run, after], |r| r.get::<_, String>(0)).map_err(reading)?;
            rows.map(|b| serde_json::from_str(&b.map_err(reading)?).map_err(reading)).collect()
        })
    }

    /// Removes events and journals of runs that ended before `before`, but for those of the newest `keep` runs of each
    /// app and environment. The runs stay on record: they say which backup belongs to which release. Returns how many
    /// runs that was.
    pub fn prune_events(&self, before: Timestamp, keep: usize) -> Result<usize> {
        let old: Vec<String> = self.with(|db| {
            let mut st = db
                .prepare_cached(
                    "SELECT id FROM (SELECT id, ended, row_number() OVER (PARTITION BY app, env ORDER BY began DESC, id DESC) AS n
                         FROM runs)
                     WHERE ended < ?1 AND n > ?2 AND (EXISTS (SELECT 1 FROM events WHERE run = id)
                         OR EXISTS (SELECT 1 FROM journal WHERE run = id))",
                )
                .map_err(reading)?;
            let keep = i64::try_from(keep).unwrap_or(i64::MAX);
            let rows = st.query_map(params![before.to_string(), keep], |r| r.get(0)).map_err(reading)?;
            rows.map(|r| r.map_err(reading)).collect::<Result<_>>()
        })?;
        for run in &old {
            // One by one: the journal of a run that is being worked on does not wait for all of them.
            self.with(|db| {
                let tx = db.transaction().map_err(writing)?;
                for table in ["events", "journal"] {
                    tx.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run]).map_err(writing)?;
                }
                tx.commit().map_err(writing)
            })?;
        }
        Ok(old.len())
    }

    /// The id of the next release: numbers are never used twice.
    pub fn next_release(&self, app: &str, env: &str) -> Result<String> {
        self.with(|db| {
            db.query_row(
                "SELECT COALESCE(MAX(n), 0) + 1 FROM (
                     SELECT number AS n FROM releases WHERE app = ?1 AND env = ?2
                     UNION ALL
                     SELECT CAST(substr(json_extract(body, '$.plan.to.id'), 2) AS INTEGER) FROM runs WHERE app = ?1 AND env = ?2)",
                params![app, env],
                |r| r.get::<_, i64>(0),
            )
            .map(|n| format!("r{n}"))
            .map_err(reading)
        })
    }

    /// Adds or changes a release.
    pub fn put_release(&self, app: &str, env: &str, release: &ReleaseRecord) -> Result<()> {
        let number: i64 = release.id.trim_start_matches('r').parse().unwrap_or(0);
        self.with(|db| {
            db.execute(
                "INSERT OR REPLACE INTO releases(app, env, id, number, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![app, env, release.id, number, json(release)?],
            )
            .map_err(writing)
            .map(drop)
        })
    }

    /// Forgets a release.
    pub fn remove_release(&self, app: &str, env: &str, id: &str) -> Result<()> {
        self.with(|db| {
            db.execute("DELETE FROM releases WHERE app = ?1 AND env = ?2 AND id = ?3", params![app, env, id])
                .map_err(writing)
                .map(drop)
        })
    }

    /// All releases, newest first.
    pub fn releases(&self, app: &str, env: &str) -> Result<Vec<ReleaseRecord>> {
        self.with(|db| {
            let mut st = db
                .prepare_cached("SELECT body FROM releases WHERE app = ?1 AND env = ?2 ORDER BY number DESC")
                .map_err(reading)?;
            let rows = st.query_map([app, env], |r| r.get::<_, String>(0)).map_err(reading)?;
            rows.map(|b| serde_json::from_str(&b.map_err(reading)?).map_err(reading)).collect()
        })
    }

    /// Ids of the release that serves and of the verified one before it.
    pub fn serving(&self, app: &str, env: &str) -> Result<(Option<String>, Option<String>)> {
        self.with(|db| {
            db.query_row(
                "SELECT current, previous FROM serving WHERE app = ?1 AND env = ?2",
                [app, env],
                |r| Ok((r.get(0)?, r.get(1)?)),
            )
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(reading)
        })
    }

    /// Sets them.
    pub fn set_serving(
        &self,
        app: &str,
        env: &str,
        current: Option<&str>,
        previous: Option<&str>,
    ) -> Result<()> {
        self.with(|db| {
            db.execute(
                "INSERT OR REPLACE INTO serving(app, env, current, previous) VALUES (?1, ?2, ?3, ?4)",
                params![app, env, current, previous],
            )
            .map_err(writing)
            .map(drop)
        })
    }

    /// All apps and environments that were ever deployed.
    pub fn apps(&self) -> Result<Vec<(String, String)>> {
        self.with(|db| {
            let mut st =
                db.prepare_cached("SELECT DISTINCT app, env FROM runs ORDER BY app, env").map_err(reading)?;
            let rows = st.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).map_err(reading)?;
            rows.map(|r| r.map_err(reading)).collect()
        })
    }

    /// Records a backup made by a run, or what was proven of it since.
    pub fn put_backup(&self, app: &str, env: &str, run: &str, backup: &Backup) -> Result<()> {
        self.with(|db| {
            db.execute(
                "INSERT OR REPLACE INTO backups(app, env, run, taken, body) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![app, env, run, backup.taken_at.to_string(), json(backup)?],
            )
            .map_err(writing)
            .map(drop)
        })
    }

    /// Backups with the runs that made them, newest first.
    pub fn backups(&self, app: &str, env: &str) -> Result<Vec<(String, Backup)>> {
        self.with(|db| {
            let mut st = db
                .prepare_cached(
                    "SELECT run, body FROM backups WHERE app = ?1 AND env = ?2 ORDER BY taken DESC",
                )
                .map_err(reading)?;
            let rows = st
                .query_map([app, env], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?)))
                .map_err(reading)?;
            rows.map(|r| {
                let (run, body) = r.map_err(reading)?;
                Ok((run, serde_json::from_str(&body).map_err(reading)?))
            })
            .collect()
        })
    }

    /// Forgets a backup whose file is gone.
    pub fn remove_backup(&self, app: &str, env: &str, run: &str) -> Result<()> {
        self.with(|db| {
            db.execute("DELETE FROM backups WHERE app = ?1 AND env = ?2 AND run = ?3", params![app, env, run])
                .map_err(writing)
                .map(drop)
        })
    }
}

fn damaged(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    let p = path.display();
    StoreError {
        op: "read",
        why: safelight_engine::text!(
            "{p} is damaged ({why}). Nothing was changed; releases and the running app are not affected",
            "{p} 已损坏（{why}）。没有做任何变更；各版本和正在运行的应用不受影响"
        ),
        help: Some(safelight_engine::text!(
            "copy it away, then try `sqlite3 {p} .recover | sqlite3 {p}.new` and put the new file in its place",
            "先把它复制到别处，再尝试 `sqlite3 {p} .recover | sqlite3 {p}.new`，用新文件替换它"
        )),
    }
}

fn end_run(db: &Connection, id: &str, end: &RunEnd) -> Result<()> {
    let body: Option<String> = db
        .query_row("SELECT body FROM runs WHERE id = ?1", [id], |r| r.get(0))
        .optional()
        .map_err(reading)?;
    let Some(body) = body else { return Ok(()) };
    let mut row: RunRow = serde_json::from_str(&body).map_err(reading)?;
    row.end = Some(end.clone());
    row.ended = Some(Timestamp::now());
    let ended = row.ended.map(|t| t.to_string());
    db.execute("UPDATE runs SET ended = ?2, body = ?3 WHERE id = ?1", params![id, ended, json(&row)?])
        .map_err(writing)
        .map(drop)
}

fn json<T: Serialize>(v: &T) -> Result<String> {
    serde_json::to_string(v).map_err(writing)
}

fn link(before: &str, body: &str) -> String {
    hex(&Sha256::new().chain_update(before).chain_update(b"\n").chain_update(body).finalize())
}

impl Store {
    fn append_now(&self, run: &str, entry: &Entry) -> std::result::Result<(), JournalError> {
        let storage = |why: String| JournalError::Storage { op: "written", why };
        let body = serde_json::to_string(entry).map_err(|e| storage(e.to_string()))?;
        let seq = i64::try_from(entry.seq).unwrap_or(i64::MAX);
        self.with(|db| {
            let tx = db
                .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
                .map_err(|e| storage(e.to_string()))?;
            let before: String = tx
                .query_row(
                    "SELECT chain FROM journal WHERE run = ?1 AND seq = ?2",
                    params![run, seq - 1],
                    |r| r.get(0),
                )
                .map_err(|e| storage(format!("line {} is missing: {e}", seq - 1)))?;
            tx.execute(
                "INSERT INTO journal(run, seq, body, chain) VALUES (?1, ?2, ?3, ?4)",
                params![run, seq, body, link(&before, &body)],
            )
            .map_err(|e| storage(e.to_string()))?;
            // With its last line, or a crash in between would leave a run that is over and open.
            if let EntryKind::End { end } = &entry.kind {
                end_run(&tx, run, end).map_err(|e| storage(e.to_string()))?;
            }
            tx.commit().map_err(|e| storage(e.to_string()))
        })
    }
}

impl Journal for Store {
    fn append(&self, run: &str, entry: &Entry) -> std::result::Result<(), JournalError> {
        match self.append_now(run, entry) {
            // Whatever went wrong, more room does no harm; and a line that was written after all is not written twice.
            Err(e) if self.reserve.free() => {
                tracing::warn!(run, "{e}; the room kept back for the journal is given to it");
                self.append_now(run, entry)
            }
            done => done,
        }
    }

    fn load(&self, run: &str) -> std::result::Result<Vec<Entry>, JournalError> {
        let storage = |why: String| JournalError::Storage { op: "read", why };
        let rows: Vec<(i64, String, String)> = self.with(|db| {
            let mut st = db
                .prepare_cached("SELECT seq, body, chain FROM journal WHERE run = ?1 ORDER BY seq")
                .map_err(|e| storage(e.to_string()))?;
            let rows = st
                .query_map([run], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))
                .map_err(|e| storage(e.to_string()))?
                .collect::<rusqlite::Result<_>>();
            rows.map_err(|e| storage(e.to_string()))
        })?;
        let mut before = String::new();
        let mut entries = Vec::with_capacity(rows.len());
        for (seq, body, chain) in rows {
            let damaged = |why: Text| JournalError::Damaged {
                run: run.to_owned(),
                seq: u64::try_from(seq).unwrap_or(0),
                why,
            };
            if link(&before, &body) != chain {
                return Err(damaged(Text::new("its checksum is wrong", "校验和不对")));
            }
            entries.push(serde_json::from_str(&body).map_err(|e| damaged(Text::same(e.to_string())))?);
            before = chain;
        }
        Ok(entries)
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
