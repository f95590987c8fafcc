//! The JSON of the API: the API writes it, the pages read it, clients rely on it.

use serde::{Deserialize, Serialize};

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum UserRole {
    /// Uploads, sees and deletes their own photos.
    User,
    /// Sees and deletes everybody's.
    Admin,
}

impl UserRole {
    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
        }
    }
}

/// Who may see a photo.
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
    /// Where it is, as published: absolute when an image host is configured, else a path.
    pub url: String,
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

/// A photo as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Photo {
    /// Opaque public key.
    pub key: String,
    /// Title, perhaps empty.
    pub title: String,
    /// Caption; absent while the database has no captions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub caption: Option<String>,
    /// Who may see it.
    pub visibility: Visibility,
    /// Width after orientation, in pixels of the original.
    pub width: u32,
    /// Height after orientation, in pixels of the original.
    pub height: u32,
    /// When it was uploaded, RFC 3339 UTC.
    pub created_at: String,
    /// The roll it was shot on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub roll: Option<Roll>,
    /// The three sizes.
    pub images: Images,
    /// Whether this viewer may change and delete it.
    #[serde(default)]
    pub editable: bool,
}

/// A roll of film.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// Opaque public key.
    pub key: String,
    /// What the photographer calls it.
    pub title: String,
    /// Film stock, such as `Kodak Portra 400`.
    pub film_stock: String,
    /// Camera.
    pub camera: String,
}

/// A page of photos, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhotoPage {
    /// The photos.
    pub photos: Vec<Photo>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// What the schema behind this answer can do.
    pub features: Features,
}

/// What the database's schema allows at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Photos have captions.
    pub captions: bool,
}

/// The answer to an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Uploaded {
    /// What was stored.
    pub photos: Vec<Photo>,
    /// Files that were refused, when at least one other was stored.
    pub refused: Vec<Refused>,
}

/// A file of a batch that was not stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// Position in the request, from 0.
    pub index: usize,
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Who is logged in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionInfo {
    /// The account.
    pub user: UserInfo,
    /// To be sent as `X-CSRF-Token`, or as the form field `csrf_token`, with every change.
    pub csrf_token: String,
}

/// An account, as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserInfo {
    /// Email, in lower case.
    pub email: String,
    /// What it may do.
    pub role: UserRole,
}

/// Figures for the back office.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overview {
    /// Photos stored.
    pub photos: u64,
    /// Bytes of originals.
    pub original_bytes: u64,
    /// Accounts.
    pub users: u64,
    /// Uploads being processed or waiting for it, in this process.
    pub queue_depth: usize,
    /// Schema version of the database.
    pub schema: u32,
    /// Release of the API.
    pub release: String,
}

/// Body of a login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginBody {
    /// Email of the account.
    pub email: String,
    /// Its password.
    pub password: String,
}

/// Body of a first password, with the token of the set-up link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetupBody {
    /// From the link.
    pub token: String,
    /// The new password.
    pub password: String,
}

/// Body of a change to a photo; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotoChange {
    /// New title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// New caption; refused while the database has no captions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// New visibility.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
}

/// Body of a new roll.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRoll {
    /// What the photographer calls it.
    pub title: String,
    /// Film stock.
    #[serde(default)]
    pub film_stock: String,
    /// Camera.
    #[serde(default)]
    pub camera: String,
}

/// The rolls of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RollList {
    /// Newest first.
    pub rolls: Vec<Roll>,
}

/// Every error of the API.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
}
