//! What visitors report of photos, and what admins do about it.

use serde::{Deserialize, Serialize};

use super::Photo;

/// Why a photo is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// It is the work of whoever reports it.
    Mine,
    /// It shows a person who does not want that.
    Person,
    /// It is against the law.
    Illegal,
    /// Anything else; the note says what.
    #[default]
    Other,
}

impl Reason {
    /// All of them, in the order of a menu.
    pub const ALL: [Self; 4] = [Self::Mine, Self::Person, Self::Illegal, Self::Other];

    /// The code in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mine => "mine",
            Self::Person => "person",
            Self::Illegal => "illegal",
            Self::Other => "other",
        }
    }

    /// The reverse of [`Reason::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// What an admin has done about a reported photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is private now.
    Hidden,
    /// It is in the trash.
    Trashed,
    /// It stays as it is.
    Dismissed,
}

impl Outcome {
    /// All of them, in the order of the buttons.
    pub const ALL: [Self; 3] = [Self::Hidden, Self::Trashed, Self::Dismissed];

    /// The code in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Trashed => "trashed",
            Self::Dismissed => "dismissed",
        }
    }

    /// The reverse of [`Outcome::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// Body of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewReport {
    /// Why.
    pub reason: Reason,
    /// Anything more, perhaps empty.
    #[serde(default)]
    pub note: String,
    /// Where to answer, perhaps empty.
    #[serde(default)]
    pub contact: String,
}

/// A report, as admins see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Row id.
    pub id: i64,
    /// Key of the photo.
    pub photo: String,
    /// Whether the photo is still there, in the trash or not.
    pub there: bool,
    /// Why.
    pub reason: Reason,
    /// Anything more.
    pub note: String,
    /// Where to answer.
    pub contact: String,
    /// When, RFC 3339 UTC.
    pub created_at: String,
    /// What was done; absent while nobody has decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<Outcome>,
    /// Email of the admin who decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed_by: Option<String>,
    /// When they did, RFC 3339 UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub closed_at: Option<String>,
}

/// Reports one by one, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportList {
    /// The photo, in a list of the reports of one, while it is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub photo: Option<Photo>,
    /// How many reports of that photo are open.
    #[serde(default)]
    pub open: u64,
    /// The reports.
    pub reports: Vec<Report>,
    /// What to send as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<i64>,
}

/// A photo with open reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportedPhoto {
    /// The photo.
    pub photo: Photo,
    /// How many there are.
    pub count: u64,
    /// Row id of the newest one.
    pub last: i64,
    /// The newest of them.
    pub reports: Vec<Report>,
}

/// Photos with open reports, those that have waited longest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportedPhotos {
    /// The photos.
    pub photos: Vec<ReportedPhoto>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<i64>,
}

/// Body of what is done about a reported photo.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// What.
    pub outcome: Outcome,
    /// Row id of the newest report that was seen: one that has come in since stays open.
    #[serde(default)]
    pub last: Option<i64>,
}

/// How many reports were closed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Verdicted {
    /// Reports.
    pub reports: u64,
}
