//! What EXIF says of how a photo was taken. It is hostile until read: a broken block is an empty one.

use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};

use exif::{Context, In, Reader, Tag, Value};
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

const MAX_TEXT: usize = 120;

/// How a photo was taken, as far as the file says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exif {
    /// Maker of the camera or scanner; at most 120 characters, none of them control characters.
    pub make: Option<String>,
    /// Its model, like `make`.
    pub model: Option<String>,
    /// The lens, like `make`.
    pub lens: Option<String>,
    /// When, by the camera's clock without zone: `YYYY-MM-DDTHH:MM:SS`.
    pub taken_at: Option<String>,
    /// Exposure time in seconds.
    pub exposure_seconds: Option<f64>,
    /// Aperture.
    pub f_number: Option<f64>,
    /// Sensitivity.
    pub iso: Option<u32>,
    /// Focal length in millimetres, not converted.
    pub focal_mm: Option<f64>,
    /// Latitude and longitude in degrees, north and east positive. Never for the public.
    pub gps: Option<(f64, f64)>,
}

/// Where a tag lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ifd {
    Main,
    Exif,
    Gps,
}

/// A block of tags, whoever parsed it.
pub(super) trait Tags {
    fn text(&mut self, ifd: Ifd, tag: u16) -> Option<String>;
    fn number(&mut self, ifd: Ifd, tag: u16, index: usize) -> Option<f64>;
}

/// Reads a block as JPEG, PNG and WebP carry it; also the orientation, 0 when there is none.
pub(super) fn from_block(block: Option<Vec<u8>>) -> (Exif, u16) {
    // A parser's panic over hostile bytes must not cost a photo that decodes well.
    let read = |block| {
        let mut reader = Reader::new();
        reader.continue_on_error(true);
        let parsed = reader.read_raw(block).or_else(|e| e.distill_partial_result(|_| {}));
        parsed.ok().map(|mut parsed| from_tags(&mut parsed))
    };
    block.and_then(|b| catch_unwind(AssertUnwindSafe(|| read(b))).ok()?).unwrap_or_default()
}

/// Tags that say how a photo was taken and how it is stored, and nothing of who, where and for whom.
const HARMLESS: &[(Context, &[RangeInclusive<u16>])] = &[
    (
        Context::Tiff,
        &[
            0x0100..=0x0103, // size, bits, compression
            0x0106..=0x0106, // kind of pixels
            0x010F..=0x0110, // make, model
            0x0112..=0x0112, // orientation
            0x0115..=0x0115, // samples
            0x011A..=0x011C, // resolution, planes
            0x0128..=0x0128, // its unit
            0x012D..=0x012D, // transfer
            0x0131..=0x0132, // software, moment of the file
            0x013E..=0x013F, // white, primaries
            0x0211..=0x0214, // YCbCr
        ],
    ),
    (
        Context::Exif,
        &[
            0x829A..=0x829D, // exposure, aperture
            0x8822..=0x8822, // programme
            0x8827..=0x8835, // sensitivity
            0x9000..=0x9004, // version, moments
            0x9101..=0x9102, // components, bits
            0x9201..=0x9205, // shutter, aperture, brightness, bias
            0x9207..=0x920A, // metering, light, flash, focal length
            0x9290..=0x9292, // parts of the seconds
            0xA000..=0xA003, // version, colours, size
            0xA20E..=0xA210, // resolution of the film's plane
            0xA217..=0xA217, // sensing
            0xA300..=0xA301, // source
            0xA401..=0xA406, // rendering
            0xA408..=0xA40A,
            0xA432..=0xA434, // lens, without its number
        ],
    ),
    (Context::Interop, &[0x0001..=0x0002]),
];

/// Reads a block that says nothing but what [`HARMLESS`] lists. One broken tag counts against it: another reader may
/// make more of it than this one.
///
/// # Errors
/// What else it says.
pub(super) fn harmless(block: Vec<u8>) -> Result<(Exif, u16), String> {
    let read = || {
        let mut parsed = Reader::new().read_raw(block).map_err(|e| format!("EXIF that is broken ({e})"))?;
        let known = |tag: Tag| {
            let ranges = HARMLESS.iter().find(|(context, _)| *context == tag.context());
            ranges.is_some_and(|(_, ranges)| ranges.iter().any(|range| range.contains(&tag.number())))
        };
        // A thumbnail may show what was cut off since.
        let other = parsed.fields().find(|field| field.ifd_num != In::PRIMARY || !known(field.tag));
        if let Some(tag) = other.map(|field| field.tag) {
            return Err(format!("EXIF {tag}"));
        }
        Ok(from_tags(&mut parsed))
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("EXIF that is broken".to_owned()))
}

/// Picks what is of use out of a block.
pub(super) fn from_tags(tags: &mut dyn Tags) -> (Exif, u16) {
    let mut text = |ifd, tag| tags.text(ifd, tag).and_then(|t| clean(&t));
    let (make, model, lens) = (text(Ifd::Main, 0x010F), text(Ifd::Main, 0x0110), text(Ifd::Exif, 0xA434));
    let taken_at = [(Ifd::Exif, 0x9003), (Ifd::Exif, 0x9004), (Ifd::Main, 0x0132)]
        .into_iter()
        .find_map(|(ifd, tag)| moment(&text(ifd, tag)?));
    let mut number = |ifd, tag, low: f64, high: f64| {
        tags.number(ifd, tag, 0).filter(|n| n.is_finite() && (low..=high).contains(n))
    };
    let exposure_seconds = number(Ifd::Exif, 0x829A, 1e-7, 1e6);
    let f_number = number(Ifd::Exif, 0x829D, 0.1, 1000.0);
    let iso = number(Ifd::Exif, 0x8827, 1.0, 10_000_000.0).map(|n| n as u32);
    let focal_mm = number(Ifd::Exif, 0x920A, 0.1, 100_000.0);
    let orientation = number(Ifd::Main, 0x0112, 1.0, 8.0).map_or(0, |n| n as u16);
    let gps = position(tags);
    (Exif { make, model, lens, taken_at, exposure_seconds, f_number, iso, focal_mm, gps }, orientation)
}

/// Without control characters and those that turn the direction of the text around them.
fn clean(text: &str) -> Option<String> {
    let kept = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let text: String = text.trim_matches(['\0', ' ']).chars().filter(kept).take(MAX_TEXT).collect();
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

fn moment(text: &str) -> Option<String> {
    let moment = DateTime::strptime("%Y:%m:%d %H:%M:%S", text.get(..19)?).ok()?;
    (moment.year() > 0).then(|| moment.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

fn position(tags: &mut dyn Tags) -> Option<(f64, f64)> {
    let mut degrees = |reference, tag, negative, most: f64| {
        let mut part = |index| tags.number(Ifd::Gps, tag, index).filter(|n| n.is_finite());
        let value = part(0)? + part(1).unwrap_or(0.0) / 60.0 + part(2).unwrap_or(0.0) / 3600.0;
        let sign = if tags.text(Ifd::Gps, reference)?.starts_with(negative) { -1.0 } else { 1.0 };
        (0.0..=most).contains(&value).then_some(value * sign)
    };
    let found = (degrees(1, 2, 'S', 90.0)?, degrees(3, 4, 'W', 180.0)?);
    // Cameras without a fix write zeros.
    (found != (0.0, 0.0)).then_some(found)
}

impl Tags for exif::Exif {
    fn text(&mut self, ifd: Ifd, tag: u16) -> Option<String> {
        match &self.get_field(name(ifd, tag), In::PRIMARY)?.value {
            Value::Ascii(lines) => lines.first().map(|l| String::from_utf8_lossy(l).into_owned()),
            _ => None,
        }
    }

    fn number(&mut self, ifd: Ifd, tag: u16, index: usize) -> Option<f64> {
        match &self.get_field(name(ifd, tag), In::PRIMARY)?.value {
            Value::Rational(list) => list.get(index).map(|r| r.to_f64()),
            Value::SRational(list) => list.get(index).map(|r| r.to_f64()),
            value => value.get_uint(index).map(f64::from),
        }
    }
}

fn name(ifd: Ifd, tag: u16) -> Tag {
    let context = match ifd {
        Ifd::Main => Context::Tiff,
        Ifd::Exif => Context::Exif,
        Ifd::Gps => Context::Gps,
    };
    Tag(context, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_cleaned_and_cut() {
        assert_eq!(clean("  Nikon\0\x07 F\u{202E}3 \0").as_deref(), Some("Nikon F3"));
        assert_eq!(clean(" \0 "), None);
        assert_eq!(clean(&"あ".repeat(500)).map(|t| t.chars().count()), Some(MAX_TEXT));
    }

    #[test]
    fn dates_are_dates_or_nothing() {
        assert_eq!(moment("2024:02:29 23:59:58").as_deref(), Some("2024-02-29T23:59:58"));
        for bad in ["0000:00:00 00:00:00", "2024:13:01 00:00:00", "2024:02:30 00:00:00", "今日は2024年", ""]
        {
            assert_eq!(moment(bad), None, "{bad}");
        }
    }

    #[test]
    fn broken_blocks_are_empty() {
        for block in [&b""[..], b"II*\0", b"II*\0\xFF\xFF\xFF\xFF", &[0xFF; 300]] {
            assert_eq!(from_block(Some(block.to_vec())), (Exif::default(), 0));
        }
        assert_eq!(from_block(None), (Exif::default(), 0));
    }
}
