//! TIFF as film scanners write it: strips or tiles, 8 or 16 bits, grey, RGB or CMYK.

use std::io::{Read, Seek, SeekFrom};

use tiff::ColorType;
use tiff::decoder::ifd::Value;
use tiff::decoder::{ChunkType, Decoder, Limits};
use tiff::tags::{ByteOrder, IfdPointer, Tag};

use super::colour::{Depth, Extra, MAX_PROFILE, Samples, Space};
use super::decode::{Decoded, Input};
use super::exif::{self, Ifd, Tags};
use super::shrink::{self, Averager};
use super::{ImageError, MAX_MEMORY, broken};

type Reader<'a> = Decoder<&'a mut dyn Input>;

const WHITE_IS_ZERO: u16 = 0;

/// How the pixels lie in the file.
struct Plan {
    width: u32,
    height: u32,
    /// Of the rows that the decoder gives.
    samples: Samples,
    /// Uncompressed strips, which are read row by row without the decoder: many scanners write one
    /// strip as large as the image.
    plain: Option<Plain>,
    tiled: bool,
    /// Width and height of a strip or tile.
    chunk: (u32, u32),
}

struct Plain {
    /// Of the rows as they lie in the file.
    samples: Samples,
    offsets: Vec<u64>,
    invert: bool,
}

fn open(input: &mut dyn Input) -> Result<Reader<'_>, ImageError> {
    let mut limits = Limits::default();
    limits.ifd_value_size = MAX_PROFILE;
    limits.decoding_buffer_size = usize::try_from(MAX_MEMORY).unwrap_or(usize::MAX);
    limits.intermediate_buffer_size = limits.decoding_buffer_size;
    Ok(Decoder::new(input).map_err(refused)?.with_limits(limits))
}

fn plan(tiff: &mut Reader<'_>) -> Result<Plan, ImageError> {
    let (width, height) = tiff.dimensions().map_err(refused)?;
    let mut tag = |tag, default: u16| match tiff.find_tag_unsigned_vec::<u16>(tag) {
        Ok(list) => list.and_then(|l| l.first().copied()).unwrap_or(default),
        Err(_) => default,
    };
    let stored = tag(Tag::SamplesPerPixel, 1);
    let planar = tag(Tag::PlanarConfiguration, 1) != 1 && stored > 1;
    let integers = tag(Tag::SampleFormat, 1) == 1;
    let kind_of_extra = tag(Tag::ExtraSamples, 0);
    let uncompressed = tag(Tag::Compression, 1) == 1 && tag(Tag::Predictor, 1) == 1;
    let invert = tag(Tag::PhotometricInterpretation, 1) == WHITE_IS_ZERO;
    if planar || !integers {
        return Err(broken("TIFF with separate planes or with other than whole numbers"));
    }
    let extra = match kind_of_extra {
        1 => Extra::Premultiplied,
        2 => Extra::Alpha,
        _ => Extra::Unused,
    };
    let colour = tiff.colortype().map_err(refused)?;
    let (space, extra, bits) = match colour {
        ColorType::Gray(bits) => (Space::Grey, Extra::None, bits),
        ColorType::Multiband { bit_depth, num_samples: 2 } => (Space::Grey, extra, bit_depth),
        ColorType::RGB(bits) => (Space::Rgb, Extra::None, bits),
        ColorType::RGBA(bits) => (Space::Rgb, extra, bits),
        ColorType::CMYK(bits) => (Space::Cmyk, Extra::None, bits),
        ColorType::CMYKA(bits) => (Space::Cmyk, Extra::Unused, bits),
        other => return Err(broken(format!("TIFF of {other:?}"))),
    };
    let depth = match bits {
        8 => Depth::Eight,
        16 => Depth::SIXTEEN,
        _ => return Err(broken(format!("TIFF of {bits} bits a sample; 8 and 16 can be read"))),
    };
    let samples = Samples { space, extra, depth };
    let tiled = tiff.get_chunk_type() == ChunkType::Tile;
    let chunk = tiff.chunk_dimensions();
    if chunk.0 == 0 || chunk.1 == 0 || width == 0 || height == 0 {
        return Err(broken("TIFF without pixels"));
    }
    let mut plan = Plan { width, height, samples, plain: None, tiled, chunk };
    let surplus = usize::from(stored).checked_sub(space.channels());
    if let (true, false, Some(surplus @ 0..=1)) = (uncompressed, tiled, surplus) {
        let in_file = match (depth, tiff.byte_order()) {
            (Depth::Eight, _) => Depth::Eight,
            (_, ByteOrder::BigEndian) => Depth::SixteenBig,
            (_, ByteOrder::LittleEndian) => Depth::SixteenLittle,
        };
        let extra = match (surplus, extra) {
            (0, _) => Extra::None,
            (_, Extra::None) => Extra::Unused,
            (_, extra) => extra,
        };
        let offsets = tiff.get_tag_u64_vec(Tag::StripOffsets).map_err(refused)?;
        plan.plain = Some(Plain { samples: Samples { space, extra, depth: in_file }, offsets, invert });
    }
    Ok(plan)
}

impl Plan {
    fn row_bytes(&self) -> u64 {
        u64::from(self.width) * self.samples.bytes() as u64
    }

    /// Bytes of one strip, or of one row of tiles.
    fn band_bytes(&self) -> u64 {
        self.row_bytes() * u64::from(self.chunk.1.min(self.height))
    }

    fn memory(&self) -> u64 {
        let factor = u64::from(shrink::factor(self.width, self.height));
        let out = u64::from(self.width).div_ceil(factor) * u64::from(self.height).div_ceil(factor);
        let bands = if self.plain.is_some() {
            2 * self.row_bytes()
        } else {
            // The band, one tile more, and what the decompressor keeps.
            self.band_bytes() * if self.tiled { 3 } else { 2 } + self.row_bytes()
        };
        bands + 2 * out * self.samples.space.channels() as u64
    }
}

/// Width, height, and the bytes that decoding takes at most.
///
/// # Errors
/// A broken header, or a kind of TIFF that is not read.
pub(super) fn head(input: &mut dyn Input) -> Result<(u32, u32, u64), ImageError> {
    let plan = plan(&mut open(input)?)?;
    Ok((plan.width, plan.height, plan.memory()))
}

/// Decodes and shrinks the first image of the file.
///
/// # Errors
/// A broken file.
pub(super) fn decode(input: &mut dyn Input) -> Result<Decoded, ImageError> {
    let mut tiff = open(input)?;
    let plan = plan(&mut tiff)?;
    let profile = tiff.get_tag_u8_vec(Tag::IccProfile).ok();
    let (exif, orientation) = exif::from_tags(&mut Directories::new(&mut tiff));
    let mut averager = Averager::new(plan.width, plan.height, plan.samples.space);
    match &plan.plain {
        Some(plain) => read_plain(&mut tiff, &plan, plain, &mut averager)?,
        None => read_chunks(&mut tiff, &plan, &mut averager)?,
    }
    Ok(Decoded { pixels: averager.finish()?, profile, exif, orientation })
}

fn read_plain(
    tiff: &mut Reader<'_>,
    plan: &Plan,
    plain: &Plain,
    averager: &mut Averager,
) -> Result<(), ImageError> {
    let file = tiff.inner();
    let (mut row, mut spare) = (vec![0; plan.width as usize * plain.samples.bytes()], Vec::new());
    for y in 0..plan.height {
        if y % plan.chunk.1 == 0 {
            let strip = plain.offsets.get((y / plan.chunk.1) as usize);
            file.seek(SeekFrom::Start(*strip.ok_or_else(|| broken("a strip is missing"))?))?;
        }
        file.read_exact(&mut row).map_err(broken)?;
        if plain.invert {
            row.iter_mut().for_each(|byte| *byte = !*byte);
        }
        averager.row(plain.samples.plain(&row, &mut spare));
    }
    Ok(())
}

fn read_chunks(tiff: &mut Reader<'_>, plan: &Plan, averager: &mut Averager) -> Result<(), ImageError> {
    let pixel = plan.samples.bytes();
    let row_bytes = plan.width as usize * pixel;
    let across = if plan.tiled { plan.width.div_ceil(plan.chunk.0) } else { 1 };
    let (mut band, mut tile, mut spare) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..plan.height.div_ceil(plan.chunk.1) {
        let rows = plan.chunk.1.min(plan.height - index * plan.chunk.1) as usize;
        band.resize(rows * row_bytes, 0);
        if !plan.tiled {
            tiff.read_chunk_bytes(index, &mut band).map_err(refused)?;
        }
        for column in 0..if plan.tiled { across } else { 0 } {
            let left = column * plan.chunk.0;
            let bytes = plan.chunk.0.min(plan.width - left) as usize * pixel;
            tile.resize(rows * bytes, 0);
            tiff.read_chunk_bytes(index * across + column, &mut tile).map_err(refused)?;
            for (to, from) in band.chunks_exact_mut(row_bytes).zip(tile.chunks_exact(bytes)) {
                let left = left as usize * pixel;
                to[left..left + bytes].copy_from_slice(from);
            }
        }
        for row in band.chunks_exact(row_bytes) {
            averager.row(plan.samples.plain(row, &mut spare));
        }
    }
    Ok(())
}

/// The file's own tags, read one by one: an EXIF reader would want the whole file in memory.
struct Directories<'a, 'b> {
    tiff: &'a mut Reader<'b>,
    exif: Option<tiff::Directory>,
    gps: Option<tiff::Directory>,
}

impl<'a, 'b> Directories<'a, 'b> {
    fn new(tiff: &'a mut Reader<'b>) -> Self {
        let mut directory = |tag| {
            let at = tiff.find_tag_unsigned::<u64>(tag).ok()??;
            tiff.read_directory(IfdPointer(at)).ok()
        };
        let (exif, gps) = (directory(Tag::ExifDirectory), directory(Tag::GpsDirectory));
        Self { tiff, exif, gps }
    }

    fn value(&mut self, ifd: Ifd, tag: u16) -> Option<Value> {
        let tag = Tag::from_u16_exhaustive(tag);
        let directory = match ifd {
            Ifd::Main => return self.tiff.find_tag(tag).ok()?,
            Ifd::Exif => self.exif.as_ref()?,
            Ifd::Gps => self.gps.as_ref()?,
        };
        self.tiff.read_directory_tags(directory).find_tag(tag).ok()?
    }
}

impl Tags for Directories<'_, '_> {
    fn text(&mut self, ifd: Ifd, tag: u16) -> Option<String> {
        match self.value(ifd, tag)? {
            Value::Ascii(text) => Some(text),
            _ => None,
        }
    }

    fn number(&mut self, ifd: Ifd, tag: u16, index: usize) -> Option<f64> {
        let value = match self.value(ifd, tag)? {
            Value::List(list) => list.into_iter().nth(index)?,
            one if index == 0 => one,
            _ => return None,
        };
        Some(match value {
            Value::Byte(n) => f64::from(n),
            Value::Short(n) => f64::from(n),
            Value::Unsigned(n) => f64::from(n),
            Value::Signed(n) => f64::from(n),
            Value::Rational(n, d) => f64::from(n) / f64::from(d),
            Value::SRational(n, d) => f64::from(n) / f64::from(d),
            Value::Float(n) => f64::from(n),
            Value::Double(n) => n,
            _ => return None,
        })
    }
}

fn refused(error: tiff::TiffError) -> ImageError {
    match error {
        tiff::TiffError::LimitsExceeded => ImageError::TooExpensive("limits of TIFF".to_owned()),
        other => broken(other),
    }
}
