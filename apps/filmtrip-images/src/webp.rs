//! WebP.

use image_webp::{DecodingError, WebPDecoder};

use super::colour::{Depth, Extra, MAX_PROFILE, Samples, Space};
use super::decode::{Decoded, Input};
use super::shrink::Averager;
use super::{ImageError, broken, exif};

/// Bytes that decoding takes at most: the decoder has no rows, only whole images, planes beside them.
pub(super) fn memory(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height) * 9
}

/// Width and height, without decoding.
///
/// # Errors
/// A broken header.
pub(super) fn head(input: &mut dyn Input) -> Result<(u32, u32), ImageError> {
    Ok(WebPDecoder::new(input).map_err(refused)?.dimensions())
}

/// Decodes and shrinks; of an animation the first picture.
///
/// # Errors
/// A broken file.
pub(super) fn decode(input: &mut dyn Input) -> Result<Decoded, ImageError> {
    let mut decoder = WebPDecoder::new(input).map_err(refused)?;
    decoder.set_memory_limit(MAX_PROFILE);
    let (width, height) = decoder.dimensions();
    let profile = decoder.icc_profile().ok().flatten();
    let block = decoder.exif_metadata().ok().flatten();
    let extra = if decoder.has_alpha() { Extra::Alpha } else { Extra::None };
    let samples = Samples { space: Space::Rgb, extra, depth: Depth::Eight };
    let mut all = vec![0; decoder.output_buffer_size().ok_or_else(|| broken("too large"))?];
    decoder.read_image(&mut all).map_err(refused)?;
    let mut averager = Averager::new(width, height, samples.space);
    let mut spare = Vec::new();
    for row in all.chunks_exact(width as usize * samples.bytes()) {
        averager.row(samples.plain(row, &mut spare));
    }
    // Some programs write the marker of JPEG here too.
    let block = block.map(|b| b.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec).unwrap_or(b));
    let (exif, orientation) = exif::from_block(block);
    Ok(Decoded { pixels: averager.finish()?, profile, exif, orientation })
}

fn refused(error: DecodingError) -> ImageError {
    match error {
        DecodingError::MemoryLimitExceeded | DecodingError::ImageTooLarge => {
            ImageError::TooExpensive(error.to_string())
        }
        other => broken(other),
    }
}
