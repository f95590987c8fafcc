//! The map: an outline of the land, and the photos of a place as one mark. Readable without a script.

use maud::{Markup, PreEscaped, html};

use super::parts::{json, pages, photo_path, picture};
use crate::i18n::Texts;
use crate::model::{MapPoint, MapPoints};

/// Natural Earth's land, see `web/tools/land.mjs`. Units are degrees; x from -180 and y from 90 down.
const LAND: &str = include_str!("land.path");
/// Photos nearer than this many degrees share a mark while the whole world is shown.
const NEAR: f64 = 6.0;

/// Photos that share a mark.
#[derive(Debug, PartialEq)]
pub struct Cluster<'a> {
    /// Mean latitude in degrees.
    pub lat: f64,
    /// Mean longitude in degrees.
    pub lon: f64,
    /// The photos.
    pub points: Vec<&'a MapPoint>,
}

/// Puts photos that are near each other together, largest first: each photo goes to the first mark that is
/// near enough. The script does the same again for each zoom.
#[must_use]
pub fn cluster(points: &[MapPoint], near: f64) -> Vec<Cluster<'_>> {
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for point in points {
        let found = clusters.iter_mut().find(|c| (c.lat - point.lat).hypot(c.lon - point.lon) < near);
        match found {
            Some(cluster) => {
                cluster.points.push(point);
                // At most 2,000 points: exact as a float.
                #[allow(clippy::cast_precision_loss)]
                let count = cluster.points.len() as f64;
                cluster.lat += (point.lat - cluster.lat) / count;
                cluster.lon += (point.lon - cluster.lon) / count;
            }
            None => clusters.push(Cluster { lat: point.lat, lon: point.lon, points: vec![point] }),
        }
    }
    clusters.sort_by_key(|c| std::cmp::Reverse(c.points.len()));
    clusters
}

/// The map and its list of places.
#[must_use]
pub fn page(texts: &Texts, map: &MapPoints, paged: bool) -> Markup {
    let points = map.points.as_slice();
    let clusters = cluster(points, NEAR);
    let rest = texts.map_more.replace("{m}", &points.len().to_string()).replace("{n}", &map.more.to_string());
    let words = json(&[
        ("in", texts.zoom_in),
        ("out", texts.zoom_out),
        ("all", texts.zoom_reset),
        ("one", texts.photos_one),
        ("many", texts.photos_many),
    ]);
    html! {
        header.head { h1 { (texts.map) } p.hint { (texts.map_hint) @if map.more > 0 { " " (rest) } } }
        (pages(texts, "/map", map.next.as_deref().map(|next| ("before", next)), paged, texts.map_older))
        div.map data-map=(words) {
            svg viewBox="0 5 360 140" role="group" aria-label=(texts.map) {
                path.land d=(PreEscaped(LAND)) aria-hidden="true" {}
                g.marks {
                    @for (index, cluster) in clusters.iter().enumerate() { (mark(texts, cluster, index)) }
                }
            }
        }
        @if points.is_empty() { p.hint { @if paged { (texts.page_gone) } @else { (texts.map_none) } } }
        @else {
            h2 { (texts.map_list) }
            div.places {
                @for (index, cluster) in clusters.iter().enumerate() { (place(texts, cluster, index)) }
            }
        }
    }
}

fn mark(texts: &Texts, cluster: &Cluster<'_>, index: usize) -> Markup {
    let count = cluster.points.len();
    let (href, label) = match cluster.points.as_slice() {
        [one] => (photo_path(&one.key, ""), title(texts, one).to_owned()),
        _ => (format!("#place-{index}"), texts.photos(count as u64)),
    };
    // At most 2,000: exact as a float.
    #[allow(clippy::cast_precision_loss)]
    let radius = 2.2 + (count as f64).log10() * 1.6;
    let (x, y) = (format!("{:.2}", cluster.lon + 180.0), format!("{:.2}", 90.0 - cluster.lat));
    html! {
        a href=(href) aria-label={ (label) ", " (coordinates(cluster.lat, cluster.lon)) } {
            circle cx=(x) cy=(y) r=(format!("{radius:.1}")) {}
            @if count > 1 { text x=(x) y=(y) dy=".35em" aria-hidden="true" { (count) } }
        }
    }
}

fn title<'a>(texts: &Texts, point: &'a MapPoint) -> &'a str
where
    'static: 'a,
{
    if point.title.is_empty() { texts.untitled } else { &point.title }
}

/// `35.0° N, 135.8° E`, to a tenth of a degree.
#[must_use]
pub fn coordinates(lat: f64, lon: f64) -> String {
    let side =
        |value: f64, plus, minus| format!("{:.1}° {}", value.abs(), if value < 0.0 { minus } else { plus });
    format!("{}, {}", side(lat, "N", "S"), side(lon, "E", "W"))
}

fn place(texts: &Texts, cluster: &Cluster<'_>, index: usize) -> Markup {
    html! {
        section id={ "place-" (index) } tabindex="-1" {
            h3 { (coordinates(cluster.lat, cluster.lon)) small { (texts.photos(cluster.points.len() as u64)) } }
            ul.strip {
                @for point in &cluster.points {
                    li { a href=(photo_path(&point.key, "")) data-lat=(point.lat) data-lon=(point.lon) {
                        (picture(&point.thumb, None, "9rem", title(texts, point), true))
                    } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Image;

    fn point(key: &str, lat: f64, lon: f64) -> MapPoint {
        let thumb = Image { url: String::new(), webp: None, width: 3, height: 2 };
        MapPoint { key: key.to_owned(), title: String::new(), lat, lon, thumb }
    }

    #[test]
    fn near_photos_share_a_mark_and_far_ones_do_not() {
        let points = [point("a", 35.0, 135.7), point("b", 34.7, 135.5), point("c", 48.8, 2.3)];
        let clusters = cluster(&points, NEAR);
        assert_eq!(clusters.len(), 2);
        assert_eq!(clusters[0].points.len(), 2);
        assert!((clusters[0].lat - 34.85).abs() < 1e-9 && (clusters[0].lon - 135.6).abs() < 1e-9);
        assert_eq!(clusters[1].points[0].key, "c");
        assert_eq!(cluster(&points, 0.1).len(), 3);
    }

    #[test]
    fn coordinates_name_their_hemispheres() {
        assert_eq!(coordinates(-33.86, 151.21), "33.9° S, 151.2° E");
        assert_eq!(coordinates(40.7, -74.0), "40.7° N, 74.0° W");
    }

    #[test]
    fn the_outline_is_a_path_and_nothing_else() {
        assert!(LAND.starts_with('M') && LAND.chars().all(|c| c.is_ascii_digit() || "MlzZ .-".contains(c)));
    }
}
