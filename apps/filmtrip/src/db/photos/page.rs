//! Lists of photos, page by page with keys instead of offsets: a page stays what it was when photos are added.

use super::super::cut;
use super::super::sql::{DbResult, Sql, Value};
use super::super::visibility::{Scope, Viewer, Wheres};
use super::{COLUMNS, FROM, PhotoRow, photo, with_tags};
use crate::db::search;
use crate::model::Neighbours;

/// In which order photos are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Newest first, by when they were done.
    Newest,
    /// Newest batch first, and each in the order in which it was sent. Not in old schemas.
    Batches,
    /// By frame number, those without one last.
    Frames,
    /// As an album (its row id) has them.
    Album(i64),
}

/// What a page is to hold.
#[derive(Debug, Clone)]
pub struct PageQuery {
    /// Who is looking.
    pub viewer: Viewer,
    /// Which list.
    pub scope: Scope,
    /// In which order.
    pub order: Order,
    /// Only of the roll with this key.
    pub roll: Option<String>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only with all these words.
    pub words: Option<String>,
    /// Whether the words may also be those of the file's name: its owner's own business, and not in old schemas.
    pub file_names: bool,
    /// Only on this film stock.
    pub film: Option<String>,
    /// Only by this camera.
    pub camera: Option<String>,
    /// Only through this lens.
    pub lens: Option<String>,
    /// Only by this scanner.
    pub scanner: Option<String>,
    /// Only what comes after the photo with this key.
    pub before: Option<String>,
    /// Most rows.
    pub limit: u32,
}

/// A photo's own word, else its roll's.
pub(in crate::db) fn effective(column: &str) -> String {
    format!("CASE WHEN p.{column} <> '' THEN p.{column} ELSE coalesce(r.{column}, '') END")
}

/// Photos without a frame number come last: one more than the largest.
const NO_FRAME: &str = "4294967296";

/// The place of a photo among the batches; newest have the largest. As the indexes of the schema have it.
fn listed(table: &str) -> String {
    format!("coalesce({table}.listed_at, {table}.created_at * 1000 + 999)")
}

impl PageQuery {
    fn wheres(&self) -> Wheres {
        let mut wheres = Wheres::default();
        self.viewer.listed(self.scope, &mut wheres);
        if let Some(roll) = &self.roll {
            wheres.add("r.key = ?", &[roll.into()]);
        }
        if let Some(tag) = &self.tag {
            wheres.add("p.id IN (SELECT photo_id FROM photo_tags WHERE tag = ?)", &[tag.into()]);
        }
        for (column, wanted) in [("film_stock", &self.film), ("camera", &self.camera), ("lens", &self.lens)] {
            if let Some(wanted) = wanted {
                wheres.add(&format!("{} = ?", effective(column)), &[wanted.into()]);
            }
        }
        if let Some(scanner) = &self.scanner {
            wheres.add("r.scanner = ?", &[scanner.into()]);
        }
        for pattern in search::patterns(self.words.as_deref().unwrap_or_default()) {
            let either = "p.search LIKE ? ESCAPE '\\' OR (p.search = '' AND lower(p.title || ' ' || p.caption) LIKE ? ESCAPE '\\')";
            let pattern = Value::from(pattern);
            if self.file_names {
                let named = format!("({either} OR lower(p.file_name) LIKE ? ESCAPE '\\')");
                wheres.add(&named, &[pattern.clone(), pattern.clone(), pattern]);
            } else {
                wheres.add(&format!("({either})"), &[pattern.clone(), pattern]);
            }
        }
        wheres
    }

    /// The whole query. `forward` is the order of the list; backward looks for what is before `before`.
    fn sql(&self, forward: bool) -> (String, Vec<Value>) {
        let mut wheres = self.wheres();
        let (mut from, then, back) = (FROM.to_owned(), "ASC", "DESC");
        if let Order::Album(id) = self.order {
            let join = wheres
                .number(" JOIN album_photos ap ON ap.photo_id = p.id AND ap.album_id = ?", &[id.into()]);
            from.push_str(&join);
        }
        if let Some(before) = &self.before {
            let before: Value = before.into();
            // A deleted key has no place in the order any more; the page is then empty, not the first one again.
            match self.order {
                Order::Newest => {
                    let sign = if forward { "<" } else { ">" };
                    wheres.add(&format!("p.id {sign} (SELECT id FROM photos WHERE key = ?)"), &[before]);
                }
                Order::Batches => {
                    let (sign, here, there) = (if forward { "<" } else { ">" }, listed("p"), listed("b"));
                    let of = "FROM photos b WHERE b.key = ?";
                    // The first one leads into the index, the second one is exact.
                    let near = format!("{here} {sign}= (SELECT {there} {of})");
                    let exact = format!("({here}, p.id) {sign} (SELECT {there}, b.id {of})");
                    wheres.add(&format!("{near} AND {exact}"), &[before.clone(), before]);
                }
                Order::Frames => {
                    let sign = if forward { ">" } else { "<" };
                    let here = format!("(coalesce(p.frame, {NO_FRAME}), p.id)");
                    let there =
                        format!("(SELECT coalesce(b.frame, {NO_FRAME}), b.id FROM photos b WHERE b.key = ?)");
                    wheres.add(&format!("{here} {sign} {there}"), &[before]);
                }
                Order::Album(id) => {
                    let sign = if forward { ">" } else { "<" };
                    let there = "(SELECT a.position, a.photo_id FROM album_photos a JOIN photos b ON b.id = a.photo_id
                                  WHERE a.album_id = ? AND b.key = ?)";
                    wheres.add(&format!("(ap.position, p.id) {sign} {there}"), &[id.into(), before]);
                }
            }
        }
        let order = match (self.order, forward) {
            (Order::Newest, true) => "p.id DESC".to_owned(),
            (Order::Newest, false) => "p.id ASC".to_owned(),
            (Order::Batches, _) => {
                let direction = if forward { back } else { then };
                format!("{} {direction}, p.id {direction}", listed("p"))
            }
            (Order::Frames, _) => {
                let direction = if forward { then } else { back };
                format!("coalesce(p.frame, {NO_FRAME}) {direction}, p.id {direction}")
            }
            (Order::Album(_), _) => {
                let direction = if forward { then } else { back };
                format!("ap.position {direction}, p.id {direction}")
            }
        };
        let filter = wheres.sql();
        let limit = wheres.number("LIMIT ?", &[(self.limit + 1).into()]);
        (format!("SELECT {COLUMNS} {from}{filter} ORDER BY {order} {limit}"), wheres.values)
    }
}

/// A page of photos, and whether there are more.
///
/// # Errors
/// Those of the database.
pub fn page(sql: &mut Sql, query: &PageQuery) -> DbResult<(Vec<PhotoRow>, bool)> {
    let (text, values) = query.sql(true);
    let mut rows = sql.query(&text, &values)?.iter().map(photo).collect::<DbResult<Vec<_>>>()?;
    let more = cut(&mut rows, query.limit as usize);
    Ok((with_tags(sql, rows)?, more))
}

/// Whether the photo that a page begins after has no place in its list any more.
///
/// # Errors
/// Those of the database.
pub fn gone(sql: &mut Sql, query: &PageQuery) -> DbResult<bool> {
    let Some(before) = &query.before else { return Ok(false) };
    let mut values: Vec<Value> = vec![before.into()];
    let there = if let Order::Album(id) = query.order {
        values.push(id.into());
        "SELECT 1 FROM photos b JOIN album_photos a ON a.photo_id = b.id WHERE b.key = ?1 AND a.album_id = ?2"
    } else {
        "SELECT 1 FROM photos b WHERE b.key = ?1"
    };
    Ok(sql.first(there, &values)?.is_none())
}

/// The photos on either side of `query.before` in its list.
///
/// # Errors
/// Those of the database.
pub fn neighbours(sql: &mut Sql, query: &PageQuery) -> DbResult<Neighbours> {
    let query = PageQuery { limit: 0, ..query.clone() };
    let mut key = |forward| -> DbResult<Option<String>> {
        let (text, values) = query.sql(forward);
        sql.first(&text, &values)?.map(|row| row.get(1)).transpose()
    };
    Ok(Neighbours { previous: key(false)?, next: key(true)? })
}

/// The first frames of some rolls (row ids) that everybody may list, at most `each` of one; by frame.
///
/// # Errors
/// Those of the database.
pub fn first_frames(sql: &mut Sql, rolls: &[i64], each: u32) -> DbResult<Vec<PhotoRow>> {
    if rolls.is_empty() {
        return Ok(Vec::new());
    }
    let mut wheres = Wheres::default();
    Viewer::Anonymous.listed(Scope::Public, &mut wheres);
    let ids: Vec<Value> = rolls.iter().map(|id| (*id).into()).collect();
    wheres.add(&format!("p.roll_id IN ({})", vec!["?"; ids.len()].join(", ")), &ids);
    let place = format!("coalesce(p.frame, {NO_FRAME})");
    let ranked = format!(
        "SELECT p.id AS id, row_number() OVER (PARTITION BY p.roll_id ORDER BY {place}, p.id) AS place FROM photos p{}",
        wheres.sql()
    );
    let query = format!(
        "SELECT {COLUMNS} {FROM} WHERE p.id IN (SELECT ranked.id FROM ({ranked}) AS ranked WHERE ranked.place <= {each})
         ORDER BY {place}, p.id"
    );
    sql.query(&query, &wheres.values)?.iter().map(photo).collect()
}
