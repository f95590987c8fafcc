//! Photos: rows, keyset pages, and the one rule of who may see what.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params_from_iter};

use super::migrations::{self, CAPTIONS};
use super::now_ms;
use crate::images::Sizes;
use crate::model::{Features, PhotoChange, Roll, UserRole, Visibility};

/// Who is looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Nobody is logged in.
    Anonymous,
    /// An account.
    User(i64),
    /// An admin.
    Admin,
}

impl Viewer {
    /// The viewer that an account is.
    #[must_use]
    pub fn of(id: i64, role: UserRole) -> Self {
        if role == UserRole::Admin { Self::Admin } else { Self::User(id) }
    }

    /// The visibility rule; everything that shows a photo asks here.
    #[must_use]
    pub fn may_see(self, photo: &PhotoRow) -> bool {
        photo.visibility != Visibility::Private || self.may_edit(photo)
    }

    /// Owners and admins change, delete, and download the original.
    #[must_use]
    pub fn may_edit(self, photo: &PhotoRow) -> bool {
        match self {
            Self::Anonymous => false,
            Self::User(id) => id == photo.owner_id,
            Self::Admin => true,
        }
    }
}

/// A photo as stored.
#[derive(Debug, Clone)]
pub struct PhotoRow {
    /// Row id, and the order of pages.
    pub id: i64,
    /// Public key.
    pub key: String,
    /// Who uploaded it.
    pub owner_id: i64,
    /// Key of the original: another than the public one, so that it cannot be guessed from it.
    pub original_key: String,
    /// File extension of the original.
    pub format: String,
    /// Width after orientation.
    pub width: u32,
    /// Height after orientation.
    pub height: u32,
    /// Sizes of the variants.
    pub sizes: Sizes,
    /// Title.
    pub title: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// Upload time in ms.
    pub created_at: i64,
    /// The roll.
    pub roll: Option<Roll>,
    /// Caption; none when the schema has no captions.
    pub caption: Option<String>,
}

/// A photo to be stored.
#[derive(Debug, Clone)]
pub struct NewPhoto {
    /// Public key.
    pub key: String,
    /// Owner.
    pub owner_id: i64,
    /// Key of the original.
    pub original_key: String,
    /// File extension of the original.
    pub format: &'static str,
    /// Bytes of the original.
    pub bytes: u64,
    /// SHA-256 of the original.
    pub sha256: [u8; 32],
    /// Width after orientation.
    pub width: u32,
    /// Height after orientation.
    pub height: u32,
    /// Sizes of the variants.
    pub sizes: Sizes,
    /// Title.
    pub title: String,
    /// Caption; dropped when the schema has no captions.
    pub caption: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// Key of a roll of the same owner.
    pub roll: Option<String>,
}

/// What the schema can do now. Asked at each request: a migration may run under a live process.
///
/// # Errors
/// Those of SQLite.
pub fn features(conn: &Connection) -> rusqlite::Result<Features> {
    Ok(Features { captions: migrations::version(conn)? >= CAPTIONS })
}

fn select(features: Features) -> String {
    let caption = if features.captions { "p.caption" } else { "NULL" };
    format!(
        "SELECT p.id, p.key, p.owner_id, p.original_key, p.format, p.width, p.height, p.sizes, p.title,
                p.visibility, p.created_at, r.key, r.title, r.film_stock, r.camera, {caption}
         FROM photos p LEFT JOIN rolls r ON r.id = p.roll_id"
    )
}

fn photo(row: &Row<'_>) -> rusqlite::Result<PhotoRow> {
    let bad = |index: usize, what: String| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, what.into())
    };
    let sizes: String = row.get(7)?;
    let visibility: String = row.get(9)?;
    let roll_key: Option<String> = row.get(11)?;
    let roll = match roll_key {
        Some(key) => Some(Roll { key, title: row.get(12)?, film_stock: row.get(13)?, camera: row.get(14)? }),
        None => None,
    };
    Ok(PhotoRow {
        id: row.get(0)?,
        key: row.get(1)?,
        owner_id: row.get(2)?,
        original_key: row.get(3)?,
        format: row.get(4)?,
        width: row.get(5)?,
        height: row.get(6)?,
        sizes: serde_json::from_str(&sizes).map_err(|e| bad(7, e.to_string()))?,
        title: row.get(8)?,
        visibility: Visibility::parse(&visibility)
            .ok_or_else(|| bad(9, format!("visibility {visibility}")))?,
        created_at: row.get(10)?,
        roll,
        caption: row.get(15)?,
    })
}

/// A photo by its public key.
///
/// # Errors
/// Those of SQLite.
pub fn by_key(conn: &Connection, key: &str) -> rusqlite::Result<Option<PhotoRow>> {
    let sql = format!("{} WHERE p.key = ?1", select(features(conn)?));
    conn.prepare_cached(&sql)?.query_row([key], photo).optional()
}

/// What a page is to hold.
#[derive(Debug, Clone)]
pub struct PageQuery {
    /// Who is looking.
    pub viewer: Viewer,
    /// Everything the viewer may edit, instead of what is public.
    pub mine: bool,
    /// Only of the roll with this key.
    pub roll: Option<String>,
    /// Only photos older than the one with this key.
    pub before: Option<String>,
    /// Most rows.
    pub limit: u32,
}

/// A page of photos, newest first, and whether there are more.
///
/// # Errors
/// Those of SQLite.
pub fn page(conn: &Connection, query: &PageQuery) -> rusqlite::Result<(Vec<PhotoRow>, bool)> {
    let mut wheres = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    match (query.mine, query.viewer) {
        (true, Viewer::Admin) => {}
        (true, Viewer::User(id)) => {
            wheres.push("p.owner_id = ?");
            values.push(id.into());
        }
        _ => wheres.push("p.visibility = 'public'"),
    }
    if let Some(roll) = &query.roll {
        wheres.push("r.key = ?");
        values.push(roll.clone().into());
    }
    if let Some(before) = &query.before {
        // A deleted key has no place in the order any more; the page is then empty, not the first one again.
        wheres.push("p.id < (SELECT id FROM photos WHERE key = ?)");
        values.push(before.clone().into());
    }
    let filter = if wheres.is_empty() { String::new() } else { format!(" WHERE {}", wheres.join(" AND ")) };
    values.push(i64::from(query.limit + 1).into());
    let sql = format!("{}{filter} ORDER BY p.id DESC LIMIT ?", select(features(conn)?));
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query_map(params_from_iter(values), photo)?.collect::<Result<Vec<_>, _>>()?;
    let more = rows.len() > query.limit as usize;
    rows.truncate(query.limit as usize);
    Ok((rows, more))
}

/// Stores a photo. A roll of somebody else, or an unknown one, is left out.
///
/// # Errors
/// Those of SQLite.
pub fn insert(tx: &Transaction<'_>, new: &NewPhoto) -> rusqlite::Result<()> {
    let sizes = serde_json::to_string(&new.sizes)
        .map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    tx.execute(
        "INSERT INTO photos (key, owner_id, original_key, format, bytes, sha256, width, height, sizes, title,
                             visibility, backend, created_at, roll_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'local', ?12,
                 (SELECT id FROM rolls WHERE key = ?13 AND owner_id = ?2))",
        rusqlite::params![
            new.key,
            new.owner_id,
            new.original_key,
            new.format,
            i64::try_from(new.bytes).unwrap_or(i64::MAX),
            new.sha256,
            new.width,
            new.height,
            sizes,
            new.title,
            new.visibility.as_str(),
            now_ms(),
            new.roll,
        ],
    )?;
    if !new.caption.is_empty() && features(tx)?.captions {
        tx.execute("UPDATE photos SET caption = ?2 WHERE key = ?1", (&new.key, &new.caption))?;
    }
    Ok(())
}

/// Changes a photo; the caller has checked that it may.
///
/// # Errors
/// Those of SQLite.
pub fn change(tx: &Transaction<'_>, id: i64, change: &PhotoChange) -> rusqlite::Result<()> {
    if let Some(title) = &change.title {
        tx.execute("UPDATE photos SET title = ?2 WHERE id = ?1", (id, title))?;
    }
    if let Some(visibility) = change.visibility {
        tx.execute("UPDATE photos SET visibility = ?2 WHERE id = ?1", (id, visibility.as_str()))?;
    }
    if let Some(caption) = &change.caption {
        tx.execute("UPDATE photos SET caption = ?2 WHERE id = ?1", (id, caption))?;
    }
    Ok(())
}

/// Removes the row of a photo.
///
/// # Errors
/// Those of SQLite.
pub fn delete(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM photos WHERE id = ?1", [id])?;
    Ok(())
}

/// How many photos there are, and the bytes of their originals.
///
/// # Errors
/// Those of SQLite.
pub fn totals(conn: &Connection) -> rusqlite::Result<(u64, u64)> {
    conn.query_row("SELECT count(*), coalesce(sum(bytes), 0) FROM photos", [], |r| {
        Ok((r.get::<_, i64>(0)?.unsigned_abs(), r.get::<_, i64>(1)?.unsigned_abs()))
    })
}
