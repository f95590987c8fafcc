//! Rolls and albums in the trash.

use serde::{Deserialize, Serialize};

/// What it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RemovedKind {
    /// A roll.
    Roll,
    /// An album or a trip.
    Album,
}

impl RemovedKind {
    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Roll => "roll",
            Self::Album => "album",
        }
    }

    /// The reverse of [`RemovedKind::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Roll, Self::Album].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A roll or an album in the trash. Its photos are not: they stayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The key that it had, and will have again.
    pub key: String,
    /// What it was.
    pub kind: RemovedKind,
    /// Its title.
    pub title: String,
    /// How many photos were on or in it.
    pub photos: u64,
    /// When it was deleted, RFC 3339 UTC.
    pub deleted_at: String,
    /// Email of its owner, told to admins when it is not their own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
}

/// What is in the trash besides photos.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovedList {
    /// Deleted last first.
    pub removed: Vec<Removed>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
