//! Files on their way in. A row is there before the first byte, so nothing that arrives is without an owner, and what
//! a killed process or a lost notice left behind is found by its row.

use super::now_ms;
use super::sql::{DbError, DbResult, Row, Sql};
use crate::model::{About, UploadState};
use crate::params;
use crate::storage::{Backend, StoredObject};

/// An upload as stored.
#[derive(Debug, Clone)]
pub struct UploadRow {
    /// Row id.
    pub id: i64,
    /// Opaque key; also what the object store is given as `ext-param`.
    pub key: String,
    /// Whose it is.
    pub owner_id: i64,
    /// Where it stands.
    pub state: UploadState,
    /// Where the bytes go.
    pub object: StoredObject,
    /// Name of the file.
    pub file_name: String,
    /// Bytes, as announced or counted.
    pub bytes: u64,
    /// What its owner says of the photo.
    pub about: About,
    /// MD5 in hex that was processed.
    pub md5: Option<String>,
    /// The photo that it became, or that was there before.
    pub photo_id: Option<i64>,
    /// The photo was there before.
    pub duplicate: bool,
    /// Stable code of a refusal.
    pub code: Option<String>,
    /// The refusal for people.
    pub message: Option<String>,
    /// Until when it may arrive, in ms.
    pub expires_at: i64,
}

const COLUMNS: &str =
    "id, key, owner_id, state, backend, object_key, content_secret, file_name, bytes, about, md5, photo_id,
    duplicate, code, message, expires_at";

fn upload(row: &Row) -> DbResult<UploadRow> {
    let (state, backend): (String, String) = (row.get(3)?, row.get(4)?);
    let about: String = row.get(9)?;
    Ok(UploadRow {
        id: row.get(0)?,
        key: row.get(1)?,
        owner_id: row.get(2)?,
        state: UploadState::parse(&state).ok_or_else(|| DbError::odd(3, "a state"))?,
        object: StoredObject {
            backend: Backend::parse(&backend).ok_or_else(|| DbError::odd(4, "a backend"))?,
            name: row.get(5)?,
            content_secret: row.get(6)?,
        },
        file_name: row.get(7)?,
        bytes: row.get(8)?,
        about: About::stored(&about).map_err(|_| DbError::odd(9, "what its owner says"))?,
        md5: row.get(10)?,
        photo_id: row.get(11)?,
        duplicate: row.get(12)?,
        code: row.get(13)?,
        message: row.get(14)?,
        expires_at: row.get(15)?,
    })
}

/// An upload to be noted.
#[derive(Debug, Clone)]
pub struct NewUploadRow {
    /// Opaque key.
    pub key: String,
    /// Whose it is.
    pub owner_id: i64,
    /// [`UploadState::Receiving`] or [`UploadState::Pending`].
    pub state: UploadState,
    /// Where the bytes will go.
    pub object: StoredObject,
    /// Name of the file.
    pub file_name: String,
    /// Bytes.
    pub bytes: u64,
    /// What its owner says.
    pub about: About,
    /// Until when it may arrive, in ms.
    pub expires_at: i64,
}

/// Notes an upload before it begins; its row id.
///
/// # Errors
/// Those of the database.
pub fn insert(sql: &mut Sql, new: &NewUploadRow) -> DbResult<i64> {
    let about = serde_json::to_string(&new.about).map_err(|e| DbError::Other(e.to_string()))?;
    sql.value(
        "INSERT INTO uploads (key, owner_id, state, backend, object_key, content_secret, file_name, bytes, about,
                              created_at, expires_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?10) RETURNING id",
        params![
            &new.key,
            new.owner_id,
            new.state.as_str(),
            new.object.backend.as_str(),
            &new.object.name,
            new.object.content_secret.as_deref(),
            &new.file_name,
            new.bytes,
            about,
            now_ms(),
            new.expires_at,
        ],
    )
}

/// An upload by its key.
///
/// # Errors
/// Those of the database.
pub fn by_key(sql: &mut Sql, key: &str) -> DbResult<Option<UploadRow>> {
    let query = format!("SELECT {COLUMNS} FROM uploads WHERE key = ?1");
    sql.first(&query, params![key])?.as_ref().map(upload).transpose()
}

/// The unfinished uploads of an account and its last 50 ended ones, newest first.
///
/// # Errors
/// Those of the database.
pub fn of_owner(sql: &mut Sql, owner_id: i64) -> DbResult<Vec<UploadRow>> {
    let query = format!(
        "SELECT {COLUMNS} FROM uploads WHERE owner_id = ?1 AND (state IN ('receiving', 'pending', 'uploaded') OR id IN
            (SELECT id FROM uploads WHERE owner_id = ?1 AND state IN ('done', 'failed', 'expired')
             ORDER BY id DESC LIMIT 50))
         ORDER BY id DESC LIMIT 500"
    );
    sql.query(&query, params![owner_id])?.iter().map(upload).collect()
}

/// Moves an upload from one state to another; false when it was not in that state any more.
///
/// # Errors
/// Those of the database.
pub fn advance(sql: &mut Sql, id: i64, from: &[UploadState], to: UploadState) -> DbResult<bool> {
    let states = from.iter().map(|s| format!("'{}'", s.as_str())).collect::<Vec<_>>().join(", ");
    let query =
        format!("UPDATE uploads SET state = ?2, updated_at = ?3 WHERE id = ?1 AND state IN ({states})");
    Ok(sql.execute(&query, params![id, to.as_str(), now_ms()])? == 1)
}

/// Ends an upload as a photo; false when it has ended otherwise meanwhile, and its files are being deleted.
///
/// # Errors
/// Those of the database.
pub fn done(sql: &mut Sql, id: i64, photo_id: i64, duplicate: bool, md5: Option<&str>) -> DbResult<bool> {
    let changed = sql.execute(
        "UPDATE uploads SET state = 'done', photo_id = ?2, duplicate = ?3, md5 = ?4, updated_at = ?5
         WHERE id = ?1 AND state IN ('receiving', 'uploaded')",
        params![id, photo_id, duplicate, md5, now_ms()],
    )?;
    Ok(changed == 1)
}

/// The photo that an upload with this idempotency key became, and whether it was there before the first of them.
///
/// # Errors
/// Those of the database.
pub fn became(sql: &mut Sql, owner_id: i64, idempotency_key: &str) -> DbResult<Option<(i64, bool)>> {
    // Only what a key may be made of comes here, `_` among it, which stands for any character: so the row is read.
    let query = "SELECT photo_id, duplicate, about FROM uploads WHERE owner_id = ?1 AND state = 'done'
                 AND photo_id IS NOT NULL AND about LIKE ?2 ORDER BY id";
    let like = format!("%\"{idempotency_key}\"%");
    for row in sql.query(query, params![owner_id, like])? {
        let about: String = row.get(2)?;
        let about = About::stored(&about).map_err(|_| DbError::odd(2, "what its owner says"))?;
        if about.idempotency_key.as_deref() == Some(idempotency_key) {
            return Ok(Some((row.get(0)?, row.get(1)?)));
        }
    }
    Ok(None)
}

/// Ends an upload with a refusal.
///
/// # Errors
/// Those of the database.
pub fn refuse(sql: &mut Sql, id: i64, code: &str, message: &str) -> DbResult<()> {
    sql.execute(
        "UPDATE uploads SET state = 'failed', code = ?2, message = ?3, updated_at = ?4 WHERE id = ?1",
        params![id, code, message, now_ms()],
    )?;
    Ok(())
}

/// Uploads that have been waiting: pending ones noted before `since` (ms), to be looked for in the object store.
///
/// # Errors
/// Those of the database.
pub fn waiting(sql: &mut Sql, since: i64) -> DbResult<Vec<UploadRow>> {
    let query = format!(
        "SELECT {COLUMNS} FROM uploads WHERE state = 'pending' AND updated_at < ?1 ORDER BY updated_at LIMIT 100"
    );
    sql.query(&query, params![since])?.iter().map(upload).collect()
}

/// Notes that an upload was looked for, so that the next look begins with others.
///
/// # Errors
/// Those of the database.
pub fn looked_for(sql: &mut Sql, id: i64) -> DbResult<()> {
    sql.execute("UPDATE uploads SET updated_at = ?2 WHERE id = ?1", params![id, now_ms()])?;
    Ok(())
}

/// Uploads that a process was receiving when it was killed.
///
/// # Errors
/// Those of the database.
pub fn abandoned(sql: &mut Sql) -> DbResult<Vec<UploadRow>> {
    let query =
        format!("SELECT {COLUMNS} FROM uploads WHERE state = 'receiving' AND expires_at < ?1 LIMIT 100");
    sql.query(&query, params![now_ms()])?.iter().map(upload).collect()
}

/// Every backend that an unfinished upload is on its way to.
///
/// # Errors
/// Those of the database.
pub fn places(sql: &mut Sql) -> DbResult<Vec<String>> {
    let query = "SELECT DISTINCT backend FROM uploads WHERE state IN ('receiving', 'pending', 'uploaded')";
    sql.query(query, &[])?.iter().map(|row| row.get(0)).collect()
}

/// Whether an upload that has not ended, or has become a photo, has its bytes under a name.
///
/// # Errors
/// Those of the database.
pub fn uses_object(sql: &mut Sql, backend: Backend, object: &str) -> DbResult<bool> {
    let query = "SELECT 1 FROM uploads WHERE backend = ?1 AND object_key = ?2
                 AND state IN ('receiving', 'pending', 'uploaded')";
    Ok(sql.first(query, params![backend.as_str(), object])?.is_some())
}

/// The signed upload that was to bring an object, and was taken for lost.
///
/// # Errors
/// Those of the database.
pub fn expired(sql: &mut Sql, backend: Backend, object: &str) -> DbResult<Option<UploadRow>> {
    let query =
        format!("SELECT {COLUMNS} FROM uploads WHERE backend = ?1 AND object_key = ?2 AND state = 'expired'");
    sql.first(&query, params![backend.as_str(), object])?.as_ref().map(upload).transpose()
}

/// How many signed uploads have not arrived.
///
/// # Errors
/// Those of the database.
pub fn pending(sql: &mut Sql) -> DbResult<u64> {
    sql.value("SELECT count(*) FROM uploads WHERE state = 'pending'", &[])
}

/// Forgets one upload.
///
/// # Errors
/// Those of the database.
pub fn remove(sql: &mut Sql, id: i64) -> DbResult<()> {
    sql.execute("DELETE FROM uploads WHERE id = ?1", params![id])?;
    Ok(())
}

/// Forgets uploads that ended before a moment (ms).
///
/// # Errors
/// Those of the database.
pub fn forget(sql: &mut Sql, before: i64) -> DbResult<u64> {
    let query = "DELETE FROM uploads WHERE state IN ('done', 'failed', 'expired') AND updated_at < ?1";
    sql.execute(query, params![before])
}
