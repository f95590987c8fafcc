//! What photos were made with, their tags, and where they were taken.

use super::photos::{self, PhotoRow};
use super::sql::{DbResult, Sql};
use super::visibility::{Scope, Viewer, Wheres};
use crate::model::{Facet, Gear, TagList};

/// Most names of a kind.
const MOST: u32 = 200;
/// Most photos on a map.
pub const MOST_POINTS: u32 = 2000;

fn scope(mine: bool) -> Scope {
    if mine { Scope::Own } else { Scope::Public }
}

fn facets(sql: &mut Sql, viewer: Viewer, mine: bool, name: &str, join: &str) -> DbResult<Vec<Facet>> {
    let mut wheres = Wheres::default();
    viewer.listed(scope(mine), &mut wheres);
    wheres.add(&format!("{name} <> ''"), &[]);
    let query = format!(
        "SELECT {name}, count(*) FROM photos p LEFT JOIN rolls r ON r.id = p.roll_id {join}{} GROUP BY 1
         ORDER BY 2 DESC, 1 LIMIT {MOST}",
        wheres.sql()
    );
    let rows = sql.query(&query, &wheres.values)?;
    rows.iter().map(|row| Ok(Facet { name: row.get(0)?, photos: row.get(1)? })).collect()
}

/// What photos were made with, most used first.
///
/// # Errors
/// Those of the database.
pub fn gear(sql: &mut Sql, viewer: Viewer, mine: bool) -> DbResult<Gear> {
    let mut of = |name: &str| facets(sql, viewer, mine, name, "");
    Ok(Gear {
        film_stocks: of(&photos::effective("film_stock"))?,
        cameras: of(&photos::effective("camera"))?,
        lenses: of(&photos::effective("lens"))?,
        scanners: of("coalesce(r.scanner, '')")?,
    })
}

/// Tags, most used first.
///
/// # Errors
/// Those of the database.
pub fn tags(sql: &mut Sql, viewer: Viewer, mine: bool) -> DbResult<TagList> {
    let join = "JOIN photo_tags t ON t.photo_id = p.id";
    Ok(TagList { tags: facets(sql, viewer, mine, "t.tag", join)? })
}

/// Photos with a place: to others only those whose owner shows it.
///
/// # Errors
/// Those of the database.
pub fn located(sql: &mut Sql, viewer: Viewer, mine: bool) -> DbResult<Vec<PhotoRow>> {
    let mut wheres = Wheres::default();
    viewer.listed(scope(mine), &mut wheres);
    wheres.add(if mine { "p.lat IS NOT NULL" } else { "p.lat IS NOT NULL AND p.location_shown = 1" }, &[]);
    photos::matching(sql, &wheres, MOST_POINTS)
}
