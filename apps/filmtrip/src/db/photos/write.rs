//! Changes of photos. The callers have checked that they may.

use super::super::migrations::{self, FILE_NAMES, LISTED, SIZES};
use super::super::sql::{DbResult, Sql, Value};
use super::super::{albums, in_parts, now_ms, placeholders, search, usage};
use super::{PhotoRow, Variants, by_id, by_ids};
use crate::images::Sizes;
use crate::model::{About, Exif, PhotoChange, Visibility};
use crate::params;
use crate::storage::StoredObject;

/// A photo to be stored.
#[derive(Debug, Clone)]
pub struct NewPhoto {
    /// Public key.
    pub key: String,
    /// Owner.
    pub owner_id: i64,
    /// Where the original is.
    pub original: StoredObject,
    /// Key of the original: another than the public one, so that it cannot be guessed from it.
    pub original_key: String,
    /// File extension of the original.
    pub format: String,
    /// Bytes of the original.
    pub bytes: u64,
    /// SHA-256 of the original.
    pub sha256: [u8; 32],
    /// MD5 of the original in hex.
    pub md5: Option<String>,
    /// Where the sizes come from.
    pub variants: Variants,
    /// Whether there are WebP variants.
    pub webp: bool,
    /// Bytes of each stored file of the variants, in the order of [`crate::images::variant_files`].
    pub stored: Option<[u64; 6]>,
    /// Width after orientation.
    pub width: u32,
    /// Height after orientation.
    pub height: u32,
    /// Sizes of the variants.
    pub sizes: Sizes,
    /// Placeholder.
    pub thumbhash: Option<Vec<u8>>,
    /// What the file says.
    pub exif: Exif,
    /// When it was taken, by the file.
    pub taken_at: Option<String>,
    /// Where it was taken, by the file. Not shown until its owner says so.
    pub location: Option<(f64, f64)>,
    /// What its owner says.
    pub about: About,
    /// What the file was called.
    pub file_name: String,
}

/// Stores a photo and returns its row. A roll or album of somebody else, or an unknown one, is left out.
///
/// # Errors
/// Those of the database.
pub fn insert(sql: &mut Sql, new: &NewPhoto) -> DbResult<PhotoRow> {
    let json = |e: serde_json::Error| super::super::sql::DbError::Other(e.to_string());
    let sizes = serde_json::to_string(&new.sizes).map_err(json)?;
    let exif = serde_json::to_string(&new.exif).map_err(json)?;
    let id: i64 = sql.value(
        "INSERT INTO photos (key, owner_id, original_key, format, bytes, sha256, width, height, sizes, title, visibility,
                             backend, created_at, roll_id, caption, object_key, content_secret, variants, webp, md5,
                             frame, taken_at, lat, lon, exif, thumbhash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
                 (SELECT id FROM rolls WHERE key = ?14 AND owner_id = ?2),
                 ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)
         RETURNING id",
        params![
            &new.key,
            new.owner_id,
            &new.original_key,
            &new.format,
            new.bytes,
            new.sha256,
            new.width,
            new.height,
            sizes,
            new.about.title.trim(),
            new.about.visibility.as_str(),
            new.original.backend.as_str(),
            now_ms(),
            new.about.roll.as_deref(),
            new.about.caption.trim(),
            &new.original.name,
            new.original.content_secret.as_deref(),
            new.variants.as_str(),
            new.webp,
            new.md5.as_deref(),
            new.about.frame,
            new.taken_at.as_deref(),
            new.location.map(|(lat, _)| lat),
            new.location.map(|(_, lon)| lon),
            exif,
            new.thumbhash.clone(),
        ],
    )?;
    if !new.file_name.is_empty() && migrations::has(sql, FILE_NAMES)? {
        sql.execute("UPDATE photos SET file_name = ?2 WHERE id = ?1", params![id, &new.file_name])?;
    }
    if let Some(stored) = new.stored
        && migrations::has(sql, SIZES)?
    {
        usage::record(sql, id, &new.key, stored)?;
    }
    if let Some(place) = new.about.position.and_then(|position| listed_at(position, now_ms()))
        && migrations::has(sql, LISTED)?
    {
        sql.execute("UPDATE photos SET listed_at = ?2 WHERE id = ?1", params![id, place])?;
    }
    add_tags(sql, id, &new.about.tags)?;
    if let Some(album) = &new.about.album {
        match new.about.position {
            Some(position) => albums::place(sql, album, new.owner_id, id, position)?,
            None => albums::append(sql, album, new.owner_id, &[id])?,
        };
    }
    finish(sql, id)
}

/// The place in lists of a photo that was sent at a place of its batch. None when the clock of whoever sent it cannot be
/// right: the photo would be on top for ever, or nobody would find it.
fn listed_at(position: u64, now: i64) -> Option<i64> {
    const DAY: i64 = 86_400_000;
    let (batch, index) = (i64::try_from(position / 1000).ok()?, i64::try_from(position % 1000).ok()?);
    // A batch waits out an outage, however long.
    (now - 7 * DAY..now + DAY / 24 / 12).contains(&batch).then(|| batch * 1000 + 999 - index)
}

/// Writes the search text of a photo and reads the photo back.
fn finish(sql: &mut Sql, id: i64) -> DbResult<PhotoRow> {
    refresh_search(sql, &[id])?;
    let row = by_id(sql, id)?;
    row.ok_or_else(|| super::super::sql::DbError::Other(format!("photo {id} is gone")))
}

/// Changes a photo and returns its row.
///
/// # Errors
/// Those of the database.
pub fn change(sql: &mut Sql, row: &PhotoRow, change: &PhotoChange) -> DbResult<PhotoRow> {
    change_all(sql, &[row.id], change)?;
    finish(sql, row.id)
}

/// Numbers photos in the order that they are in, from `first` on.
///
/// # Errors
/// Those of the database.
pub fn count_frames(sql: &mut Sql, ids: &[i64], first: u32) -> DbResult<()> {
    let mut frame = first;
    in_parts(ids, |ids| {
        let numbered = |id: &i64| {
            let given = (*id, i64::from(frame).into());
            frame = frame.saturating_add(1);
            given
        };
        set_each(sql, "frame", "BIGINT", ids.iter().map(numbered).collect())
    })
}

/// Gives a column of each of these photos a value of its own, by one statement. What `VALUES` calls its columns, SQLite
/// and PostgreSQL agree on; of the types PostgreSQL has to be told.
fn set_each(sql: &mut Sql, column: &str, kind: &str, given: Vec<(i64, Value)>) -> DbResult<()> {
    if given.is_empty() {
        return Ok(());
    }
    let rows: Vec<String> = (0..given.len())
        .map(|n| format!("(CAST(?{} AS BIGINT), CAST(?{} AS {kind}))", 2 * n + 1, 2 * n + 2))
        .collect();
    let values: Vec<Value> = given.into_iter().flat_map(|(id, value)| [id.into(), value]).collect();
    let update = format!(
        "UPDATE photos SET {column} = given.column2 FROM (VALUES {}) AS given WHERE photos.id = given.column1",
        rows.join(", ")
    );
    sql.execute(&update, &values).map(drop)
}

/// Changes photos, all in the same way, by as many statements as there are changes. Their search texts are the caller's
/// to write again: see [`refresh_search`].
///
/// # Errors
/// Those of the database.
pub fn change_all(sql: &mut Sql, ids: &[i64], change: &PhotoChange) -> DbResult<()> {
    in_parts(ids, |ids| {
        let mut set = |what: &str, values: &[Value]| {
            of_all(sql, &format!("UPDATE photos SET {what} WHERE id"), values, ids)
        };
        let texts = [
            ("title", &change.title),
            ("caption", &change.caption),
            ("film_stock", &change.film_stock),
            ("camera", &change.camera),
            ("lens", &change.lens),
            ("place", &change.place),
        ];
        for (column, text) in texts {
            if let Some(text) = text {
                set(&format!("{column} = ?1"), &[text.trim().into()])?;
            }
        }
        if let Some(visibility) = change.visibility {
            // In the trash it stays private, and gets the new one when it comes back.
            let what = "visibility = CASE WHEN deleted_at IS NULL THEN ?1 ELSE visibility END,
                        visibility_before = CASE WHEN deleted_at IS NULL THEN visibility_before ELSE ?1 END";
            set(what, &[visibility.as_str().into()])?;
        }
        if let Some(frame) = change.frame {
            set("frame = ?1", &[frame.into()])?;
        }
        if let Some(taken_at) = &change.taken_at {
            set("taken_at = ?1", &[taken_at.as_deref().into()])?;
        }
        if let Some(location) = change.location {
            let shown = location.is_some_and(|l| l.shown);
            let (lat, lon) = (location.map(|l| l.lat), location.map(|l| l.lon));
            set("lat = ?1, lon = ?2, location_shown = ?3", &[lat.into(), lon.into(), shown.into()])?;
        }
        if let Some(roll) = &change.roll {
            let what =
                "roll_id = (SELECT r.id FROM rolls r WHERE r.key = ?1 AND r.owner_id = photos.owner_id)";
            set(what, &[roll.as_deref().into()])?;
        }
        if let Some(tags) = &change.tags {
            of_all(sql, "DELETE FROM photo_tags WHERE photo_id", &[], ids)?;
            add_tags_to(sql, ids, tags)?;
        }
        Ok(())
    })
}

/// Runs a statement that ends in the name of a column, about these ids; `values` are its parameters before them.
fn of_all(sql: &mut Sql, statement: &str, values: &[Value], ids: &[i64]) -> DbResult<()> {
    let list = placeholders(values.len() + 1, ids.len());
    let mut all = values.to_vec();
    all.extend(ids.iter().map(|id| Value::from(*id)));
    sql.execute(&format!("{statement} IN ({list})"), &all).map(drop)
}

/// Adds tags to one photo.
fn add_tags(sql: &mut Sql, id: i64, tags: &[String]) -> DbResult<()> {
    add_tags_to(sql, &[id], tags)
}

/// Adds tags to photos, each in the form of [`search::tag`].
///
/// # Errors
/// Those of the database.
pub fn add_tags_to(sql: &mut Sql, ids: &[i64], tags: &[String]) -> DbResult<()> {
    in_parts(ids, |ids| {
        for tag in tags.iter().map(|t| search::tag(t)).filter(|t| !t.is_empty()) {
            let rows: Vec<String> = (0..ids.len()).map(|n| format!("(?{}, ?1)", n + 2)).collect();
            let insert = "INSERT INTO photo_tags (photo_id, tag) VALUES";
            let mut values: Vec<Value> = vec![tag.into()];
            values.extend(ids.iter().map(|id| Value::from(*id)));
            sql.execute(&format!("{insert} {} ON CONFLICT DO NOTHING", rows.join(", ")), &values)?;
        }
        Ok(())
    })
}

/// Takes tags off photos.
///
/// # Errors
/// Those of the database.
pub fn remove_tags(sql: &mut Sql, ids: &[i64], tags: &[String]) -> DbResult<()> {
    in_parts(ids, |ids| {
        tags.iter().try_for_each(|tag| {
            of_all(sql, "DELETE FROM photo_tags WHERE tag = ?1 AND photo_id", &[search::tag(tag).into()], ids)
        })
    })
}

/// Writes the search texts of photos again, after their words, roll or tags have changed.
///
/// # Errors
/// Those of the database.
pub fn refresh_search(sql: &mut Sql, ids: &[i64]) -> DbResult<()> {
    in_parts(ids, |ids| {
        let rows = by_ids(sql, ids)?;
        let texts = rows.iter().map(|row| (row.id, search::text(row).into())).collect();
        set_each(sql, "search", "TEXT", texts)
    })
}

/// Puts a photo into the trash. It is private there: releases that know no trash do not show it either.
///
/// # Errors
/// Those of the database.
pub fn trash(sql: &mut Sql, id: i64) -> DbResult<()> {
    trash_all(sql, &[id])
}

/// Puts photos into the trash; those that are in it stay as they are.
///
/// # Errors
/// Those of the database.
pub fn trash_all(sql: &mut Sql, ids: &[i64]) -> DbResult<()> {
    let trash = "UPDATE photos SET deleted_at = ?1, visibility_before = visibility, visibility = 'private'
                 WHERE deleted_at IS NULL AND id";
    in_parts(ids, |ids| of_all(sql, trash, &[now_ms().into()], ids))
}

/// Takes photos out of the trash.
///
/// # Errors
/// Those of the database.
pub fn restore(sql: &mut Sql, ids: &[i64]) -> DbResult<()> {
    let restore = "UPDATE photos SET deleted_at = NULL, visibility = coalesce(visibility_before, 'private'),
                          visibility_before = NULL WHERE deleted_at IS NOT NULL AND id";
    in_parts(ids, |ids| of_all(sql, restore, &[], ids))
}

/// Removes the rows of photos.
///
/// # Errors
/// Those of the database.
pub fn delete(sql: &mut Sql, ids: &[i64]) -> DbResult<u64> {
    let values: Vec<Value> = ids.iter().map(|id| (*id).into()).collect();
    sql.execute(&format!("DELETE FROM photos WHERE id IN ({})", placeholders(1, ids.len())), &values)
}

/// Gives a photo a code for its short link, unless it has one.
///
/// # Errors
/// Those of the database, also that the code is taken.
pub fn set_short(sql: &mut Sql, id: i64, code: &str) -> DbResult<u64> {
    sql.execute("UPDATE photos SET short = ?2 WHERE id = ?1 AND short IS NULL", params![id, code])
}

/// Notes that the original of a photo has moved, if it still was where the caller thought.
///
/// # Errors
/// Those of the database.
pub fn set_object(sql: &mut Sql, id: i64, from: &str, to: &StoredObject) -> DbResult<bool> {
    let changed = sql.execute(
        "UPDATE photos SET object_key = ?3, content_secret = ?4, backend = ?5 WHERE id = ?1 AND object_key = ?2",
        params![id, from, &to.name, to.content_secret.as_deref(), to.backend.as_str()],
    )?;
    Ok(changed == 1)
}

/// Whether a change makes a photo private that others could see.
#[must_use]
pub fn hides(row: &PhotoRow, change: &PhotoChange) -> bool {
    row.visibility != Visibility::Private && change.visibility == Some(Visibility::Private)
}

#[cfg(test)]
mod tests {
    use super::listed_at;

    #[test]
    fn a_batch_is_listed_as_it_was_sent_unless_its_clock_is_wrong() {
        let now = 1_780_000_000_000;
        let at = |ms: i64, index: i64| listed_at(u64::try_from(ms * 1000 + index).expect("positive"), now);
        assert!(at(now, 0) > at(now, 1) && at(now, 35) > at(now - 1, 0));
        assert!(at(now - 6 * 86_400_000, 0).is_some() && at(now + 60_000, 0).is_some());
        assert_eq!(
            (at(now - 8 * 86_400_000, 0), at(now + 3_600_000, 0), listed_at(7, now)),
            (None, None, None)
        );
        assert_eq!(listed_at(u64::MAX, now), None);
    }
}
