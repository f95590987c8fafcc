//! Image processing by URL parameters, with real pixels. Knows nothing of HTTP or storage.
//!
//! Done: fw fh max min fwfh both sq scale fp force crop clip gravity rotate quality format ignore-error, `/info`, and `/meta`.
//! Accepted without effect on the pixels: compress progressive unsharp noicc strip lossless. Refused as bad
//! parameters, since they are not emulated: everything else, `/exifswitch/true` among them.
//! JPEG, PNG and WebP (written without loss) count as images; GIF does not.
use std::io::Cursor;

use bytes::Bytes;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer, pixels};
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use serde_json::{Map, Value, json};

use crate::meta::{self, Meta};

/// Documented limits: 20,000 pixels a side, 200 million pixels.
const MAX_SIDE: u32 = 20_000;
const MAX_PIXELS: u64 = 200_000_000;
/// Quality when none is asked for; documented for the old `x-gmkerl-quality`.
const DEFAULT_QUALITY: u8 = 95;

/// What an upload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) width: u32,
    pub(crate) height: u32,
    format: ImageFormat,
}

impl Facts {
    /// `JPEG`, `PNG` or `WEBP`.
    pub(crate) fn kind(&self) -> &'static str {
        match self.format {
            ImageFormat::Png => "PNG",
            ImageFormat::WebP => "WEBP",
            _ => "JPEG",
        }
    }
}

/// Why an image was not processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ImageRefusal {
    /// 400.
    BadParameter(String),
    /// 405.
    NotAnImage,
    /// 405.
    SideTooLong,
    /// 409.
    TooManyPixels,
}

/// A processed image, or `/info` about it.
#[derive(Debug, Clone)]
pub(crate) struct Processed {
    pub(crate) data: Bytes,
    pub(crate) content_type: &'static str,
}

/// Reads the header; `None` when it is no image that this emulator knows.
pub(crate) fn facts(data: &[u8]) -> Option<Facts> {
    let format = image::guess_format(data).ok()?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP) {
        return None;
    }
    let (width, height) = ImageReader::with_format(Cursor::new(data), format).into_dimensions().ok()?;
    Some(Facts { width, height, format })
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Resize {
    Width(u32),
    Height(u32),
    Longest(u32),
    Shortest(u32),
    Within(u32, u32),
    Cover(u32, u32),
    Percent(u32),
    Area(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    width: u32,
    height: u32,
    dx: i64,
    dy: i64,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Plan {
    info: bool,
    meta: Option<Meta>,
    resize: Option<Resize>,
    force: bool,
    crop: Option<Cut>,
    clip: Option<Cut>,
    gravity: (i64, i64),
    upright: bool,
    turn: u32,
    quality: Option<u8>,
    format: Option<&'static str>,
    ignore_error: bool,
}

fn bad(name: &str, value: &str) -> ImageRefusal {
    ImageRefusal::BadParameter(format!("/{name}/{value}"))
}

fn positive(name: &str, value: &str) -> Result<u32, ImageRefusal> {
    value.parse().ok().filter(|n| (1..=MAX_SIDE).contains(n)).ok_or_else(|| bad(name, value))
}

fn pair(name: &str, value: &str) -> Result<(u32, u32), ImageRefusal> {
    let (w, h) = value.split_once('x').ok_or_else(|| bad(name, value))?;
    Ok((positive(name, w)?, positive(name, h)?))
}

/// `<w>x<h>` and offsets like `a10a20`, where `s` counts backwards.
fn cut(name: &str, value: &str) -> Result<Cut, ImageRefusal> {
    let end = value.find(['a', 's']).unwrap_or(value.len());
    let (size, offsets) = value.split_at(end);
    let (width, height) = pair(name, size)?;
    let mut numbers = Vec::new();
    let mut rest = offsets;
    while let Some(sign) = rest.chars().next() {
        let tail = rest.get(1..).unwrap_or_default();
        let end = tail.find(['a', 's']).unwrap_or(tail.len());
        let number: i64 = tail.get(..end).and_then(|n| n.parse().ok()).ok_or_else(|| bad(name, value))?;
        numbers.push(if sign == 's' { -number } else { number });
        rest = tail.get(end..).unwrap_or_default();
    }
    match *numbers.as_slice() {
        [] => Ok(Cut { width, height, dx: 0, dy: 0 }),
        [dx, dy] => Ok(Cut { width, height, dx, dy }),
        _ => Err(bad(name, value)),
    }
}

fn flag(name: &str, value: &str) -> Result<bool, ImageRefusal> {
    value.parse().map_err(|_| bad(name, value))
}

fn plan(parameters: &str) -> Result<Plan, ImageRefusal> {
    let mut plan = Plan::default();
    let mut words = parameters.split('/').filter(|word| !word.is_empty()).peekable();
    while let Some(name) = words.next() {
        if name == "info" {
            plan.info = true;
            continue;
        }
        if name == "meta" {
            let more = [("iptc", Meta::Iptc), ("all", Meta::All)];
            let more = more.into_iter().find(|(word, _)| words.next_if_eq(word).is_some());
            plan.meta = Some(more.map_or(Meta::Exif, |(_, meta)| meta));
            continue;
        }
        let value = words.next().ok_or_else(|| bad(name, ""))?;
        match name {
            "fw" => plan.resize = Some(Resize::Width(positive(name, value)?)),
            "fh" => plan.resize = Some(Resize::Height(positive(name, value)?)),
            "max" => plan.resize = Some(Resize::Longest(positive(name, value)?)),
            "min" => plan.resize = Some(Resize::Shortest(positive(name, value)?)),
            "fwfh" => plan.resize = pair(name, value).map(|(w, h)| Some(Resize::Within(w, h)))?,
            "both" => plan.resize = pair(name, value).map(|(w, h)| Some(Resize::Cover(w, h)))?,
            "sq" => plan.resize = positive(name, value).map(|n| Some(Resize::Cover(n, n)))?,
            "scale" => {
                let percent =
                    positive(name, value).ok().filter(|n| *n <= 1000).ok_or_else(|| bad(name, value))?;
                plan.resize = Some(Resize::Percent(percent));
            }
            "fp" => {
                let area = value.parse().ok().filter(|n| (1..=MAX_PIXELS).contains(n));
                plan.resize = Some(Resize::Area(area.ok_or_else(|| bad(name, value))?));
            }
            "force" => plan.force = flag(name, value)?,
            "crop" => plan.crop = Some(cut(name, value)?),
            "clip" => plan.clip = Some(cut(name, value)?),
            "gravity" => plan.gravity = gravity(value).ok_or_else(|| bad(name, value))?,
            "rotate" if value == "auto" => plan.upright = true,
            "rotate" => {
                let turn = value.parse().ok().filter(|n: &u32| n.is_multiple_of(90) && *n <= 360);
                plan.turn = turn.ok_or_else(|| bad(name, value))?;
            }
            "quality" => {
                let quality = value.parse().ok().filter(|n| (1..=99).contains(n));
                plan.quality = Some(quality.ok_or_else(|| bad(name, value))?);
            }
            "format" => {
                let known = ["jpg", "png", "webp"].into_iter().find(|format| *format == value);
                plan.format = Some(known.ok_or_else(|| bad(name, value))?);
            }
            "ignore-error" => plan.ignore_error = flag(name, value)?,
            "compress" | "progressive" | "unsharp" | "noicc" | "strip" | "lossless" => {
                flag(name, value)?;
            }
            // Its other value would keep EXIF, which is not emulated.
            "exifswitch" if value == "false" => {}
            _ => return Err(bad(name, value)),
        }
    }
    Ok(plan)
}

/// Which part of the free space lies left of and above the cut, in halves.
fn gravity(value: &str) -> Option<(i64, i64)> {
    Some(match value {
        "northwest" => (0, 0),
        "north" => (1, 0),
        "northeast" => (2, 0),
        "west" => (0, 1),
        "center" => (1, 1),
        "east" => (2, 1),
        "southwest" => (0, 2),
        "south" => (1, 2),
        "southeast" => (2, 2),
        _ => return None,
    })
}

/// Whether parameters are ones the emulator knows; for styles that are set by hand.
pub(crate) fn check(parameters: &str) -> Result<(), String> {
    match plan(parameters) {
        Ok(_) => Ok(()),
        Err(ImageRefusal::BadParameter(which)) => Err(format!("the emulator does not know {which}")),
        Err(other) => Err(format!("{other:?}")),
    }
}

/// Processes an image. Blocks for as long as decoding takes.
pub(crate) fn process(data: &Bytes, parameters: &str) -> Result<Processed, ImageRefusal> {
    let plan = plan(parameters)?;
    match run(data, &plan) {
        Err(ImageRefusal::NotAnImage) if plan.ignore_error && facts(data).is_some() => {
            Ok(Processed { data: data.clone(), content_type: "image/jpeg" })
        }
        other => other,
    }
}

fn run(data: &Bytes, plan: &Plan) -> Result<Processed, ImageRefusal> {
    let facts = facts(data).ok_or(ImageRefusal::NotAnImage)?;
    if facts.width > MAX_SIDE || facts.height > MAX_SIDE {
        return Err(ImageRefusal::SideTooLong);
    }
    if u64::from(facts.width) * u64::from(facts.height) > MAX_PIXELS {
        return Err(ImageRefusal::TooManyPixels);
    }
    if plan.info || plan.meta.is_some() {
        // The key names of the real answer are unverified.
        let mut info = Map::new();
        info.insert("width".to_owned(), json!(facts.width));
        info.insert("height".to_owned(), json!(facts.height));
        info.insert("type".to_owned(), json!(facts.kind()));
        info.insert("frames".to_owned(), json!(1));
        if let Some(meta) = plan.meta {
            meta::tell(data, meta, &mut info);
        }
        let data = Value::Object(info).to_string().into();
        return Ok(Processed { data, content_type: "application/json" });
    }
    let mut decoder = ImageReader::with_format(Cursor::new(data), facts.format)
        .into_decoder()
        .map_err(|_| ImageRefusal::NotAnImage)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|_| ImageRefusal::NotAnImage)?;
    if plan.upright {
        image.apply_orientation(orientation);
    }
    image = match plan.turn % 360 {
        90 => image.rotate90(),
        180 => image.rotate180(),
        270 => image.rotate270(),
        _ => image,
    };
    if let Some(cut) = plan.crop {
        image = cropped(&image, cut, plan.gravity);
    }
    if let Some(resize) = plan.resize {
        image = resized(image, resize, plan.force)?;
    }
    if let Some(cut) = plan.clip {
        image = cropped(&image, cut, plan.gravity);
    }
    encode(&image, plan, facts.format)
}

fn cropped(image: &DynamicImage, cut: Cut, gravity: (i64, i64)) -> DynamicImage {
    let (width, height) = (cut.width.min(image.width()), cut.height.min(image.height()));
    let place = |free: u32, halves: i64, offset: i64| {
        let at = (i64::from(free) * halves / 2 + offset).clamp(0, i64::from(free));
        u32::try_from(at).unwrap_or(0)
    };
    let x = place(image.width() - width, gravity.0, cut.dx);
    let y = place(image.height() - height, gravity.1, cut.dy);
    image.crop_imm(x, y, width, height)
}

/// `n * to / from`, rounded, at least one pixel.
fn scaled(n: u32, to: u32, from: u32) -> u32 {
    let from = u64::from(from.max(1));
    u32::try_from((u64::from(n) * u64::from(to) + from / 2) / from).unwrap_or(u32::MAX).max(1)
}

fn resized(image: DynamicImage, resize: Resize, force: bool) -> Result<DynamicImage, ImageRefusal> {
    let (w, h) = (image.width(), image.height());
    let by_width = |to: u32| (to, scaled(h, to, w));
    let by_height = |to: u32| (scaled(w, to, h), to);
    let (image, target) = match resize {
        Resize::Width(to) => (image, by_width(to)),
        Resize::Height(to) => (image, by_height(to)),
        Resize::Longest(to) => (image, if w >= h { by_width(to) } else { by_height(to) }),
        Resize::Shortest(to) => (image, if w <= h { by_width(to) } else { by_height(to) }),
        Resize::Within(tw, th) => {
            let wide = u64::from(w) * u64::from(th) >= u64::from(h) * u64::from(tw);
            (image, if wide { by_width(tw) } else { by_height(th) })
        }
        Resize::Cover(tw, th) => {
            let wide = u64::from(w) * u64::from(th) >= u64::from(h) * u64::from(tw);
            let (width, height) =
                if wide { (scaled(tw, h, th).min(w), h) } else { (w, scaled(th, w, tw).min(h)) };
            let cut = Cut { width, height, dx: 0, dy: 0 };
            (cropped(&image, cut, (1, 1)), (tw, th))
        }
        Resize::Percent(percent) => {
            let target = (scaled(w, percent, 100), scaled(h, percent, 100));
            return shrink(&image, target);
        }
        Resize::Area(area) => {
            let pixels = u64::from(w) * u64::from(h);
            if pixels <= area {
                return Ok(image);
            }
            // In thousandths, so that no floating point decides about sizes.
            let thousandths = u32::try_from((area * 1_000_000 / pixels).isqrt()).unwrap_or(1000);
            let target = (scaled(w, thousandths, 1000), scaled(h, thousandths, 1000));
            return shrink(&image, target);
        }
    };
    let enlarges = target.0 > image.width() || target.1 > image.height();
    if enlarges && !force { Ok(image) } else { shrink(&image, target) }
}

fn shrink(image: &DynamicImage, (width, height): (u32, u32)) -> Result<DynamicImage, ImageRefusal> {
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(ImageRefusal::SideTooLong);
    }
    if (width, height) == (image.width(), image.height()) {
        return Ok(image.clone());
    }
    let (from, to) = ((image.width(), image.height()), (width, height));
    let made = if image.color().has_alpha() {
        let raw = resample::<pixels::U8x4>(&image.to_rgba8(), from, to)?;
        image::RgbaImage::from_raw(width, height, raw).map(DynamicImage::ImageRgba8)
    } else {
        let raw = resample::<pixels::U8x3>(&image.to_rgb8(), from, to)?;
        image::RgbImage::from_raw(width, height, raw).map(DynamicImage::ImageRgb8)
    };
    made.ok_or(ImageRefusal::NotAnImage)
}

/// By the type of the pixels: the library's untyped call would compile all fifteen types of them here.
fn resample<P: PixelTrait>(data: &[u8], from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>, ImageRefusal> {
    let source =
        TypedImageRef::<P>::from_buffer(from.0, from.1, data).map_err(|_| ImageRefusal::NotAnImage)?;
    let mut out = vec![0; to.0 as usize * to.1 as usize * P::size()];
    let mut target =
        TypedImage::<P>::from_buffer(to.0, to.1, &mut out).map_err(|_| ImageRefusal::NotAnImage)?;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|_| ImageRefusal::NotAnImage)?;
    Ok(out)
}

/// Pixels only: metadata of the original never gets out.
fn encode(image: &DynamicImage, plan: &Plan, source: ImageFormat) -> Result<Processed, ImageRefusal> {
    let format = match plan.format {
        Some("png") => ImageFormat::Png,
        Some("webp") => ImageFormat::WebP,
        Some(_) => ImageFormat::Jpeg,
        None => source,
    };
    let mut out = Cursor::new(Vec::new());
    let (result, content_type) = match format {
        ImageFormat::Png => (image.write_to(&mut out, format), "image/png"),
        ImageFormat::WebP => {
            let eight_bits = DynamicImage::ImageRgba8(image.to_rgba8());
            (eight_bits.write_to(&mut out, format), "image/webp")
        }
        _ => {
            let quality = plan.quality.unwrap_or(DEFAULT_QUALITY);
            let encoder = JpegEncoder::new_with_quality(&mut out, quality);
            (image.to_rgb8().write_with_encoder(encoder), "image/jpeg")
        }
    };
    result.map_err(|_| ImageRefusal::NotAnImage)?;
    Ok(Processed { data: out.into_inner().into(), content_type })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(width: u32, height: u32) -> Bytes {
        let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 128]));
        let mut out = Cursor::new(Vec::new());
        image.write_to(&mut out, ImageFormat::Png).unwrap();
        out.into_inner().into()
    }

    #[test]
    fn parameters_give_the_documented_sizes() {
        let source = sample(400, 200);
        for (parameters, expected) in [
            ("/fw/100", (100, 50)),
            ("/fh/100", (200, 100)),
            ("/max/100", (100, 50)),
            ("/min/100", (200, 100)),
            ("/fwfh/100x100", (100, 50)),
            ("/both/100x100", (100, 100)),
            ("/sq/50", (50, 50)),
            ("/scale/50", (200, 100)),
            ("/fp/20000", (200, 100)),
            ("/fw/800", (400, 200)),
            ("/fw/800/force/true", (800, 400)),
            ("/crop/100x80a10a10", (100, 80)),
            ("/fw/100/clip/30x30/gravity/center", (30, 30)),
            ("/rotate/90", (200, 400)),
            ("/fw/100/quality/80/format/webp", (100, 50)),
        ] {
            let made = process(&source, parameters).unwrap();
            let facts = facts(&made.data).unwrap();
            assert_eq!((facts.width, facts.height), expected, "{parameters}");
        }
    }

    #[test]
    fn meta_tells_what_a_file_says_of_itself() {
        let lens = b"II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x1a\0\0\0\0\0\0\0\
                     \x01\0\x34\xa4\x02\0\x03\0\0\0\x35\x30\0\0\0\0\0\0";
        let exif = [&b"Exif\0\0"[..], lens].concat();
        let xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>";
        let iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0b\x1c\x02\x5a\0\x05Paris";
        let mut plain = Cursor::new(Vec::new());
        image::RgbImage::new(8, 8).write_to(&mut plain, ImageFormat::Jpeg).unwrap();
        let plain = plain.into_inner();
        let mut file = plain[..2].to_vec();
        for (marker, payload) in [(0xE1, &exif[..]), (0xE1, xmp), (0xED, iptc)] {
            file.extend_from_slice(&[0xFF, marker]);
            file.extend_from_slice(&u16::try_from(payload.len() + 2).unwrap().to_be_bytes());
            file.extend_from_slice(payload);
        }
        file.extend_from_slice(&plain[2..]);
        let told = |parameters: &str| -> Value {
            let made = process(&file.clone().into(), parameters).unwrap();
            assert_eq!(made.content_type, "application/json");
            serde_json::from_slice(&made.data).unwrap()
        };
        let basic = told("/meta");
        assert_eq!((&basic["width"], &basic["EXIF"]), (&json!(8), &json!({"0xA434": "50"})));
        assert!(basic.get("IPTC").is_none() && basic.get("XMP").is_none());
        assert_eq!(told("/meta/iptc")["IPTC"], json!({"2:90": "Paris"}));
        let all = told("/meta/all");
        assert_eq!((&all["XMP"], &all["IPTC"]["2:90"]), (&json!("<x:xmpmeta/>"), &json!("Paris")));
        assert_eq!(told("/info").get("EXIF"), None);
    }

    #[test]
    fn bad_parameters_and_files_that_are_no_images_are_refused() {
        let source = sample(20, 10);
        for parameters in
            ["/fw/0", "/fw/x", "/fw", "/nothing/1", "/quality/100", "/format/avif", "/crop/1x1a1"]
        {
            let refused = process(&source, parameters).unwrap_err();
            assert!(matches!(refused, ImageRefusal::BadParameter(_)), "{parameters}: {refused:?}");
        }
        assert_eq!(process(&"text".into(), "/fw/10").unwrap_err(), ImageRefusal::NotAnImage);
        assert!(check("/max/600/rotate/auto/quality/85").is_ok());
        assert!(check("/exifswitch/true").is_err());
    }
}
