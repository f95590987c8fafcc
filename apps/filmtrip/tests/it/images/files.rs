//! Files of every kind, and what processing makes of them.

use std::io::{Cursor, Write};

use exif::experimental::Writer;
use exif::{Field, In, Tag, Value};
use filmtrip::images::{self, Header, ImageError, Options, Processed};
use image::{ImageFormat, Rgb, RgbImage};
use tempfile::NamedTempFile;

pub(super) const MAX_PIXELS: u64 = 200_000_000;
pub(super) const RED: [u8; 3] = [220, 30, 30];
pub(super) const GREEN: [u8; 3] = [30, 200, 30];
pub(super) const BLUE: [u8; 3] = [30, 30, 210];
pub(super) const GREY: [u8; 3] = [128, 128, 128];

/// Four quarters: red, green / blue, grey.
pub(super) fn quarters(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb(match (x < width / 2, y < height / 2) {
            (true, true) => RED,
            (false, true) => GREEN,
            (true, false) => BLUE,
            (false, false) => GREY,
        })
    })
}

pub(super) fn encoded(pixels: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Vec::new();
    pixels.write_to(&mut Cursor::new(&mut out), format).expect("encodes");
    out
}

pub(super) fn on_disk(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("temporary file");
    file.write_all(bytes).expect("writes");
    file
}

pub(super) fn inspect(bytes: &[u8]) -> Result<Header, ImageError> {
    images::inspect(on_disk(bytes).path(), MAX_PIXELS)
}

pub(super) fn process_with(bytes: &[u8], options: &Options) -> Result<Processed, ImageError> {
    let file = on_disk(bytes);
    images::process(file.path(), images::inspect(file.path(), MAX_PIXELS)?, options)
}

pub(super) fn process(bytes: &[u8]) -> Processed {
    process_with(bytes, &Options::default()).expect("a good image")
}

pub(super) fn decoded(jpeg: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg).expect("a JPEG").into_rgb8()
}

/// Whether a colour is that, but for what JPEG and resampling do to it.
pub(super) fn near(found: [u8; 3], wanted: [u8; 3]) -> bool {
    found.iter().zip(wanted).all(|(a, b)| a.abs_diff(b) <= 8)
}

/// The colours in the middles of the four quarters, row by row.
pub(super) fn middles(pixels: &RgbImage) -> [[u8; 3]; 4] {
    let (w, h) = pixels.dimensions();
    [(1, 1), (3, 1), (1, 3), (3, 3)].map(|(x, y)| pixels.get_pixel(w * x / 4, h * y / 4).0)
}

#[track_caller]
pub(super) fn assert_quarters(jpeg: &[u8], wanted: [[u8; 3]; 4]) {
    let found = middles(&decoded(jpeg));
    assert!(found.iter().zip(wanted).all(|(f, w)| near(*f, w)), "{found:?} is not {wanted:?}");
}

/// A JPEG with a segment more, right behind its start.
pub(super) fn with_segment(jpeg: &[u8], marker: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).expect("short");
    [&jpeg[..2], &[0xFF, marker], &length.to_be_bytes(), payload, &jpeg[2..]].concat()
}

pub(super) fn with_exif(jpeg: &[u8], block: &[u8]) -> Vec<u8> {
    with_segment(jpeg, 0xE1, &[b"Exif\0\0", block].concat())
}

pub(super) fn with_profile(jpeg: &[u8], profile: &[u8]) -> Vec<u8> {
    with_segment(jpeg, 0xE2, &[b"ICC_PROFILE\0\x01\x01", profile].concat())
}

/// A block of EXIF tags.
pub(super) fn exif_block(fields: &[(Tag, Value)]) -> Vec<u8> {
    let fields: Vec<Field> = fields
        .iter()
        .map(|(tag, value)| Field { tag: *tag, ifd_num: In::PRIMARY, value: value.clone() })
        .collect();
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut out = Cursor::new(Vec::new());
    writer.write(&mut out, true).expect("writes");
    out.into_inner()
}

pub(super) fn ascii(text: &str) -> Value {
    Value::Ascii(vec![text.as_bytes().to_vec()])
}

pub(super) fn orientation(value: u16) -> Vec<u8> {
    exif_block(&[(Tag::Orientation, Value::Short(vec![value]))])
}

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

/// A PNG by its chunks, with right checksums.
pub(super) fn png(
    header: [u32; 2],
    depth_colour_interlace: [u8; 3],
    chunks: &[(&[u8; 4], Vec<u8>)],
) -> Vec<u8> {
    let [depth, colour, interlace] = depth_colour_interlace;
    let mut first = [header[0].to_be_bytes(), header[1].to_be_bytes()].concat();
    first.extend_from_slice(&[depth, colour, 0, 0, interlace]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let end = [(b"IEND", Vec::new())];
    for (name, data) in [(b"IHDR", first)].iter().chain(chunks).chain(&end) {
        out.extend_from_slice(&u32::try_from(data.len()).expect("short").to_be_bytes());
        let named = [&name[..], data].concat();
        out.extend_from_slice(&named);
        out.extend_from_slice(&crc(&named).to_be_bytes());
    }
    out
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    })
}

/// A TIFF by its tags (all of 32 bits or, as bytes, undefined), in either byte order. The tag of the
/// strips or tiles (273 or 324) gets the places of `chunks`.
pub(super) fn tiff(big: bool, tags: &[(u16, Vec<u32>)], offsets: u16, chunks: &[Vec<u8>]) -> Vec<u8> {
    let two = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let four = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let short = |n: usize| u32::try_from(n).expect("short");
    let mut out = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
    out.extend_from_slice(&[0; 4]);
    let (mut places, mut lengths) = (Vec::new(), Vec::new());
    for chunk in chunks {
        places.push(short(out.len()));
        lengths.push(short(chunk.len()));
        out.extend_from_slice(chunk);
        out.resize(out.len().next_multiple_of(2), 0);
    }
    let mut tags = tags.to_vec();
    tags.push((offsets, places));
    tags.push((if offsets == 273 { 279 } else { 325 }, lengths));
    tags.sort_by_key(|tag| tag.0);
    let mut directory = two(u16::try_from(tags.len()).expect("few")).to_vec();
    for (tag, values) in tags {
        directory.extend_from_slice(&[two(tag), two(4)].concat());
        directory.extend_from_slice(&four(short(values.len())));
        if let [value] = values[..] {
            directory.extend_from_slice(&four(value));
        } else {
            directory.extend_from_slice(&four(short(out.len())));
            values.iter().for_each(|value| out.extend_from_slice(&four(*value)));
        }
    }
    let at = four(short(out.len()));
    out[4..8].copy_from_slice(&at);
    out.extend_from_slice(&directory);
    out.extend_from_slice(&[0; 4]);
    out
}
