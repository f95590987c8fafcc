//! What texts, days and places may look like. Every refusal names the field.

use crate::db::sql::Sql;
use crate::db::{albums, rolls};
use crate::error::ApiError;
use crate::model::limits::{CAPTION, EMAIL, ISO, NOTE, TAGS, TITLE};
use crate::model::{About, AlbumBody, Location, NewReport, PhotoChange, Reason, RollBody};

const IDEMPOTENCY_KEY: std::ops::RangeInclusive<usize> = 16..=64;

fn bad(field: &'static str, text: String) -> ApiError {
    ApiError::BadField(field, text)
}

fn length(field: &'static str, text: &str, max: usize) -> Result<(), ApiError> {
    if text.chars().count() > max {
        return Err(bad(field, format!("{field} has more than {max} characters")));
    }
    Ok(())
}

fn lengths(fields: &[(&'static str, &str)], max: usize) -> Result<(), ApiError> {
    fields.iter().try_for_each(|(field, text)| length(field, text, max))
}

/// Tags.
///
/// # Errors
/// Too many, or one that is too long.
pub(super) fn tags(tags: &[String]) -> Result<(), ApiError> {
    if tags.len() > TAGS {
        return Err(bad("tags", format!("more than {TAGS} tags")));
    }
    tags.iter().try_for_each(|tag| length("tags", tag, TITLE))
}

/// The frames of so many photos, counted up from the first.
///
/// # Errors
/// The last would be larger than a frame number can be.
pub(super) fn frames(from: Option<u32>, count: usize) -> Result<(), ApiError> {
    let last = from.zip(u32::try_from(count).ok()).map(|(from, count)| from.checked_add(count));
    if last == Some(None) {
        return Err(bad("frames_from", "frames_from: too large for so many photos".to_owned()));
    }
    Ok(())
}

/// `2026-05-01`.
fn day(field: &'static str, text: Option<&str>) -> Result<(), ApiError> {
    if text.is_some_and(|t| t.len() != 10 || t.parse::<jiff::civil::Date>().is_err()) {
        return Err(bad(field, format!("{field}: a day such as 2026-05-01")));
    }
    Ok(())
}

fn moment(field: &'static str, text: Option<&str>) -> Result<(), ApiError> {
    match text {
        Some(t) if t.len() == 10 => day(field, text),
        Some(t) if t.len() == 19 && t.parse::<jiff::civil::DateTime>().is_ok() => Ok(()),
        Some(_) => {
            Err(bad(field, format!("{field}: a day such as 2026-05-01, or with a time, 2026-05-01T18:30:00")))
        }
        None => Ok(()),
    }
}

fn location(location: Option<Location>) -> Result<(), ApiError> {
    if location.is_some_and(|l| !(-90.0..=90.0).contains(&l.lat) || !(-180.0..=180.0).contains(&l.lon)) {
        return Err(bad(
            "location",
            "location: latitude from -90 to 90, longitude from -180 to 180".to_owned(),
        ));
    }
    Ok(())
}

/// What is said of a photo before it is uploaded.
///
/// # Errors
/// The first fault.
pub(super) fn about(about: &About) -> Result<(), ApiError> {
    length("title", &about.title, TITLE)?;
    length("caption", &about.caption, CAPTION)?;
    let plain = |key: &String| {
        let letters = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        letters && IDEMPOTENCY_KEY.contains(&key.len())
    };
    if about.idempotency_key.as_ref().is_some_and(|key| !plain(key)) {
        return Err(bad("idempotency_key", "idempotency_key: 16 to 64 letters, digits, - or _".to_owned()));
    }
    tags(&about.tags)
}

/// Whether the roll and the album that a photo shall go to are its owner's. Asked before the photo is sent: afterwards
/// it would be stored without them, and nobody would know.
///
/// # Errors
/// [`ApiError::NoRoll`], [`ApiError::NoAlbum`], or those of the database.
pub(super) fn belongs(sql: &mut Sql, owner_id: i64, about: &About) -> Result<(), ApiError> {
    if let Some(roll) = &about.roll
        && !rolls::is_of(sql, roll, owner_id)?
    {
        return Err(ApiError::NoRoll);
    }
    if let Some(album) = &about.album
        && albums::by_key(sql, album)?.is_none_or(|album| album.owner_id != owner_id)
    {
        return Err(ApiError::NoAlbum);
    }
    Ok(())
}

/// A change of a photo.
///
/// # Errors
/// The first fault.
pub(super) fn change(change: &PhotoChange) -> Result<(), ApiError> {
    let short = [
        ("title", &change.title),
        ("film_stock", &change.film_stock),
        ("camera", &change.camera),
        ("lens", &change.lens),
        ("place", &change.place),
    ];
    for (field, text) in short {
        length(field, text.as_deref().unwrap_or_default(), TITLE)?;
    }
    length("caption", change.caption.as_deref().unwrap_or_default(), CAPTION)?;
    moment("taken_at", change.taken_at.as_ref().and_then(Option::as_deref))?;
    location(change.location.flatten())?;
    tags(change.tags.as_deref().unwrap_or_default())
}

fn titled(title: &str) -> Result<(), ApiError> {
    if title.trim().is_empty() {
        return Err(bad("title", "title: must not be empty".to_owned()));
    }
    length("title", title, TITLE)
}

/// A roll.
///
/// # Errors
/// The first fault.
pub(super) fn roll(body: &RollBody) -> Result<(), ApiError> {
    titled(&body.title)?;
    let short = [
        ("film_stock", body.film_stock.as_str()),
        ("camera", &body.camera),
        ("lens", &body.lens),
        ("scanner", &body.scanner),
        ("lab", &body.lab),
    ];
    lengths(&short, TITLE)?;
    lengths(&[("developer", &body.developer), ("notes", &body.notes)], CAPTION)?;
    for (field, iso) in [("box_iso", body.box_iso), ("exposure_index", body.exposure_index)] {
        if iso.is_some_and(|iso| !ISO.contains(&iso)) {
            return Err(bad(field, format!("{field}: from {} to {}", ISO.start(), ISO.end())));
        }
    }
    day("loaded_on", body.loaded_on.as_deref())?;
    day("unloaded_on", body.unloaded_on.as_deref())?;
    in_order(("loaded_on", body.loaded_on.as_deref()), ("unloaded_on", body.unloaded_on.as_deref()))
}

/// An album.
///
/// # Errors
/// The first fault.
pub(super) fn album(body: &AlbumBody) -> Result<(), ApiError> {
    titled(&body.title)?;
    length("description", &body.description, CAPTION)?;
    day("starts_on", body.starts_on.as_deref())?;
    day("ends_on", body.ends_on.as_deref())?;
    in_order(("starts_on", body.starts_on.as_deref()), ("ends_on", body.ends_on.as_deref()))
}

/// A report of a photo.
///
/// # Errors
/// The first fault.
pub(super) fn report(new: &NewReport) -> Result<(), ApiError> {
    length("note", &new.note, NOTE)?;
    length("contact", &new.contact, EMAIL)?;
    if new.reason == Reason::Other && new.note.trim().is_empty() {
        return Err(bad("note", "note: says what it is about when the reason is another".to_owned()));
    }
    Ok(())
}

fn in_order(first: (&str, Option<&str>), last: (&'static str, Option<&str>)) -> Result<(), ApiError> {
    if let (Some(from), Some(to)) = (first.1, last.1)
        && from > to
    {
        return Err(bad(last.0, format!("{} is after {}", first.0, last.0)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_places_are_checked() {
        assert!(day("d", Some("2026-02-28")).is_ok());
        for wrong in ["2026-02-30", "28.2.2026", "2026-2-8", "2026-02-28T00:00:00"] {
            assert!(day("d", Some(wrong)).is_err(), "{wrong}");
        }
        assert!(moment("m", Some("2026-02-28T23:59:59")).is_ok());
        assert!(moment("m", Some("2026-02-28T25:00:00")).is_err());
        let at = |lat, lon| location(Some(Location { lat, lon, shown: false }));
        assert!(at(-90.0, 180.0).is_ok());
        assert!(at(91.0, 0.0).is_err() && at(f64::NAN, 0.0).is_err() && at(0.0, -181.0).is_err());
    }
}
