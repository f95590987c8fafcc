//! One door to the four decoders.

use std::io::{BufRead, Seek, SeekFrom};

use super::exif::Exif;
use super::format::Format;
use super::shrink::Pixels;
use super::{Header, ImageError, MAX_MEMORY, MAX_SIDE, broken, jpeg, png, tiff, webp};

/// A file, or bytes in memory.
pub(super) trait Input: BufRead + Seek {}
impl<T: BufRead + Seek> Input for T {}

/// What came out of a file.
#[derive(Debug)]
pub(super) struct Decoded {
    /// As stored, not upright, and shrunk by whole factors where that was free.
    pub(super) pixels: Pixels,
    pub(super) profile: Option<Vec<u8>>,
    pub(super) exif: Exif,
    /// By EXIF, 1 to 8; other values mean nothing.
    pub(super) orientation: u16,
}

/// Above this many declared pixels, a file must have bytes to show for them.
const SMALL: u64 = 4_000_000;
/// Declared pixels a byte. A blank page compresses to a few hundred; nothing photographed comes near.
const MAX_DENSITY: u64 = 2000;

/// Reads type and size and holds them against the caps.
pub(super) fn inspect(input: &mut dyn Input, max_pixels: u64) -> Result<Header, ImageError> {
    let format = Format::sniff(input.fill_buf()?).ok_or(ImageError::Type)?;
    let (width, height, memory) = match format {
        Format::Jpeg => {
            let head = jpeg::head(input)?;
            (head.width, head.height, head.memory())
        }
        Format::Png => {
            let head = png::head(input)?;
            (head.width, head.height, head.memory)
        }
        Format::Webp => {
            let (width, height) = webp::head(input)?;
            (width, height, webp::memory(width, height))
        }
        Format::Tiff => tiff::head(input)?,
    };
    if width == 0 || height == 0 {
        return Err(broken("an image without pixels"));
    }
    let pixels = u64::from(width) * u64::from(height);
    if width > MAX_SIDE || height > MAX_SIDE || pixels > max_pixels {
        return Err(ImageError::TooManyPixels { width, height, max_pixels });
    }
    let bytes = input.seek(SeekFrom::End(0))?;
    if pixels > SMALL && pixels / MAX_DENSITY > bytes {
        return Err(ImageError::TooExpensive(format!("{bytes} bytes cannot hold {width} x {height} pixels")));
    }
    // A JPEG is read into memory as a whole; the others are read as they are decoded.
    let memory = if format == Format::Jpeg { memory + bytes } else { memory };
    if memory > MAX_MEMORY {
        let (needed, most) = (memory >> 20, MAX_MEMORY >> 20);
        return Err(ImageError::TooExpensive(format!("it takes {needed} MiB of memory, more than {most}")));
    }
    Ok(Header { format, width, height, memory })
}

/// Decodes what was inspected.
pub(super) fn decode(input: &mut dyn Input, format: Format) -> Result<Decoded, ImageError> {
    match format {
        Format::Jpeg => jpeg::decode(input),
        Format::Png => png::decode(input),
        Format::Webp => webp::decode(input),
        Format::Tiff => tiff::decode(input),
    }
}
