//! Rolls of film.

use rusqlite::{Connection, Transaction};

use super::now_ms;
use crate::model::{NewRoll, Roll};

/// Adds a roll under a key that the caller has drawn.
///
/// # Errors
/// Those of SQLite.
pub fn create(tx: &Transaction<'_>, owner_id: i64, key: &str, new: &NewRoll) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO rolls (key, owner_id, title, film_stock, camera, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (key, owner_id, &new.title, &new.film_stock, &new.camera, now_ms()),
    )?;
    Ok(())
}

/// The newest 200 rolls of an account.
///
/// # Errors
/// Those of SQLite.
pub fn of_owner(conn: &Connection, owner_id: i64) -> rusqlite::Result<Vec<Roll>> {
    conn.prepare_cached(
        "SELECT key, title, film_stock, camera FROM rolls WHERE owner_id = ?1 ORDER BY id DESC LIMIT 200",
    )?
    .query_map([owner_id], |r| {
        Ok(Roll { key: r.get(0)?, title: r.get(1)?, film_stock: r.get(2)?, camera: r.get(3)? })
    })?
    .collect()
}
