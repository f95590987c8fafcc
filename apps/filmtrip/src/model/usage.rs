//! What is stored where, for admins.

use serde::{Deserialize, Serialize};

/// Below this share of a volume its room is low, in percent: the same that a deploy asks for.
const MIN_FREE_PERCENT: u64 = 20;
/// Below this it is low however small the volume.
const MIN_FREE_BYTES: u64 = 5_000_000_000;

/// The volume that the media folder is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Bytes in all.
    pub total: u64,
    /// Bytes that may still be written.
    pub free: u64,
    /// Whether that is too little: no more than 20 %, or less than 5 GB.
    pub low: bool,
}

impl Volume {
    /// A volume of this size with so much room.
    #[must_use]
    pub fn new(total: u64, free: u64) -> Self {
        let share = u128::from(free) * 100 <= u128::from(total) * u128::from(MIN_FREE_PERCENT);
        Self { total, free, low: share || free < MIN_FREE_BYTES }
    }

    /// How much of it is free, in whole percent, rounded down.
    #[must_use]
    pub fn percent(&self) -> u64 {
        u64::try_from(u128::from(self.free) * 100 / u128::from(self.total.max(1))).unwrap_or(100)
    }
}

/// What one size of all photos takes in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SizeUse {
    /// `thumb`, `preview` or `large`.
    pub size: String,
    /// `jpeg` or `webp`.
    pub kind: String,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What one place holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlaceUse {
    /// `local`, `upyun` or `s3`.
    pub backend: String,
    /// Photos whose originals are here, those in the trash too.
    pub photos: u64,
    /// Bytes of originals.
    pub originals: u64,
    /// Stored sizes. Those that the CDN makes are nowhere stored.
    pub sizes: Vec<SizeUse>,
    /// Photos in the trash whose originals are here.
    pub trashed: u64,
    /// Bytes of the above that belong to photos in the trash.
    pub trash: u64,
    /// Bytes that uploads have announced which have not become photos yet. Not in the above.
    pub uploads: u64,
    /// Bytes announced by uploads that were given up and are not cleared yet. Not in the above.
    pub abandoned: u64,
}

impl PlaceUse {
    /// Bytes of originals and sizes.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.originals + self.sizes.iter().map(|size| size.bytes).sum::<u64>()
    }
}

/// What the photos of one account take, wherever they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonUse {
    /// Email.
    pub email: String,
    /// Photos, those in the trash too.
    pub photos: u64,
    /// Bytes of originals.
    pub originals: u64,
    /// Bytes of stored sizes.
    pub sizes: u64,
    /// Bytes of the above that belong to photos in the trash.
    pub trash: u64,
    /// Bytes that their unfinished uploads have announced.
    pub uploads: u64,
}

/// What is stored where, and by whom.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageReport {
    /// Whether the schema has a place for what sizes take; else they are left out.
    pub measured: bool,
    /// By place.
    pub places: Vec<PlaceUse>,
    /// Photos whose sizes the CDN makes: they have originals only.
    pub styled: u64,
    /// Photos whose sizes are not measured yet, and not in the figures.
    pub unmeasured: u64,
    /// The volume of the media folder; absent when it could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume: Option<Volume>,
    /// By account, in the order of their emails.
    pub people: Vec<PersonUse>,
    /// What to send as `after` for the next page of people; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_low_by_share_or_by_size() {
        const GB: u64 = 1_000_000_000;
        for (total, free, low) in [
            (100 * GB, 21 * GB, false),
            (100 * GB, 20 * GB, true),
            (10 * GB, 5 * GB, false),
            (10 * GB, 5 * GB - 1, true),
            (u64::MAX, u64::MAX / 2, false),
            (0, 0, true),
        ] {
            assert_eq!(Volume::new(total, free).low, low, "{free} of {total}");
        }
        assert_eq!(Volume::new(100 * GB, 33 * GB + 1).percent(), 33);
    }
}
