//! PNG, row by row.

use png::{ColorType, Decoder, Limits, Reader, Transformations};

use super::colour::{Depth, Extra, MAX_PROFILE, Samples, Space};
use super::decode::{Decoded, Input};
use super::shrink::{self, Averager};
use super::{ImageError, broken, exif};

/// For what the decoder keeps beside the pixels: a profile unpacked from a bomb ends here.
const LIMITS: Limits = Limits { bytes: 4 * MAX_PROFILE };

/// Size, and the bytes that decoding takes at most.
pub(super) struct Head {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) memory: u64,
}

fn open(input: &mut dyn Input) -> Decoder<&mut dyn Input> {
    let mut decoder = Decoder::new_with_limits(input, LIMITS);
    decoder.set_ignore_text_chunk(true);
    // Palettes and fewer than eight bits become eight bits; a transparent colour becomes alpha.
    decoder.set_transformations(Transformations::EXPAND);
    decoder
}

/// Reads the header only.
///
/// # Errors
/// A broken header.
pub(super) fn head(input: &mut dyn Input) -> Result<Head, ImageError> {
    let mut decoder = open(input);
    let info = decoder.read_header_info().map_err(refused)?;
    let (width, height) = (info.width, info.height);
    // Rows of an interlaced image are complete only at its end.
    let whole = if info.interlaced { u64::from(width) * u64::from(height) * 8 } else { 0 };
    let factor = u64::from(shrink::factor(width, height));
    let shrunk = u64::from(width).div_ceil(factor) * u64::from(height).div_ceil(factor) * 3;
    Ok(Head { width, height, memory: whole + 2 * shrunk + u64::from(width) * 32 })
}

/// Decodes and shrinks.
///
/// # Errors
/// A broken file.
pub(super) fn decode(input: &mut dyn Input) -> Result<Decoded, ImageError> {
    let mut reader = open(input).read_info().map_err(refused)?;
    let info = reader.info();
    let (width, height, interlaced) = (info.width, info.height, info.interlaced);
    let profile = info.icc_profile.as_ref().map(|p| p.to_vec()).filter(|p| p.len() <= MAX_PROFILE);
    let (exif, orientation) = exif::from_block(info.exif_metadata.as_ref().map(|e| e.to_vec()));
    let samples = samples(&reader)?;
    let mut averager = Averager::new(width, height, samples.space);
    let mut spare = Vec::new();
    if interlaced {
        let mut all = vec![0; reader.output_buffer_size().ok_or_else(|| broken("too large"))?];
        reader.next_frame(&mut all).map_err(refused)?;
        for row in all.chunks_exact(width as usize * samples.bytes()) {
            averager.row(samples.plain(row, &mut spare));
        }
    } else {
        while let Some(row) = reader.next_row().map_err(refused)? {
            averager.row(samples.plain(row.data(), &mut spare));
        }
    }
    Ok(Decoded { pixels: averager.finish()?, profile, exif, orientation })
}

fn samples(reader: &Reader<&mut dyn Input>) -> Result<Samples, ImageError> {
    let (colour, depth) = reader.output_color_type();
    let (space, extra) = match colour {
        ColorType::Grayscale => (Space::Grey, Extra::None),
        ColorType::GrayscaleAlpha => (Space::Grey, Extra::Alpha),
        ColorType::Rgb => (Space::Rgb, Extra::None),
        ColorType::Rgba => (Space::Rgb, Extra::Alpha),
        ColorType::Indexed => return Err(broken("a palette that was not resolved")),
    };
    let depth = if depth == png::BitDepth::Sixteen { Depth::SixteenBig } else { Depth::Eight };
    Ok(Samples { space, extra, depth })
}

fn refused(error: png::DecodingError) -> ImageError {
    match error {
        png::DecodingError::LimitsExceeded => ImageError::TooExpensive("limits of PNG".to_owned()),
        other => broken(other),
    }
}

/// A small PNG as eight-bit RGBA, for the watermark.
///
/// # Errors
/// Broken, or more than `max_side` pixels a side.
pub(super) fn rgba(input: &mut dyn Input, max_side: u32) -> Result<(u32, u32, Vec<u8>), ImageError> {
    let mut decoder = open(input);
    decoder.set_transformations(Transformations::normalize_to_color8() | Transformations::ALPHA);
    let info = decoder.read_header_info().map_err(refused)?;
    let (width, height) = (info.width, info.height);
    if width > max_side || height > max_side {
        return Err(broken(format!("{width} x {height} pixels are more than {max_side} a side")));
    }
    let mut reader = decoder.read_info().map_err(refused)?;
    let mut all = vec![0; reader.output_buffer_size().ok_or_else(|| broken("too large"))?];
    reader.next_frame(&mut all).map_err(refused)?;
    let data = match reader.output_color_type().0 {
        ColorType::Rgba => all,
        ColorType::GrayscaleAlpha => all
            .as_chunks::<2>()
            .0
            .iter()
            .flat_map(|[level, alpha]| [*level, *level, *level, *alpha])
            .collect(),
        other => return Err(broken(format!("{other:?} pixels"))),
    };
    Ok((width, height, data))
}
