//! Photos.

use serde::{Deserialize, Serialize};

use super::{Roll, given};

/// Who may see a photo or an album.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody, and it is listed.
    #[default]
    Public,
    /// Everybody who has the link.
    Unlisted,
    /// Its owner and admins.
    Private,
}

impl Visibility {
    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Unlisted => "unlisted",
            Self::Private => "private",
        }
    }

    /// The reverse of [`Visibility::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "public" => Some(Self::Public),
            "unlisted" => Some(Self::Unlisted),
            "private" => Some(Self::Private),
            _ => None,
        }
    }
}

/// One stored size of a photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// JPEG: where it is, as published; absolute when an image host or a CDN is configured, else a path.
    pub url: String,
    /// The same as WebP, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub webp: Option<String>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// The three sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// At most 600 px on the long side.
    pub thumb: Image,
    /// At most 1024 px.
    pub preview: Image,
    /// At most 2048 px.
    pub large: Image,
}

/// What the camera or scanner wrote into the file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exif {
    /// Maker of the camera or scanner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub make: Option<String>,
    /// Model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Lens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lens: Option<String>,
    /// Exposure in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure_seconds: Option<f64>,
    /// Aperture as f-number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f_number: Option<f64>,
    /// Sensitivity, ISO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iso: Option<u32>,
    /// Focal length in millimetres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focal_mm: Option<f64>,
}

/// Where a photo was taken. Others than those who may edit it see it only when `shown`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Latitude in degrees, north positive.
    pub lat: f64,
    /// Longitude in degrees, east positive.
    pub lon: f64,
    /// Whether everybody may know it.
    #[serde(default)]
    pub shown: bool,
}

/// A photo as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Photo {
    /// Opaque public key.
    pub key: String,
    /// Title, perhaps empty.
    pub title: String,
    /// Caption, perhaps empty.
    #[serde(default)]
    pub caption: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// Width after orientation, in pixels of the original.
    pub width: u32,
    /// Height after orientation, in pixels of the original.
    pub height: u32,
    /// When it was uploaded, RFC 3339 UTC.
    pub created_at: String,
    /// When it was taken, local time without a zone, `2026-05-01` or `2026-05-01T18:30:00`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken_at: Option<String>,
    /// The roll it was shot on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roll: Option<Roll>,
    /// Frame number on the roll. Half-frame cameras make more than 36.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub frame: Option<u32>,
    /// Film stock: the photo's own, else the roll's; perhaps empty. The same for camera and lens.
    #[serde(default)]
    pub film_stock: String,
    /// Camera.
    #[serde(default)]
    pub camera: String,
    /// Lens.
    #[serde(default)]
    pub lens: String,
    /// Name of the place, as the photographer wrote it.
    #[serde(default)]
    pub place: String,
    /// Where it was taken; absent for those who may not know it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub location: Option<Location>,
    /// Tags, in alphabetical order.
    #[serde(default)]
    pub tags: Vec<String>,
    /// What the file says of its making, without the place.
    #[serde(default)]
    pub exif: Exif,
    /// The three sizes.
    pub images: Images,
    /// Thumbhash in base64, for a placeholder while the picture loads.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub thumbhash: Option<String>,
    /// Code of its short link `/s/CODE`, once one was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub short: Option<String>,
    /// Whether this viewer may change and delete it.
    #[serde(default)]
    pub editable: bool,
    /// What its file was called when it was uploaded; only for those who may edit it, on its own page and in their lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file_name: Option<String>,
    /// Email of its owner, told to admins on its own page when it is not theirs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// Where the original is: `local`, `upyun` or `s3`; only for those who may edit it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backend: Option<String>,
    /// When it was put in the trash, RFC 3339 UTC; only for those who may edit it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deleted_at: Option<String>,
    /// In the answer to an upload: this photo was there already, nothing was stored.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub duplicate: bool,
    /// On its own page: everybody may see it, so everybody may report it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub reportable: bool,
}

/// A page of photos, newest first (rolls by frame, albums in their own order).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhotoPage {
    /// The photos.
    pub photos: Vec<Photo>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// The photo named by `before` has no place in this list any more: that there are no photos here does not mean that
    /// the list is over.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub gone: bool,
    /// What the schema behind this answer can do.
    pub features: Features,
}

/// What the database's schema allows at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// There are albums.
    pub albums: bool,
    /// Deleted rolls and albums go into the trash.
    #[serde(default)]
    pub undo: bool,
}

/// The photos beside one, in the order of the list it is looked at in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Neighbours {
    /// Key of the one before (newer).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous: Option<String>,
    /// Key of the one after (older).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// Body of a change to a photo; what is absent stays, what is null is cleared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhotoChange {
    /// New title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// New caption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// New visibility.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Key of a roll of the photo's owner; null takes it off its roll.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub roll: Option<Option<String>>,
    /// Frame number.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub frame: Option<Option<u32>>,
    /// Film stock, where it differs from the roll's; empty clears it. The same for camera and lens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub film_stock: Option<String>,
    /// Camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// Lens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lens: Option<String>,
    /// Name of the place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// `2026-05-01` or `2026-05-01T18:30:00`; null clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub taken_at: Option<Option<String>>,
    /// Where it was taken; null clears it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub location: Option<Option<Location>>,
    /// All its tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// What to do with many photos at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BulkAction {
    /// Apply `change`, `add_tags`, `remove_tags`, `album` and `frames_from`.
    Change,
    /// Into the trash.
    Trash,
    /// Out of the trash.
    Restore,
    /// For ever; only from the trash.
    Delete,
}

/// Body of `POST /api/photos/bulk`. All or nothing: one photo that may not be edited refuses the whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BulkBody {
    /// Keys of the photos, at most 500.
    pub keys: Vec<String>,
    /// What to do.
    pub action: BulkAction,
    /// For [`BulkAction::Change`].
    #[serde(default)]
    pub change: PhotoChange,
    /// Tags to add.
    #[serde(default)]
    pub add_tags: Vec<String>,
    /// Tags to take off.
    #[serde(default)]
    pub remove_tags: Vec<String>,
    /// Key of an album to add them to.
    #[serde(default)]
    pub album: Option<String>,
    /// Numbers their frames from this one on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub frames_from: Option<u32>,
    /// In which order.
    #[serde(skip_serializing_if = "FrameOrder::is_keys", default)]
    pub frames_order: FrameOrder,
}

/// The order in which frames are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrameOrder {
    /// That of `keys`.
    #[default]
    Keys,
    /// That of the names of their files: 2 before 10.
    Names,
}

impl FrameOrder {
    fn is_keys(&self) -> bool {
        *self == Self::Keys
    }
}

/// How many photos were changed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct BulkDone {
    /// Photos.
    pub changed: u64,
}

/// The short link of a photo.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShortLink {
    /// `/s/CODE`, below the site's address.
    pub path: String,
}
