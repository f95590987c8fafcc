//! Images: what may come in, its limits, and what is made of it. Knows nothing of HTTP or the database.
//!
//! [`inspect`] reads a header and refuses what is too large; [`worker::process`] makes the variants in a
//! process of its own, so that a decoder that crashes or never ends costs one upload and nothing else.

mod colour;
mod decode;
mod encode;
mod exif;
mod format;
mod jpeg;
mod plain;
mod png;
pub mod sample;
mod shrink;
mod tiff;
pub mod watermark;
mod webp;
pub mod worker;

use std::fs::File;
use std::io::{BufReader, Cursor};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::exif::Exif;
pub use self::format::{Format, media_type};
pub use self::plain::plain;
use self::watermark::Watermark;

/// Longest side of an image, in pixels.
pub const MAX_SIDE: u32 = 20_000;
/// Most memory that the decoding of one image may need, in bytes.
pub const MAX_MEMORY: u64 = 1 << 30;
/// The sizes by name, with their longest side in pixels.
pub const VARIANTS: [(&str, u32); 3] = [("thumb", 600), ("preview", 1024), ("large", 2048)];

/// Width and height of each variant, as stored with the photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// At most 600 px.
    pub thumb: (u32, u32),
    /// At most 1024 px.
    pub preview: (u32, u32),
    /// At most 2048 px.
    pub large: (u32, u32),
}

impl Sizes {
    /// The sizes of an upright image: the longer side at most so many pixels, never enlarged.
    #[must_use]
    pub fn of(width: u32, height: u32) -> Self {
        let [thumb, preview, large] = VARIANTS.map(|(_, side)| shrink::fit(width, height, side));
        Self { thumb, preview, large }
    }
}

/// Extensions of originals, one for each type.
pub const EXTENSIONS: [&str; 4] = ["jpg", "png", "webp", "tif"];

/// Names of the files of the stored sizes, WebP included.
pub fn variant_files() -> impl Iterator<Item = String> {
    VARIANTS.iter().flat_map(|(name, _)| [format!("{name}.jpg"), format!("{name}.webp")])
}

/// Why an image was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not an image type that may be uploaded.
    #[error("not a JPEG, PNG, WebP or TIFF image")]
    Type,
    /// Its header declares more than is allowed.
    #[error(
        "the image is {width} x {height} pixels; at most {max_pixels} pixels and {MAX_SIDE} a side are allowed"
    )]
    TooManyPixels {
        /// Declared width.
        width: u32,
        /// Declared height.
        height: u32,
        /// The cap.
        max_pixels: u64,
    },
    /// The file is broken, or of a kind that is not read.
    #[error("the image could not be read: {0}")]
    Broken(String),
    /// Decoding would take, or took, more memory or work than an image may.
    #[error("the image is too expensive to decode: {0}")]
    TooExpensive(String),
    /// Decoding took longer than it may.
    #[error("the image was not decoded within {seconds} s")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// The decoder's process ended badly.
    #[error("the image made its decoder crash: {0}")]
    Crashed(String),
    /// The watermark cannot be used: a fault of the service's settings, not of the upload.
    #[error("watermark: {0}")]
    Watermark(String),
    /// Reading or writing a file failed.
    #[error("file: {0}")]
    Io(#[from] std::io::Error),
}

fn broken(error: impl std::fmt::Display) -> ImageError {
    ImageError::Broken(error.to_string())
}

/// What the header says, read without decoding.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Header {
    /// The type.
    pub format: Format,
    /// Stored width, before orientation.
    pub width: u32,
    /// Stored height, before orientation.
    pub height: u32,
    /// Bytes that decoding takes at most.
    pub memory: u64,
}

/// What is made of an image besides its three JPEGs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// A PNG to put into the corner of preview and large; an absolute path for the isolated worker.
    pub watermark: Option<PathBuf>,
    /// Whether to make WebPs too.
    pub webp: bool,
}

/// A processed image. The files hold pixels and nothing else of the original.
#[derive(Debug, Clone, PartialEq)]
pub struct Processed {
    /// Width of the original, upright.
    pub width: u32,
    /// Height of the original, upright.
    pub height: u32,
    /// Sizes of the variants.
    pub sizes: Sizes,
    /// The JPEGs, in the order of [`VARIANTS`].
    pub jpegs: [Vec<u8>; 3],
    /// The WebPs, in the same order, when they were asked for.
    pub webps: Option<[Vec<u8>; 3]>,
    /// Placeholder of some 25 bytes (see the thumbhash format) of the upright image.
    pub thumbhash: Vec<u8>,
    /// How the photo was taken.
    pub exif: Exif,
}

/// Reads type and dimensions and holds them against the caps; a bomb is refused here, undecoded.
///
/// # Errors
/// Wrong type, broken header, or over a cap.
pub fn inspect(path: &Path, max_pixels: u64) -> Result<Header, ImageError> {
    decode::inspect(&mut BufReader::new(File::open(path)?), max_pixels)
}

/// What processing an image weighs, in millions of pixels, for a cap on what runs at once. Counts
/// the memory it takes where that is more than usual for its size.
#[must_use]
pub fn megapixels(header: Header) -> u32 {
    let pixels = u64::from(header.width) * u64::from(header.height);
    // Six bytes a pixel are what a whole image of 16 bits takes.
    u32::try_from(pixels.max(header.memory / 6) / 1_000_000 + 1).unwrap_or(u32::MAX)
}

/// Decodes an inspected image and makes the variants, in this process. Blocks; a hostile file may take
/// long or end the process, so a service calls [`worker::process`].
///
/// # Errors
/// A broken file, or a watermark that cannot be used.
pub fn process(path: &Path, header: Header, options: &Options) -> Result<Processed, ImageError> {
    process_input(&mut BufReader::with_capacity(1 << 16, File::open(path)?), header, options)
}

fn process_input(
    input: &mut dyn decode::Input,
    header: Header,
    options: &Options,
) -> Result<Processed, ImageError> {
    let mark = options.watermark.as_deref().map(Watermark::open).transpose()?;
    let decoded = decode::decode(input, header.format)?;
    let orientation = decoded.orientation;
    let turned = (5..=8).contains(&orientation);
    let (width, height) = if turned { (header.height, header.width) } else { (header.width, header.height) };

    // The largest from what was decoded, and each smaller one from the one before: far fewer pixels to
    // read, same sharpness. Colour and orientation come after the first step, for the same reason.
    let stored = shrink::fit(header.width, header.height, VARIANTS[2].1);
    let pixels = decoded.pixels;
    let pixels =
        if (pixels.width, pixels.height) == stored { pixels } else { shrink::resize(&pixels, stored)? };
    let mut pixels = shrink::upright(colour::to_srgb(pixels, decoded.profile.as_deref()), orientation);

    let mut jpegs: [Vec<u8>; 3] = Default::default();
    let mut webps: Option<[Vec<u8>; 3]> = options.webp.then(Default::default);
    let mut sizes = [(0, 0); 3];
    for (index, (name, side)) in VARIANTS.iter().enumerate().rev() {
        if (pixels.width, pixels.height) != shrink::fit(width, height, *side) {
            pixels = shrink::resize(&pixels, shrink::fit(width, height, *side))?;
        }
        sizes[index] = (pixels.width, pixels.height);
        // Smaller ones are made of pixels without the mark.
        let unmarked = (mark.is_some() && index > 0).then(|| pixels.clone());
        if let Some(mark) = mark.as_ref().filter(|_| *name != "thumb") {
            mark.put(&mut pixels)?;
        }
        jpegs[index] = encode::jpeg(&pixels)?;
        if let Some(webps) = &mut webps {
            webps[index] = encode::webp(&pixels)?;
        }
        if let Some(unmarked) = unmarked {
            pixels = unmarked;
        }
    }
    let thumbhash = placeholder(&pixels)?;
    let sizes = Sizes { thumb: sizes[0], preview: sizes[1], large: sizes[2] };
    Ok(Processed { width, height, sizes, jpegs, webps, thumbhash, exif: decoded.exif })
}

/// The thumbhash of RGB pixels.
fn placeholder(pixels: &shrink::Pixels) -> Result<Vec<u8>, ImageError> {
    let (width, height) = shrink::fit(pixels.width, pixels.height, 100);
    let small = shrink::resize(pixels, (width, height))?;
    let rgba: Vec<u8> =
        small.data.as_chunks::<3>().0.iter().flat_map(|[r, g, b]| [*r, *g, *b, 255]).collect();
    Ok(thumbhash::rgba_to_thumb_hash(width as usize, height as usize, &rgba))
}

/// All of [`inspect`] and [`process`] on bytes in memory, with caps small enough for a fuzzer. Whether it became a photo.
#[doc(hidden)]
pub fn fuzz_decode(bytes: &[u8]) -> bool {
    let mut input = Cursor::new(bytes);
    let Ok(header) = decode::inspect(&mut input, 1_000_000) else { return false };
    if header.memory > 64 << 20 {
        return false;
    }
    input.set_position(0);
    process_input(&mut input, header, &Options::default()).is_ok()
}
