//! What photos were made with, their tags, and where they were taken.

use super::photos::{self, PhotoRow};
use super::sql::{DbResult, Row, Sql};
use super::visibility::{Scope, Viewer, Wheres};
use crate::model::{Facet, Gear, MoreGear, TagList};

/// Most names of a kind.
const MOST: u32 = 200;
/// Most photos on a map.
pub const MOST_POINTS: u32 = 2000;

fn scope(mine: bool) -> Scope {
    if mine { Scope::Own } else { Scope::Public }
}

/// The names, and how many more there are.
fn facets(sql: &mut Sql, viewer: Viewer, mine: bool, name: &str, join: &str) -> DbResult<(Vec<Facet>, u64)> {
    let mut wheres = Wheres::default();
    viewer.listed(scope(mine), &mut wheres);
    wheres.add(&format!("{name} <> ''"), &[]);
    let query = format!(
        "SELECT {name}, count(*), count(*) OVER () FROM photos p LEFT JOIN rolls r ON r.id = p.roll_id {join}{} GROUP BY 1
         ORDER BY 2 DESC, 1 LIMIT {MOST}",
        wheres.sql()
    );
    let rows = sql.query(&query, &wheres.values)?;
    let all = rows.first().map(|row| row.get::<u64>(2)).transpose()?.unwrap_or(0);
    let facet = |row: &Row| Ok(Facet { name: row.get(0)?, photos: row.get(1)? });
    let shown = rows.iter().map(facet).collect::<DbResult<Vec<_>>>()?;
    let more = all.saturating_sub(shown.len() as u64);
    Ok((shown, more))
}

/// What photos were made with, most used first.
///
/// # Errors
/// Those of the database.
pub fn gear(sql: &mut Sql, viewer: Viewer, mine: bool) -> DbResult<Gear> {
    let mut of = |name: &str| facets(sql, viewer, mine, name, "");
    let (film_stocks, more_films) = of(&photos::effective("film_stock"))?;
    let (cameras, more_cameras) = of(&photos::effective("camera"))?;
    let (lenses, more_lenses) = of(&photos::effective("lens"))?;
    let (scanners, more_scanners) = of("coalesce(r.scanner, '')")?;
    let more = MoreGear {
        film_stocks: more_films,
        cameras: more_cameras,
        lenses: more_lenses,
        scanners: more_scanners,
    };
    Ok(Gear { film_stocks, cameras, lenses, scanners, more })
}

/// Tags, most used first.
///
/// # Errors
/// Those of the database.
pub fn tags(sql: &mut Sql, viewer: Viewer, mine: bool) -> DbResult<TagList> {
    let join = "JOIN photo_tags t ON t.photo_id = p.id";
    let (tags, more) = facets(sql, viewer, mine, "t.tag", join)?;
    Ok(TagList { tags, more })
}

/// Photos with a place, after the one with the key `before`: to others only those whose owner shows it. And how many more
/// there are.
///
/// # Errors
/// Those of the database.
pub fn located(
    sql: &mut Sql,
    viewer: Viewer,
    mine: bool,
    before: Option<&str>,
) -> DbResult<(Vec<PhotoRow>, u64)> {
    let mut wheres = Wheres::default();
    viewer.listed(scope(mine), &mut wheres);
    wheres.add(if mine { "p.lat IS NOT NULL" } else { "p.lat IS NOT NULL AND p.location_shown = 1" }, &[]);
    if let Some(before) = before {
        wheres.add("p.id < (SELECT b.id FROM photos b WHERE b.key = ?)", &[before.into()]);
    }
    let rows = photos::matching(sql, &wheres, MOST_POINTS)?;
    if rows.len() < MOST_POINTS as usize {
        return Ok((rows, 0));
    }
    let count = format!("SELECT count(*) FROM photos p{}", wheres.sql());
    let all: u64 = sql.value(&count, &wheres.values)?;
    let more = all.saturating_sub(rows.len() as u64);
    Ok((rows, more))
}
