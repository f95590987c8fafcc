//! Rolls, gear, albums, tags and the map.

use serde::{Deserialize, Serialize};

use super::{Image, Visibility};

/// Size of the film.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FilmFormat {
    /// 35 mm.
    #[default]
    #[serde(rename = "135")]
    F135,
    /// Half frame on 35 mm: twice the frames.
    #[serde(rename = "half")]
    Half,
    /// Medium format.
    #[serde(rename = "120")]
    F120,
    /// 16 mm cartridges.
    #[serde(rename = "110")]
    F110,
    /// Sheets.
    #[serde(rename = "4x5")]
    F4x5,
    /// Sheets.
    #[serde(rename = "8x10")]
    F8x10,
    /// Instant film.
    #[serde(rename = "instant")]
    Instant,
    /// Anything else.
    #[serde(rename = "other")]
    Other,
}

impl FilmFormat {
    /// All of them, in the order of a menu.
    pub const ALL: [Self; 8] =
        [Self::F135, Self::Half, Self::F120, Self::F110, Self::F4x5, Self::F8x10, Self::Instant, Self::Other];

    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::F135 => "135",
            Self::Half => "half",
            Self::F120 => "120",
            Self::F110 => "110",
            Self::F4x5 => "4x5",
            Self::F8x10 => "8x10",
            Self::Instant => "instant",
            Self::Other => "other",
        }
    }

    /// The reverse of [`FilmFormat::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == text)
    }
}

/// A roll of film, or a batch of sheets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Roll {
    /// Opaque public key.
    pub key: String,
    /// What the photographer calls it.
    pub title: String,
    /// Film stock, such as `Kodak Portra 400`.
    pub film_stock: String,
    /// Size of the film.
    pub format: FilmFormat,
    /// Sensitivity on the box, ISO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub box_iso: Option<u32>,
    /// Sensitivity it was exposed at (EI); other than the box's when pushed or pulled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure_index: Option<u32>,
    /// Camera.
    pub camera: String,
    /// Lens that was on most of the time.
    pub lens: String,
    /// Scanner.
    pub scanner: String,
    /// Lab that developed it; empty when done at home.
    pub lab: String,
    /// Developer, dilution, time, temperature: the developer's notes.
    pub developer: String,
    /// Day it was loaded, `2026-05-01`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded_on: Option<String>,
    /// Day it was unloaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unloaded_on: Option<String>,
    /// Anything else.
    pub notes: String,
    /// Photos on it that this viewer may see; only in lists and on its own page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photos: Option<u64>,
    /// Thumbs of its first frames; only in the list for everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub strip: Vec<Image>,
    /// Email of its owner, told to admins in lists when it is not their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether this viewer may change it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub editable: bool,
}

/// Body of a new roll, and of a whole change of one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollBody {
    /// What the photographer calls it.
    pub title: String,
    /// Film stock.
    pub film_stock: String,
    /// Size of the film.
    pub format: FilmFormat,
    /// Sensitivity on the box, ISO.
    pub box_iso: Option<u32>,
    /// Sensitivity it was exposed at (EI).
    pub exposure_index: Option<u32>,
    /// Camera.
    pub camera: String,
    /// Lens.
    pub lens: String,
    /// Scanner.
    pub scanner: String,
    /// Lab.
    pub lab: String,
    /// Developer's notes.
    pub developer: String,
    /// Day it was loaded, `2026-05-01`.
    pub loaded_on: Option<String>,
    /// Day it was unloaded.
    pub unloaded_on: Option<String>,
    /// Anything else.
    pub notes: String,
}

/// Rolls.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RollList {
    /// Last loaded first; without that day, last created.
    pub rolls: Vec<Roll>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A name and how many photos have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facet {
    /// Film stock, camera, lens, scanner or tag.
    pub name: String,
    /// Photos that this viewer may list.
    pub photos: u64,
}

/// What photos were made with, most used first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Gear {
    /// Film stocks.
    pub film_stocks: Vec<Facet>,
    /// Cameras.
    pub cameras: Vec<Facet>,
    /// Lenses.
    pub lenses: Vec<Facet>,
    /// Scanners.
    pub scanners: Vec<Facet>,
    /// How many names of each kind are not in these lists.
    #[serde(default)]
    pub more: MoreGear,
}

/// How many names are not listed.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MoreGear {
    /// Film stocks.
    pub film_stocks: u64,
    /// Cameras.
    pub cameras: u64,
    /// Lenses.
    pub lenses: u64,
    /// Scanners.
    pub scanners: u64,
}

/// Tags, most used first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TagList {
    /// Tags.
    pub tags: Vec<Facet>,
    /// How many are not in this list.
    #[serde(default)]
    pub more: u64,
}

/// What an album is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlbumKind {
    /// Photos that belong together.
    #[default]
    Album,
    /// A journey, with its days.
    Trip,
}

impl AlbumKind {
    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Album => "album",
            Self::Trip => "trip",
        }
    }
}

/// An album or a trip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Album {
    /// Opaque public key.
    pub key: String,
    /// Title.
    pub title: String,
    /// Description, perhaps empty.
    pub description: String,
    /// Album or trip.
    pub kind: AlbumKind,
    /// Who may see it. The photos in it keep their own visibility.
    pub visibility: Visibility,
    /// First day of a trip, `2026-05-01`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_on: Option<String>,
    /// Last day of a trip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_on: Option<String>,
    /// Photos in it that this viewer may see.
    pub photos: u64,
    /// Thumb of the first photo that this viewer may see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cover: Option<Image>,
    /// Email of its owner, told to admins in lists when it is not their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether this viewer may change it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub editable: bool,
}

/// Body of a new album, and of a whole change of one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlbumBody {
    /// Title.
    pub title: String,
    /// Description.
    pub description: String,
    /// Album or trip.
    pub kind: AlbumKind,
    /// Who may see it.
    pub visibility: Visibility,
    /// First day of a trip.
    pub starts_on: Option<String>,
    /// Last day of a trip.
    pub ends_on: Option<String>,
}

/// Albums.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AlbumList {
    /// Newest first.
    pub albums: Vec<Album>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// Body that names photos: the whole content of an album, in order.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotoKeys {
    /// Keys of photos.
    pub keys: Vec<String>,
}

/// A photo on the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// Key of the photo.
    pub key: String,
    /// Its title, perhaps empty.
    pub title: String,
    /// Latitude in degrees.
    pub lat: f64,
    /// Longitude in degrees.
    pub lon: f64,
    /// Its thumb.
    pub thumb: Image,
}

/// Photos with a place, newest first, at most 2,000.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct MapPoints {
    /// The photos.
    pub points: Vec<MapPoint>,
    /// How many older ones are not among them.
    #[serde(default)]
    pub more: u64,
    /// What to send as `before` for these.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}
