//! What a file tells besides its picture. Whoever has the address of a size that a CDN makes can ask it for the rest of
//! the file's words: so such sizes are for files that say nothing but how the photo was taken. Whatever is not known to
//! be harmless is not.

use std::fs::File;
use std::io::{BufReader, SeekFrom};
use std::path::Path;

use super::decode::Input;
use super::exif::{self, Exif};
use super::format::Format;
use super::{ImageError, broken, jpeg};

/// A block of EXIF has at most 64 KiB in a JPEG, and no reason to have more elsewhere.
const MAX_EXIF: usize = 1 << 16;

/// Chunks of a PNG that are about its pixels.
const PNG_CHUNKS: [&[u8; 4]; 14] = [
    b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD",
    b"pHYs", b"hIST", b"sPLT",
];
/// Chunks of a WebP that are about its pixels.
const WEBP_CHUNKS: [&[u8; 4]; 7] = [b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"ANIM", b"ANMF"];

/// Why a file is not plain: it says more, or it could not be read to its end.
enum More {
    Says(String),
    Broken(ImageError),
}

impl From<ImageError> for More {
    fn from(error: ImageError) -> Self {
        Self::Broken(error)
    }
}

impl From<std::io::Error> for More {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.into())
    }
}

fn says(what: impl Into<String>) -> More {
    More::Says(what.into())
}

/// The EXIF and the orientation (0 when there is none) of a file that says nothing beyond what is shown with a photo
/// anyway: no place, no person, no serial number, no caption.
///
/// # Errors
/// What else it says, in words.
pub fn plain(path: &Path, format: Format) -> Result<(Exif, u16), String> {
    let read = || {
        let mut input = BufReader::with_capacity(1 << 16, File::open(path)?);
        let block = match format {
            Format::Jpeg => of_jpeg(&mut input)?,
            Format::Png => of_png(&mut input)?,
            Format::Webp => of_webp(&mut input)?,
            Format::Tiff => return Err(says("the tags of a TIFF")),
        };
        block.map_or(Ok((Exif::default(), 0)), |block| exif::harmless(block).map_err(More::Says))
    };
    read().map_err(|more| match more {
        More::Says(what) => what,
        More::Broken(e) => format!("something that cannot be read ({e})"),
    })
}

/// Keeps the one block of EXIF that a file may have.
fn keep(found: &mut Option<Vec<u8>>, block: &[u8]) -> Result<(), More> {
    if found.is_some() || block.len() > MAX_EXIF {
        return Err(says("more EXIF than a camera writes"));
    }
    *found = Some(block.to_vec());
    Ok(())
}

fn of_jpeg(input: &mut dyn Input) -> Result<Option<Vec<u8>>, More> {
    let (mut exif, mut start) = (None, [0; 2]);
    input.read_exact(&mut start)?;
    loop {
        let (marker, payload) = jpeg::segment(input)?;
        match marker {
            0xD9 => return Ok(exif),
            0xDA => skip_scan(input)?,
            0xE0 if payload.starts_with(b"JFIF\0") => {}
            0xE2 if payload.starts_with(b"ICC_PROFILE\0") => {}
            0xEE if payload.starts_with(b"Adobe") => {}
            0xE1 => match payload.strip_prefix(b"Exif\0\0") {
                Some(block) => keep(&mut exif, block)?,
                None => return Err(says("XMP, or the like")),
            },
            0xED => return Err(says("IPTC, or the like")),
            0xE0..=0xEF | 0xFE => return Err(says(format!("a segment {marker:02X}"))),
            _ => {}
        }
    }
}

/// Goes on behind the compressed data of a scan, to the next marker.
fn skip_scan(input: &mut dyn Input) -> Result<(), More> {
    let mut after_ff = false;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Err(broken("no end").into());
        }
        let length = buffer.len();
        for (at, byte) in buffer.iter().enumerate() {
            // A marker, and not a byte of data or a restart within it.
            if after_ff && !matches!(byte, 0 | 0xD0..=0xD7 | 0xFF) {
                // Back to its FF, which may have been in the buffer before.
                let back = i64::try_from(at).map_err(broken)? - 1;
                input.seek(SeekFrom::Current(back))?;
                return Ok(());
            }
            after_ff = *byte == 0xFF;
        }
        input.consume(length);
    }
}

fn of_png(input: &mut dyn Input) -> Result<Option<Vec<u8>>, More> {
    let (mut exif, mut head) = (None, [0; 8]);
    input.read_exact(&mut head)?;
    loop {
        input.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        match &head[4..] {
            b"IEND" => return Ok(exif),
            b"eXIf" => {
                let block = take(input, length)?;
                keep(&mut exif, &block)?;
                input.seek(SeekFrom::Current(4))?;
            }
            kind if PNG_CHUNKS.iter().any(|known| *known == kind) => {
                input.seek(SeekFrom::Current(i64::from(length) + 4))?;
            }
            kind => return Err(says(format!("a chunk {}", kind.escape_ascii()))),
        }
    }
}

fn of_webp(input: &mut dyn Input) -> Result<Option<Vec<u8>>, More> {
    let (mut exif, mut head) = (None, [0; 12]);
    input.read_exact(&mut head)?;
    while !input.fill_buf()?.is_empty() {
        let mut head = [0; 8];
        input.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let padding = i64::from(length % 2);
        match &head[..4] {
            b"EXIF" => {
                let block = take(input, length)?;
                // Some programs write the marker of JPEG here too.
                keep(&mut exif, block.strip_prefix(b"Exif\0\0").unwrap_or(&block))?;
                input.seek(SeekFrom::Current(padding))?;
            }
            kind if WEBP_CHUNKS.iter().any(|known| *known == kind) => {
                input.seek(SeekFrom::Current(i64::from(length) + padding))?;
            }
            kind => return Err(says(format!("a chunk {}", kind.escape_ascii()))),
        }
    }
    Ok(exif)
}

fn take(input: &mut dyn Input, length: u32) -> Result<Vec<u8>, More> {
    let length = usize::try_from(length).ok().filter(|n| *n <= MAX_EXIF + 6);
    let mut block = vec![0; length.ok_or_else(|| says("more EXIF than a camera writes"))?];
    input.read_exact(&mut block)?;
    Ok(block)
}
