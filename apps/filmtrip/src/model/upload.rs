//! Uploads, through the API and straight to the object store.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Photo, Visibility};

/// What is known of a photo before it is uploaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct About {
    /// Title.
    pub title: String,
    /// Caption.
    pub caption: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// Key of a roll of the same account.
    pub roll: Option<String>,
    /// Frame number on the roll.
    pub frame: Option<u32>,
    /// Tags.
    pub tags: Vec<String>,
    /// Key of an album of the same account.
    pub album: Option<String>,
    /// Store it although the account has the same file already.
    pub keep_duplicate: bool,
    /// Its place in lists and in the album among what is uploaded with it, however the files overtake each other: a larger
    /// number comes later. Clients take the milliseconds since 1970 of the batch times 1000, plus the number of the file.
    pub position: Option<u64>,
    /// The client's own name for this one photo: 16 to 64 letters, digits, `-` or `_`. Sending the file again with the
    /// same one, because the answer was lost, gives the photo that it became, also with `keep_duplicate`.
    pub idempotency_key: Option<String>,
}

impl About {
    /// Reads what is stored of it. What a newer release has added is passed over: it may have been here before.
    ///
    /// # Errors
    /// It is no JSON, or a field holds something else.
    pub fn stored(text: &str) -> serde_json::Result<Self> {
        let mut all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text)?;
        if let serde_json::Value::Object(known) = serde_json::to_value(Self::default())? {
            all.retain(|name, _| known.contains_key(name));
        }
        serde_json::from_value(serde_json::Value::Object(all))
    }
}

/// What may be uploaded, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadRules {
    /// Whether `POST /api/uploads` signs uploads to the object store.
    pub direct: bool,
    /// Largest file in bytes.
    pub max_bytes: u64,
    /// Most files in one `POST /api/photos`.
    pub max_files: usize,
    /// Media types taken by `POST /api/photos`.
    pub types: Vec<String>,
    /// Media types taken directly; the others go through the API.
    pub direct_types: Vec<String>,
}

/// Body of `POST /api/uploads`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUpload {
    /// Name of the file, for the list of uploads.
    #[serde(default)]
    pub file_name: String,
    /// Exact size in bytes.
    pub bytes: u64,
    /// Media type, such as `image/jpeg`.
    pub media_type: String,
    /// What is known of the photo.
    #[serde(default)]
    pub about: About,
}

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// The API is receiving it.
    Receiving,
    /// Signed; nothing has arrived as far as the server knows.
    Pending,
    /// In the object store, waiting for processing.
    Uploaded,
    /// It is a photo.
    Done,
    /// Refused; `code` and `message` say why.
    Failed,
    /// Nothing arrived in time, or it was given up.
    Expired,
}

impl UploadState {
    /// The name in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Receiving => "receiving",
            Self::Pending => "pending",
            Self::Uploaded => "uploaded",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }

    /// The reverse of [`UploadState::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Receiving, Self::Pending, Self::Uploaded, Self::Done, Self::Failed, Self::Expired]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// A form to be posted to the object store as multipart/form-data: the fields, then `file`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DirectForm {
    /// Where to post it.
    pub url: String,
    /// The fields.
    pub fields: BTreeMap<String, String>,
}

/// An upload, as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadInfo {
    /// Opaque key.
    pub key: String,
    /// Name of the file.
    pub file_name: String,
    /// Where it stands.
    pub state: UploadState,
    /// Only in the answer to `POST /api/uploads`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub form: Option<DirectForm>,
    /// Until when the form is good, RFC 3339 UTC.
    pub expires_at: String,
    /// The photo, when it is done. `duplicate` is set when it was there before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub photo: Option<Photo>,
    /// Stable code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// The refusal for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// The answer to `POST /api/photos`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Uploaded {
    /// What was stored, or was there before.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_release_has_stored_is_read_without_what_it_added() {
        let about = About::stored(r#"{"title":"Dawn","mood":"blue","frame":7}"#).expect("read");
        assert_eq!(about, About { title: "Dawn".to_owned(), frame: Some(7), ..About::default() });
        assert_eq!(About::stored("{}").expect("an old row"), About::default());
        assert!(About::stored(r#"{"frame":"x"}"#).is_err());
        assert!(serde_json::from_str::<About>(r#"{"mood":"blue"}"#).is_err(), "a client is told of its slip");
    }
}
