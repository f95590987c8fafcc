//! Images: sniffing, limits, orientation, and the three sizes. Knows nothing of HTTP or the database.

pub mod sample;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use fast_image_resize::images::Image as Buffer;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};

/// Longest side of an image, in pixels.
pub const MAX_SIDE: u32 = 20_000;
/// The sizes by name, with their longest side in pixels.
pub const VARIANTS: [(&str, u32); 3] = [("thumb", 600), ("preview", 1024), ("large", 2048)];
const QUALITY: u8 = 85;

/// An image type that may be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
}

impl Format {
    /// The type by the first bytes of the file; its name and declared type prove nothing.
    #[must_use]
    pub fn sniff(head: &[u8]) -> Option<Self> {
        if head.starts_with(&[0xFF, 0xD8, 0xFF]) {
            Some(Self::Jpeg)
        } else if head.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if head.len() >= 12 && head.starts_with(b"RIFF") && &head[8..12] == b"WEBP" {
            Some(Self::Webp)
        } else {
            None
        }
    }

    /// File extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }

    fn decoder(self) -> ImageFormat {
        match self {
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Png => ImageFormat::Png,
            Self::Webp => ImageFormat::WebP,
        }
    }
}

/// Extensions of originals, one for each type.
pub const EXTENSIONS: [&str; 3] = ["jpg", "png", "webp"];

/// Names of the stored sizes, WebP included.
pub fn variant_files() -> impl Iterator<Item = String> {
    VARIANTS.iter().flat_map(|(name, _)| [format!("{name}.jpg"), format!("{name}.webp")])
}

/// What a file says of its making; nothing when it cannot be read.
#[must_use]
pub fn read_exif(_path: &Path) -> Exif {
    Exif::default()
}

/// Processing in a process of its own.
pub mod worker {
    use super::*;
    /// As [`super::process`].
    ///
    /// # Errors
    /// As there.
    pub fn process(
        path: &Path,
        header: Header,
        options: &Options,
        _scratch: &Path,
        _timeout: std::time::Duration,
    ) -> Result<Processed, ImageError> {
        super::process(path, header, options)
    }
}

/// Media type of a stored original by its extension.
#[must_use]
pub fn media_type(extension: &str) -> &'static str {
    match extension {
        "png" => "image/png",
        "webp" => "image/webp",
        _ => "image/jpeg",
    }
}

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
    /// The sizes of an image: the longer side at most so many pixels, never enlarged.
    #[must_use]
    pub fn of(width: u32, height: u32) -> Self {
        let [thumb, preview, large] = VARIANTS.map(|(_, side)| fit(width, height, side));
        Self { thumb, preview, large }
    }
}

/// Width and height shrunk to at most `side` on the longer side.
fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= side {
        return (width, height);
    }
    let scale = |n: u32| {
        let scaled = (u64::from(n) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(side).max(1)
    };
    (scale(width), scale(height))
}

/// Why an image was refused.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Not an image type that may be uploaded.
    #[error("not a JPEG, PNG or WebP image")]
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
    /// The file is broken.
    #[error("the image could not be read: {0}")]
    Broken(String),
    /// Reading or writing a file failed.
    #[error("file: {0}")]
    Io(#[from] std::io::Error),
}

fn broken(error: impl std::fmt::Display) -> ImageError {
    ImageError::Broken(error.to_string())
}

/// What the header says, read without decoding.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    /// The type.
    pub format: Format,
    /// Stored width, before orientation.
    pub width: u32,
    /// Stored height, before orientation.
    pub height: u32,
}

/// Reads type and dimensions and holds them against the caps; a bomb is refused here, undecoded.
///
/// # Errors
/// Wrong type, broken header, or over a cap.
pub fn inspect(path: &Path, max_pixels: u64) -> Result<Header, ImageError> {
    let mut head = Vec::with_capacity(16);
    File::open(path)?.take(16).read_to_end(&mut head)?;
    let format = Format::sniff(&head).ok_or(ImageError::Type)?;
    let reader = ImageReader::with_format(BufReader::new(File::open(path)?), format.decoder());
    let (width, height) = reader.into_dimensions().map_err(broken)?;
    let pixels = u64::from(width) * u64::from(height);
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > max_pixels {
        return Err(ImageError::TooManyPixels { width, height, max_pixels });
    }
    Ok(Header { format, width, height })
}

/// A processed image: dimensions after orientation, and the three JPEGs without metadata.
#[derive(Debug)]
pub struct Processed {
    /// Width of the original, upright.
    pub width: u32,
    /// Height of the original, upright.
    pub height: u32,
    /// Sizes of the variants.
    pub sizes: Sizes,
    /// The JPEGs, in the order of [`VARIANTS`].
    pub jpegs: [Vec<u8>; 3],
    /// The same as WebP.
    pub webps: Option<[Vec<u8>; 3]>,
    /// Placeholder.
    pub thumbhash: Vec<u8>,
    /// What the file says.
    pub exif: Exif,
}

/// How to process.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Watermark.
    pub watermark: Option<std::path::PathBuf>,
    /// Make WebP too.
    pub webp: bool,
}

/// What the file says.
#[derive(Debug, Clone, Default)]
pub struct Exif {
    /// Maker.
    pub make: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Lens.
    pub lens: Option<String>,
    /// Taken, local.
    pub taken_at: Option<String>,
    /// Seconds.
    pub exposure_seconds: Option<f64>,
    /// Aperture.
    pub f_number: Option<f64>,
    /// ISO.
    pub iso: Option<u32>,
    /// mm.
    pub focal_mm: Option<f64>,
    /// Degrees.
    pub gps: Option<(f64, f64)>,
}

/// Decodes an inspected image and makes the three sizes. Blocks; run it off the async threads.
///
/// # Errors
/// A broken file.
pub fn process(path: &Path, header: Header, _options: &Options) -> Result<Processed, ImageError> {
    let mut reader = ImageReader::with_format(BufReader::new(File::open(path)?), header.format.decoder());
    let mut limits = image::Limits::default();
    // Sixteen bits and four channels of the declared pixels, and as much again for the decoder.
    limits.max_alloc = Some(u64::from(header.width) * u64::from(header.height) * 16 + 64 * 1_048_576);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let decoded = DynamicImage::from_decoder(decoder).map_err(broken)?;
    let pixels = flatten(decoded);
    let (width, height) = (pixels.width(), pixels.height());
    let mut source =
        Buffer::from_vec_u8(width, height, pixels.into_raw(), PixelType::U8x3).map_err(broken)?;

    let mut jpegs: [Vec<u8>; 3] = Default::default();
    let mut dims = [(0, 0); 3];
    // From the largest down, each from the one before: far fewer pixels to read, same sharpness.
    for (index, (_, side)) in VARIANTS.iter().enumerate().rev() {
        source = shrink(source, *side)?;
        let upright = upright(&source, orientation)?;
        dims[index] = (upright.width(), upright.height());
        jpegs[index] = encode(&upright)?;
    }
    let turned = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = if turned { (height, width) } else { (width, height) };
    Ok(Processed {
        width,
        height,
        sizes: Sizes { thumb: dims[0], preview: dims[1], large: dims[2] },
        jpegs,
        webps: None,
        thumbhash: Vec::new(),
        exif: Exif::default(),
    })
}

/// Three channels of eight bits; what is transparent becomes white, as on paper.
fn flatten(image: DynamicImage) -> image::RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    let mut rgb = image::RgbImage::new(rgba.width(), rgba.height());
    for (to, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let alpha = u32::from(from.0[3]);
        for channel in 0..3 {
            let mixed = (u32::from(from.0[channel]) * alpha + 255 * (255 - alpha) + 127) / 255;
            to.0[channel] = u8::try_from(mixed).unwrap_or(255);
        }
    }
    rgb
}

/// Shrinks to at most `side` on the longer side; never enlarges.
fn shrink(source: Buffer<'static>, side: u32) -> Result<Buffer<'static>, ImageError> {
    let (width, height) = (source.width(), source.height());
    let longest = width.max(height);
    if longest <= side {
        return Ok(source);
    }
    let scale = |n: u32| {
        let scaled = (u64::from(n) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(side).max(1)
    };
    let mut target = Buffer::new(scale(width), scale(height), PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize(&source, &mut target, &options).map_err(broken)?;
    Ok(target)
}

fn upright(source: &Buffer<'_>, orientation: Orientation) -> Result<image::RgbImage, ImageError> {
    let pixels = image::RgbImage::from_raw(source.width(), source.height(), source.buffer().to_vec())
        .ok_or_else(|| broken("buffer of the wrong size"))?;
    let mut image = DynamicImage::ImageRgb8(pixels);
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// A plain JPEG: pixels only, so no EXIF, GPS or profile of the original gets out.
fn encode(pixels: &image::RgbImage) -> Result<Vec<u8>, ImageError> {
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, QUALITY)
        .encode(pixels.as_raw(), pixels.width(), pixels.height(), ExtendedColorType::Rgb8)
        .map_err(broken)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_three_types_are_recognised_by_their_bytes() {
        assert_eq!(Format::sniff(&[0xFF, 0xD8, 0xFF, 0xE0]), Some(Format::Jpeg));
        assert_eq!(Format::sniff(b"\x89PNG\r\n\x1a\n...."), Some(Format::Png));
        assert_eq!(Format::sniff(b"RIFF\0\0\0\0WEBPVP8 "), Some(Format::Webp));
        for bad in [&b"<svg xmlns="[..], b"GIF89a", b"II*\0", b"RIFF\0\0\0\0WAVE", b""] {
            assert_eq!(Format::sniff(bad), None);
        }
    }

    #[test]
    fn shrinking_keeps_the_shape_and_never_enlarges() {
        let of = |w, h, side| {
            let out = shrink(Buffer::new(w, h, PixelType::U8x3), side).expect("shrinks");
            (out.width(), out.height())
        };
        assert_eq!(of(3000, 2000, 600), (600, 400));
        assert_eq!(of(2000, 3000, 1024), (683, 1024));
        assert_eq!(of(500, 400, 600), (500, 400));
        assert_eq!(of(5000, 2, 600), (600, 1));
    }

    #[test]
    fn transparent_pixels_become_white() {
        let mut rgba = image::RgbaImage::new(2, 1);
        rgba.put_pixel(0, 0, image::Rgba([10, 20, 30, 0]));
        rgba.put_pixel(1, 0, image::Rgba([10, 20, 30, 255]));
        let rgb = flatten(DynamicImage::ImageRgba8(rgba));
        assert_eq!(rgb.get_pixel(0, 0).0, [255, 255, 255]);
        assert_eq!(rgb.get_pixel(1, 0).0, [10, 20, 30]);
    }
}
