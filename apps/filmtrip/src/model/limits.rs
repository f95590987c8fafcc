//! How long texts and how large numbers may be: what the API takes, the forms let be typed, and say.

use std::ops::RangeInclusive;

/// Longest email in bytes; a mail server takes no longer one.
pub const EMAIL: usize = 254;
/// Longest title, name, place or tag in characters.
pub const TITLE: usize = 120;
/// Longest caption, description or note in characters.
pub const CAPTION: usize = 4000;
/// Longest note of a report in characters.
pub const NOTE: usize = 1000;
/// Most tags of one photo.
pub const TAGS: usize = 50;
/// Longest line that all tags of a photo make, with commas between them.
pub const TAG_LINE: usize = TAGS * (TITLE + 2);
/// Sensitivity of a film, and what it was exposed at.
pub const ISO: RangeInclusive<u32> = 1..=102_400;
/// Numbers of frames. Some number them by days: 20260501.
pub const FRAME: RangeInclusive<u32> = 0..=u32::MAX;
