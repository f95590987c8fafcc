//! JPEG: the headers, read here, and the pixels, by libjpeg-turbo, which decodes at an eighth, a quarter
//! or half of the size for little more than the price of reading the file.

use std::io::Cursor;

use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat, ScalingFactor};

use super::colour::{MAX_PROFILE, Space};
use super::decode::{Decoded, Input};
use super::shrink::{self, Pixels};
use super::{ImageError, broken, exif};

/// A photo saved progressively has about ten. Each is a pass over the whole image, so a tiny file with
/// thousands of empty ones would keep a core busy for minutes.
const MAX_SCANS: u32 = 100;

/// What stands before the compressed data.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) width: u32,
    pub(super) height: u32,
    components: u8,
    progressive: bool,
    /// Samples for four pixels, of all components: 12 without subsampling, 6 in 4:2:0.
    samples_of_four: u64,
    /// Written by Adobe's rules: ink is stored upside down.
    adobe: bool,
    exif: Option<Vec<u8>>,
    profile: Option<Vec<u8>>,
    /// Where in the file the second bytes of the markers are that only this reader need understand.
    foreign: Vec<u64>,
}

impl Head {
    /// Bytes that decoding takes at most, the file itself not counted.
    pub(super) fn memory(&self) -> u64 {
        let (width, height) = (u64::from(self.width), u64::from(self.height));
        let channels = u64::from(self.components);
        let factor = u64::from(scale(self.width, self.height));
        let out = width.div_ceil(factor) * height.div_ceil(factor) * channels;
        // A progressive image holds all its coefficients, two bytes each, until the last scan.
        let coefficients =
            if self.progressive { (width + 32) * (height + 32) * self.samples_of_four / 2 } else { 0 };
        out + coefficients + (width + 32) * 64 * channels
    }
}

/// What to divide the size by while decoding.
fn scale(width: u32, height: u32) -> u32 {
    1 << shrink::factor(width, height).min(8).ilog2()
}

/// Reads everything up to the first scan.
///
/// # Errors
/// No JPEG of the kinds that cameras and scanners write.
pub(super) fn head(input: &mut dyn Input) -> Result<Head, ImageError> {
    let mut head = Head::default();
    let mut profile: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut start = [0; 2];
    input.read_exact(&mut start).map_err(broken)?;
    loop {
        let (marker, payload) = segment(input)?;
        if matches!(marker, 0xE1..=0xED | 0xEF) {
            head.foreign.push(input.stream_position()?.saturating_sub(payload.len() as u64 + 3));
        }
        match marker {
            0xC0..=0xC2 if payload.len() >= 6 => {
                if payload[0] != 8 || !matches!(payload[5], 1 | 3 | 4) || head.components != 0 {
                    return Err(broken("an unusual kind of JPEG"));
                }
                head.height = u32::from(u16::from_be_bytes([payload[1], payload[2]]));
                head.width = u32::from(u16::from_be_bytes([payload[3], payload[4]]));
                head.components = payload[5];
                head.progressive = marker == 0xC2;
                head.samples_of_four = samples_of_four(&payload[6..])?;
            }
            0xC4 | 0xC8 | 0xCC => {}
            0xC0..=0xCF => return Err(broken("an unusual kind of JPEG")),
            0xDA | 0xD9 => break,
            0xE1 if head.exif.is_none() => {
                head.exif = payload.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec);
            }
            0xE2 => {
                let room = MAX_PROFILE.saturating_sub(profile.iter().map(|p| p.1.len()).sum());
                if let Some([number, _, part @ ..]) = payload.strip_prefix(b"ICC_PROFILE\0")
                    && part.len() <= room
                {
                    profile.push((*number, part.to_vec()));
                }
            }
            0xEE => head.adobe |= payload.starts_with(b"Adobe"),
            _ => {}
        }
    }
    if head.components == 0 {
        return Err(broken("no frame before the first scan"));
    }
    profile.sort_by_key(|part| part.0);
    head.profile = (!profile.is_empty()).then(|| profile.into_iter().flat_map(|part| part.1).collect());
    Ok(head)
}

/// How many samples the components have for four pixels, by their sampling factors.
fn samples_of_four(components: &[u8]) -> Result<u64, ImageError> {
    let factors = components.as_chunks::<3>().0.iter().map(|c| (u64::from(c[1] >> 4), u64::from(c[1] & 15)));
    let (mut most, mut sum) = ((1, 1), 0);
    for (across, down) in factors {
        if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
            return Err(broken("impossible sampling factors"));
        }
        most = (most.0.max(across), most.1.max(down));
        sum += across * down;
    }
    Ok((4 * sum).div_ceil(most.0 * most.1))
}

/// The next marker with what belongs to it.
pub(super) fn segment(input: &mut dyn Input) -> Result<(u8, Vec<u8>), ImageError> {
    let mut byte = [0; 1];
    input.read_exact(&mut byte).map_err(broken)?;
    if byte[0] != 0xFF {
        return Err(broken("no marker where one must be"));
    }
    while byte[0] == 0xFF {
        input.read_exact(&mut byte).map_err(broken)?;
    }
    let marker = byte[0];
    if matches!(marker, 0x01 | 0xD0..=0xD9) {
        return Ok((marker, Vec::new()));
    }
    let mut length = [0; 2];
    input.read_exact(&mut length).map_err(broken)?;
    let length = usize::from(u16::from_be_bytes(length));
    let mut payload = vec![0; length.checked_sub(2).ok_or_else(|| broken("a segment without length"))?];
    input.read_exact(&mut payload).map_err(broken)?;
    Ok((marker, payload))
}

/// Decodes, at a fraction of the size where that is enough.
///
/// # Errors
/// Broken or too many scans.
pub(super) fn decode(input: &mut dyn Input) -> Result<Decoded, ImageError> {
    let mut file = Vec::new();
    input.read_to_end(&mut file)?;
    let head = head(&mut Cursor::new(&file[..]))?;
    // To libjpeg they are comments: what is broken in a profile must not cost the photo.
    for at in head.foreign.iter().filter_map(|at| usize::try_from(*at).ok()) {
        file[at] = 0xFE;
    }
    let mut turbo = Decompressor::new().map_err(refused)?;
    turbo.set_scan_limit(MAX_SCANS).map_err(refused)?;
    let found = turbo.read_header(&file).map_err(refused)?;
    // Two readers of one header must agree, or the limits were held against something else.
    if (found.width, found.height) != (head.width as usize, head.height as usize) {
        return Err(broken("a contradictory header"));
    }
    turbo
        .set_scaling_factor(ScalingFactor::new(1, scale(head.width, head.height) as usize))
        .map_err(refused)?;
    let (space, format) = match found.colorspace {
        Colorspace::Gray => (Space::Grey, PixelFormat::GRAY),
        Colorspace::CMYK | Colorspace::YCCK => (Space::Cmyk, PixelFormat::CMYK),
        _ => (Space::Rgb, PixelFormat::RGB),
    };
    let scaled = found.scaled(turbo.scaling_factor());
    let pitch = scaled.width * space.channels();
    let mut data = vec![0; pitch * scaled.height];
    let target = Image { pixels: &mut data[..], width: scaled.width, pitch, height: scaled.height, format };
    if let Err(e) = turbo.decompress(&file, target) {
        // Stray bytes before a marker: some cameras write them, and every pixel is there.
        if !e.to_string().contains("extraneous bytes before marker") {
            return Err(refused(e));
        }
    }
    drop(file);
    if space == Space::Cmyk && head.adobe {
        data.iter_mut().for_each(|ink| *ink = 255 - *ink);
    }
    let (exif, orientation) = exif::from_block(head.exif);
    let width = u32::try_from(scaled.width).map_err(broken)?;
    let height = u32::try_from(scaled.height).map_err(broken)?;
    let pixels = Pixels { width, height, space, data };
    Ok(Decoded { pixels, profile: head.profile, exif, orientation })
}

fn refused(error: turbojpeg::Error) -> ImageError {
    let text = error.to_string();
    if text.contains("scans") || text.contains("nsufficient memory") {
        ImageError::TooExpensive(text)
    } else {
        ImageError::Broken(text)
    }
}
