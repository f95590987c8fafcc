//! Uploaded bytes, from their header to the stored sizes.
#![no_main]

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Field, In, Rational, Tag, Value};
use filmtrip_images::sample;
use libfuzzer_sys::fuzz_target;

/// A small photo as every type that may be uploaded, and as some of their kinds.
fn seeds() -> Vec<Vec<u8>> {
    let jpeg = sample::photo(48, 32, 1).expect("sample");
    let pixels = image::load_from_memory(&jpeg).expect("decodes").into_rgb8();
    let (width, height) = pixels.dimensions();
    let mut all = vec![jpeg.clone()];

    let exif = exif_block();
    let mut turned = jpeg[..2].to_vec();
    turned.extend_from_slice(&[0xFF, 0xE1]);
    turned.extend_from_slice(&u16::try_from(exif.len() + 8).expect("short").to_be_bytes());
    turned.extend_from_slice(b"Exif\0\0");
    turned.extend_from_slice(&exif);
    turned.extend_from_slice(&jpeg[2..]);
    all.push(turned);

    for (colour, depth, data) in [
        (png::ColorType::Rgb, png::BitDepth::Eight, pixels.as_raw().clone()),
        (png::ColorType::Rgb, png::BitDepth::Sixteen, pixels.iter().flat_map(|v| [*v, *v]).collect()),
        (png::ColorType::Grayscale, png::BitDepth::Eight, pixels.pixels().map(|p| p.0[1]).collect()),
        (
            png::ColorType::Rgba,
            png::BitDepth::Eight,
            pixels.pixels().flat_map(|p| [p.0[0], p.0[1], p.0[2], 128]).collect(),
        ),
    ] {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, width, height);
        encoder.set_color(colour);
        encoder.set_depth(depth);
        let mut writer = encoder.write_header().expect("PNG");
        writer.write_image_data(&data).expect("PNG");
        writer.finish().expect("PNG");
        all.push(out);
    }

    let mut webp = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut webp);
    encoder.encode(pixels.as_raw(), width, height, image_webp::ColorType::Rgb8).expect("WebP");
    all.push(webp);

    for compression in [tiff::encoder::Compression::Uncompressed, tiff::encoder::Compression::Lzw] {
        let mut out = Cursor::new(Vec::new());
        let mut encoder =
            tiff::encoder::TiffEncoder::new(&mut out).expect("TIFF").with_compression(compression);
        encoder.write_image::<tiff::encoder::colortype::RGB8>(width, height, pixels.as_raw()).expect("TIFF");
        all.push(out.into_inner());
    }
    // One that is refused would only teach how to be refused.
    for (n, seed) in all.iter().enumerate() {
        assert!(filmtrip_images::fuzz_decode(seed), "seed {n} is no photo");
    }
    all
}

/// Orientation, camera, exposure and place.
fn exif_block() -> Vec<u8> {
    let ratio = |num, denom| Rational { num, denom };
    let place = Value::Rational(vec![ratio(31, 1), ratio(13, 1), ratio(4567, 100)]);
    let fields = [
        (Tag::Orientation, Value::Short(vec![6])),
        (Tag::Make, Value::Ascii(vec![b"Example".to_vec()])),
        (Tag::DateTimeOriginal, Value::Ascii(vec![b"2026:11:23 10:20:30".to_vec()])),
        (Tag::ExposureTime, Value::Rational(vec![ratio(1, 125)])),
        (Tag::GPSLatitudeRef, Value::Ascii(vec![b"N".to_vec()])),
        (Tag::GPSLatitude, place.clone()),
        (Tag::GPSLongitudeRef, Value::Ascii(vec![b"E".to_vec()])),
        (Tag::GPSLongitude, place),
    ]
    .map(|(tag, value)| Field { tag, ifd_num: In::PRIMARY, value });
    let mut writer = Writer::new();
    for field in &fields {
        writer.push_field(field);
    }
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, true).expect("EXIF");
    block.into_inner()
}

fuzz_target!(
    init: safelight_fuzz::seed(seeds),
    |data: &[u8]| {
        filmtrip_images::fuzz_decode(data);
    }
);
