//! The JSON of the API: the API writes it, the pages read it, clients rely on it.

mod account;
mod catalogue;
mod coded;
pub mod limits;
mod photo;
mod removed;
mod report;
mod upload;
mod usage;

pub use account::{
    AccountChange, AccountInfo, AccountList, Integrity, IntegrityFault, JobInfo, JobList, LoginBody,
    NewAccount, Overview, PasswordBody, Retried, SessionInfo, SetupBody, SetupLink, StorageUse, UserInfo,
    UserRole,
};
pub use catalogue::{
    Album, AlbumBody, AlbumKind, AlbumList, Facet, FilmFormat, Gear, MapPoint, MapPoints, MoreGear,
    PhotoKeys, Roll, RollBody, RollList, TagList,
};
pub use coded::{Coded, FAULTS, JOB_ERRORS};
pub use photo::{
    BulkAction, BulkBody, BulkDone, Exif, Features, FrameOrder, Image, Images, Location, Neighbours, Photo,
    PhotoChange, PhotoPage, ShortLink, Visibility,
};
pub use removed::{Removed, RemovedKind, RemovedList};
pub use report::{
    NewReport, Outcome, Reason, Report, ReportList, ReportedPhoto, ReportedPhotos, Verdict, Verdicted,
};
pub use upload::{About, DirectForm, NewUpload, Refused, UploadInfo, UploadRules, UploadState, Uploaded};
pub use usage::{PersonUse, PlaceUse, SizeUse, StorageReport, Volume};

use serde::{Deserialize, Serialize};

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
    /// Name of the field of the request that is wrong, where it is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
}

/// Reads a field that is there, `null` included, as `Some`: absent means "leave it", null means "clear it".
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}
