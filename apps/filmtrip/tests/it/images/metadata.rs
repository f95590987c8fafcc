//! EXIF: what is read of it, what never gets out, and what hostile blocks do.

use exif::{Rational, Tag, Value};
use filmtrip::images::{self, Exif, Options, Processed};
use image::ImageFormat;

use super::files::*;

fn degrees(d: u32, m: u32, s: u32) -> Value {
    Value::Rational([d, m, s].map(|num| Rational { num, denom: 1 }).to_vec())
}

fn ratio(num: u32, denom: u32) -> Value {
    Value::Rational(vec![Rational { num, denom }])
}

fn block() -> Vec<u8> {
    exif_block(&[
        (Tag::Make, ascii("  Nikon\u{7} ")),
        (Tag::Model, ascii("F3 <b>HP</b>")),
        (Tag::ImageDescription, ascii("HOME-ADDRESS-1")),
        (Tag::LensModel, ascii(&"L".repeat(500))),
        (Tag::DateTimeOriginal, ascii("1999:12:31 23:59:59")),
        (Tag::ExposureTime, ratio(1, 250)),
        (Tag::FNumber, ratio(28, 10)),
        (Tag::PhotographicSensitivity, Value::Short(vec![400])),
        (Tag::FocalLength, ratio(50, 1)),
        (Tag::GPSLatitudeRef, ascii("S")),
        (Tag::GPSLatitude, degrees(33, 51, 36)),
        (Tag::GPSLongitudeRef, ascii("E")),
        (Tag::GPSLongitude, degrees(151, 12, 0)),
    ])
}

fn png_with(block: &[u8]) -> Vec<u8> {
    let mut info = png::Info::with_size(64, 64);
    info.color_type = png::ColorType::Rgb;
    info.bit_depth = png::BitDepth::Eight;
    info.exif_metadata = Some(block.to_vec().into());
    let mut file = Vec::new();
    let mut writer = png::Encoder::with_info(&mut file, info).expect("info").write_header().expect("header");
    writer.write_image_data(&RED.repeat(64 * 64)).expect("pixels");
    writer.finish().expect("end");
    file
}

fn webp_with(block: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = image_webp::WebPEncoder::new(&mut file);
    encoder.set_exif_metadata(block.to_vec());
    encoder.encode(&RED.repeat(64 * 64), 64, 64, image_webp::ColorType::Rgb8).expect("encodes");
    file
}

fn jpeg_with(block: &[u8]) -> Vec<u8> {
    with_exif(&encoded(&quarters(800, 600), ImageFormat::Jpeg), block)
}

#[test]
fn exif_is_read_from_jpeg_png_and_webp_and_is_in_no_output() {
    let options = Options { webp: true, ..Options::default() };
    for file in [jpeg_with(&block()), png_with(&block()), webp_with(&block())] {
        assert!(contains(&file, b"HOME-ADDRESS"));
        let done = process_with(&file, &options).expect("processes");
        let exif = &done.exif;
        assert_eq!(exif.make.as_deref(), Some("Nikon"));
        assert_eq!(exif.model.as_deref(), Some("F3 <b>HP</b>"), "escaping is the page's work");
        assert_eq!(exif.lens.as_ref().map(String::len), Some(120));
        assert_eq!(exif.taken_at.as_deref(), Some("1999-12-31T23:59:59"));
        assert_eq!((exif.exposure_seconds, exif.f_number), (Some(0.004), Some(2.8)));
        assert_eq!((exif.iso, exif.focal_mm), (Some(400), Some(50.0)));
        let (latitude, longitude) = exif.gps.expect("a position");
        assert!((latitude + 33.86).abs() < 1e-9 && (longitude - 151.2).abs() < 1e-9);
        assert_clean(&done);
    }
}

fn assert_clean(done: &Processed) {
    let webps = done.webps.iter().flatten();
    for out in done.jpegs.iter().chain(webps) {
        for trace in [&b"HOME-ADDRESS"[..], b"Exif", b"EXIF", b"Nikon", b"ICC_PROFILE", b"ICCP", b"XMP"] {
            assert!(!contains(out, trace), "{} in an output", String::from_utf8_lossy(trace));
        }
    }
}

#[test]
fn profiles_and_comments_are_in_no_output() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().expect("encodes");
    let file = with_profile(&encoded(&quarters(80, 60), ImageFormat::Jpeg), &profile);
    let file =
        with_segment(&with_segment(&file, 0xFE, b"HOME-ADDRESS"), 0xED, b"Photoshop 3.0\0HOME-ADDRESS");
    assert_clean(&process_with(&file, &Options { webp: true, ..Options::default() }).expect("processes"));
}

fn plain(bytes: &[u8]) -> Result<(Exif, u16), String> {
    let file = on_disk(bytes);
    images::plain(file.path(), images::inspect(file.path(), MAX_PIXELS).expect("an image").format)
}

/// A WebP with one chunk more.
fn webp_and(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut file = webp_with(&orientation(1));
    file.extend_from_slice(name);
    file.extend_from_slice(&u32::try_from(data.len()).expect("short").to_le_bytes());
    file.extend_from_slice(data);
    let size = u32::try_from(file.len() - 8).expect("short");
    file[4..8].copy_from_slice(&size.to_le_bytes());
    file
}

#[test]
fn only_files_that_say_nothing_else_are_plain() {
    let taken = exif_block(&[
        (Tag::Make, ascii("Nikon")),
        (Tag::Orientation, Value::Short(vec![6])),
        (Tag::FNumber, ratio(28, 10)),
    ]);
    for file in [jpeg_with(&taken), png_with(&taken), webp_with(&taken)] {
        let (exif, orientation) = plain(&file).expect("how it was taken is no secret");
        assert_eq!((exif.make.as_deref(), exif.f_number, orientation), (Some("Nikon"), Some(2.8), 6));
    }
    let bare = encoded(&quarters(80, 60), ImageFormat::Jpeg);
    let profile = moxcms::ColorProfile::new_display_p3().encode().expect("encodes");
    for harmless in [bare.clone(), with_profile(&bare, &profile), webp_and(b"ANIM", b"123456")] {
        assert_eq!(plain(&harmless).expect("nothing but pixels").0, Exif::default());
    }
    let pixels = png([1, 1], [8, 0, 0], &[(b"IDAT", Vec::new())]);
    let text =
        png([1, 1], [8, 0, 0], &[(b"IDAT", Vec::new()), (b"tEXt", b"Raw profile type exif\0x".to_vec())]);
    let of_png = |bytes: &[u8]| images::plain(on_disk(bytes).path(), images::Format::Png);
    assert_eq!(of_png(&pixels), Ok((Exif::default(), 0)));
    let mut late = bare.clone();
    let end = late.len() - 2;
    late.splice(end.., [0xFF, 0xE1, 0, 8, b'<', b'x', b'm', b'p', b'>', b' ', 0xFF, 0xD9]);
    let twice = with_exif(&with_exif(&bare, &taken), &block());
    let cut = jpeg_with(&taken[..taken.len() - 3]);
    for (what, told) in [
        ("a place", plain(&jpeg_with(&block()))),
        ("a place, in PNG", plain(&png_with(&block()))),
        ("a place, in WebP", plain(&webp_with(&block()))),
        ("XMP", plain(&with_segment(&bare, 0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"))),
        ("XMP, in WebP", plain(&webp_and(b"XMP ", b"<x/>"))),
        ("IPTC", plain(&with_segment(&bare, 0xED, b"Photoshop 3.0\0"))),
        ("a comment", plain(&with_segment(&bare, 0xFE, b"home"))),
        ("a text, in PNG", of_png(&text)),
        ("a segment behind the pixels", plain(&late)),
        ("a second block", plain(&twice)),
        ("a block that is cut off", plain(&cut)),
        ("a file without an end", plain(&bare[..bare.len() - 2])),
    ] {
        assert!(told.is_err(), "{what}: {told:?}");
    }
}

#[test]
fn all_eight_orientations_come_out_upright() {
    let plain = encoded(&quarters(1200, 800), ImageFormat::Jpeg);
    let (r, g, b, w) = (RED, GREEN, BLUE, GREY);
    let upright = [
        [r, g, b, w],
        [g, r, w, b],
        [w, b, g, r],
        [b, w, r, g],
        [r, b, g, w],
        [b, r, w, g],
        [w, g, b, r],
        [g, w, r, b],
    ];
    for (value, wanted) in (1..).zip(upright) {
        let done = process(&with_exif(&plain, &orientation(value)));
        let turned = value >= 5;
        let (size, preview) = if turned { ((800, 1200), (683, 1024)) } else { ((1200, 800), (1024, 683)) };
        assert_eq!((done.width, done.height), size, "orientation {value}");
        assert_eq!((done.sizes.large, done.sizes.preview), (size, preview), "orientation {value}");
        done.jpegs.iter().for_each(|jpeg| assert_quarters(jpeg, wanted));
    }
}

#[test]
fn tiff_has_its_own_tags_as_exif() {
    let mut out = std::io::Cursor::new(Vec::new());
    let mut tiff = tiff::encoder::TiffEncoder::new(&mut out).expect("starts");
    let mut exif = tiff.extra_directory().expect("a directory");
    exif.write_tag(tiff::tags::Tag::Unknown(0x9003), "2001:02:03 04:05:06").expect("date");
    exif.write_tag(tiff::tags::Tag::Unknown(0x8827), 1600u16).expect("iso");
    let exif = exif.finish_with_offsets().expect("ends").offset;
    let mut image = tiff.new_image::<tiff::encoder::colortype::Gray8>(40, 20).expect("an image");
    image.encoder().write_tag(tiff::tags::Tag::Make, "Nikon").expect("make");
    image.encoder().write_tag(tiff::tags::Tag::Model, "LS-5000 ED").expect("model");
    image.encoder().write_tag(tiff::tags::Tag::Orientation, 6u16).expect("orientation");
    image.encoder().write_tag(tiff::tags::Tag::ExifDirectory, exif).expect("exif");
    image.write_data(&[50; 800]).expect("pixels");
    let done = process(&out.into_inner());
    assert_eq!((done.width, done.height), (20, 40));
    assert_eq!(done.exif.make.as_deref(), Some("Nikon"));
    assert_eq!(done.exif.model.as_deref(), Some("LS-5000 ED"));
    assert_eq!(done.exif.taken_at.as_deref(), Some("2001-02-03T04:05:06"));
    assert_eq!(done.exif.iso, Some(1600));
}

#[test]
fn hostile_exif_does_not_cost_the_photo() {
    let good = block();
    let mut states: Vec<Vec<u8>> = (0..good.len()).step_by(11).map(|cut| good[..cut].to_vec()).collect();
    for at in (4..good.len()).step_by(3) {
        let mut bent = good.clone();
        bent[at] = 0xFF;
        states.push(bent);
    }
    // A directory that names itself as the next one, and values that mean nothing.
    states.push(b"II*\0\x08\0\0\0\0\0\x08\0\0\0".to_vec());
    for block in states {
        let done = process(&with_exif(&encoded(&quarters(32, 24), ImageFormat::Jpeg), &block));
        assert!(done.exif.lens.is_none_or(|text| text.chars().count() <= 120));
    }
    let nonsense = exif_block(&[
        (Tag::DateTimeOriginal, ascii("0000:00:00 00:00:00")),
        (Tag::ExposureTime, ratio(1, 0)),
        (Tag::FNumber, ratio(0, 0)),
        (Tag::Orientation, Value::Short(vec![77])),
        (Tag::GPSLatitudeRef, ascii("N")),
        (Tag::GPSLatitude, degrees(400, 0, 0)),
        (Tag::GPSLongitudeRef, ascii("E")),
        (Tag::GPSLongitude, degrees(1, 0, 0)),
    ]);
    assert_eq!(process(&jpeg_with(&nonsense)).exif, Exif::default());
}
