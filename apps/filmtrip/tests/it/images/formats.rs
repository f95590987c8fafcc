//! Every format and sample layout comes out as the picture it is.

use std::io::Cursor;

use filmtrip::images::{Format, ImageError, media_type};
use image::{GrayImage, ImageFormat, Luma};
use tiff::encoder::{Compression, TiffEncoder, colortype};

use super::files::*;

#[test]
fn only_the_four_types_are_recognised_by_their_bytes() {
    assert_eq!(Format::sniff(&[0xFF, 0xD8, 0xFF, 0xE0]), Some(Format::Jpeg));
    assert_eq!(Format::sniff(b"\x89PNG\r\n\x1a\n...."), Some(Format::Png));
    assert_eq!(Format::sniff(b"RIFF\0\0\0\0WEBPVP8 "), Some(Format::Webp));
    assert_eq!(Format::sniff(b"II*\0\x08\0\0\0"), Some(Format::Tiff));
    assert_eq!(Format::sniff(b"MM\0*\0\0\0\x08"), Some(Format::Tiff));
    let heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    let avif = b"\0\0\0\x18ftypavif\0\0\0\0mif1avif";
    for bad in [&b"<svg xmlns="[..], b"GIF89a", heic, avif, b"II+\0", b"RIFF\0\0\0\0WAVE", b"BM", b""] {
        assert_eq!(Format::sniff(bad), None);
        assert!(matches!(inspect(bad), Err(ImageError::Type)));
    }
    assert_eq!((Format::Tiff.extension(), media_type("tif")), ("tif", "image/tiff"));
}

#[test]
fn jpeg_png_and_webp_keep_their_picture() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let done = process(&encoded(&quarters(900, 700), format));
        assert_eq!((done.width, done.height), (900, 700), "{format:?}");
        done.jpegs.iter().for_each(|jpeg| assert_quarters(jpeg, [RED, GREEN, BLUE, GREY]));
    }
}

#[test]
fn large_images_are_averaged_while_they_are_read() {
    // 4500 pixels wide: a factor of two for JPEG and for the row formats.
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        let done = process(&encoded(&quarters(4500, 901), format));
        assert_eq!((done.width, done.height), (4500, 901));
        assert_eq!(done.sizes.large, (2048, 410), "{format:?}");
        done.jpegs.iter().for_each(|jpeg| assert_quarters(jpeg, [RED, GREEN, BLUE, GREY]));
    }
}

#[test]
fn grey_palette_deep_and_interlaced_png() {
    let level = |jpeg: &[u8]| decoded(jpeg).get_pixel(5, 5).0;
    let mut grey = Vec::new();
    GrayImage::from_pixel(20, 20, Luma([77]))
        .write_to(&mut Cursor::new(&mut grey), ImageFormat::Png)
        .expect("encodes");
    assert!(near(level(&process(&grey).jpegs[2]), [77; 3]));

    let mut deep = Vec::new();
    image::ImageBuffer::from_pixel(20, 20, image::Rgba([0xFFFF_u16, 0x8080, 0, 0x8080]))
        .write_to(&mut Cursor::new(&mut deep), ImageFormat::Png)
        .expect("encodes");
    // Half transparent, on white.
    assert!(near(level(&process(&deep).jpegs[2]), [255, 191, 127]));

    let zlib = |raw: &[u8]| {
        let mut out = flate(raw);
        out.shrink_to_fit();
        out
    };
    let palette = [RED, GREEN].concat();
    // One bit a pixel, eight pixels wide: red and green in turns of four, four rows.
    let rows: Vec<u8> = [0, 0b0000_1111].repeat(4);
    let indexed = png([8, 4], [1, 3, 0], &[(b"PLTE", palette), (b"IDAT", zlib(&rows))]);
    let pixels = decoded(&process(&indexed).jpegs[2]);
    assert!(near(pixels.get_pixel(0, 1).0, RED) && near(pixels.get_pixel(7, 1).0, GREEN));

    // Adam7 of 8 x 8 grey pixels, all of one level: seven passes of (filter, pixels) rows.
    let passes: [(usize, usize); 7] = [(1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4)];
    let mut rows = Vec::new();
    for (width, height) in passes {
        rows.extend([&[0][..], &vec![90; width]].concat().repeat(height));
    }
    let interlaced = png([8, 8], [8, 0, 1], &[(b"IDAT", zlib(&rows))]);
    assert!(near(level(&process(&interlaced).jpegs[2]), [90; 3]));
}

/// Stored, not compressed: enough for a few rows.
fn flate(raw: &[u8]) -> Vec<u8> {
    let length = u16::try_from(raw.len()).expect("short");
    let mut sums = (1u32, 0u32);
    for byte in raw {
        sums.0 = (sums.0 + u32::from(*byte)) % 65_521;
        sums.1 = (sums.1 + sums.0) % 65_521;
    }
    let adler = (sums.1 << 16 | sums.0).to_be_bytes();
    [&[0x78, 0x01, 0x01][..], &length.to_le_bytes(), &(!length).to_le_bytes(), raw, &adler].concat()
}

fn scan<C: colortype::ColorType>(data: &[C::Inner], compression: Compression, rows: u32) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut out = Cursor::new(Vec::new());
    let mut tiff = TiffEncoder::new(&mut out).expect("starts").with_compression(compression);
    let mut image = tiff.new_image::<C>(60, 40).expect("an image");
    image.rows_per_strip(rows).expect("strips");
    image.write_data(data).expect("writes");
    out.into_inner()
}

#[test]
fn tiff_of_eight_and_sixteen_bits_in_every_compression() {
    let pixels = quarters(60, 40);
    let deep: Vec<u16> = pixels.as_raw().iter().map(|n| u16::from(*n) * 257).collect();
    let all = [
        Compression::Uncompressed,
        Compression::Lzw,
        Compression::Deflate(Default::default()),
        Compression::Packbits,
    ];
    for compression in all {
        for rows in [40, 7] {
            for file in [
                scan::<colortype::RGB8>(pixels.as_raw(), compression, rows),
                scan::<colortype::RGB16>(&deep, compression, rows),
            ] {
                let done = process(&file);
                assert_eq!((done.width, done.height), (60, 40));
                assert_quarters(&done.jpegs[2], [RED, GREEN, BLUE, GREY]);
            }
        }
        let grey: Vec<u16> = vec![0x4040; 60 * 40];
        let done = process(&scan::<colortype::Gray16>(&grey, compression, 11));
        assert!(near(decoded(&done.jpegs[0]).get_pixel(30, 20).0, [0x40; 3]));
    }
}

/// Tags of an uncompressed TIFF of 20 x 20 pixels.
fn tags(bits: u32, photometric: u32, samples: u32) -> Vec<(u16, Vec<u32>)> {
    vec![
        (256, vec![20]),
        (257, vec![20]),
        (258, vec![bits; samples as usize]),
        (259, vec![1]),
        (262, vec![photometric]),
        (277, vec![samples]),
    ]
}

fn strips(tags: Vec<(u16, Vec<u32>)>) -> Vec<(u16, Vec<u32>)> {
    [tags, vec![(278, vec![20])]].concat()
}

#[test]
fn tiff_in_both_byte_orders_and_with_white_as_zero() {
    for big in [true, false] {
        let sample: [u8; 2] = if big { [0x40, 0x41] } else { [0x41, 0x40] };
        let file = tiff(big, &strips(tags(16, 1, 1)), 273, &[sample.repeat(400)]);
        assert!(near(decoded(&process(&file).jpegs[2]).get_pixel(9, 9).0, [0x40; 3]));
        let inverted = tiff(big, &strips(tags(16, 0, 1)), 273, &[sample.repeat(400)]);
        assert!(near(decoded(&process(&inverted).jpegs[2]).get_pixel(9, 9).0, [0xBF; 3]));
    }
}

#[test]
fn tiff_with_infrared_alpha_or_ink() {
    let pixel = |file: &[u8]| decoded(&process(file).jpegs[2]).get_pixel(9, 9).0;
    let four: Vec<u8> = [200, 100, 50, 51].repeat(400);
    // A fourth channel of no declared meaning is infrared; of meaning 2 it is alpha.
    let infrared = [strips(tags(8, 2, 4)), vec![(338, vec![0])]].concat();
    assert!(near(pixel(&tiff(false, &infrared, 273, std::slice::from_ref(&four))), [200, 100, 50]));
    let alpha = [strips(tags(8, 2, 4)), vec![(338, vec![2])]].concat();
    assert!(near(pixel(&tiff(false, &alpha, 273, &[four])), [244, 224, 214]));
    let ink: Vec<u8> = [255, 0, 0, 0].repeat(400);
    assert!(near(pixel(&tiff(false, &strips(tags(8, 5, 4)), 273, &[ink])), [0, 255, 255]));
}

#[test]
fn tiff_in_tiles_that_reach_beyond_the_edge() {
    // 20 x 20 in tiles of 16: a second column and row of four pixels that count.
    let tiled = [tags(8, 1, 1), vec![(322, vec![16]), (323, vec![16])]].concat();
    let chunks: Vec<Vec<u8>> = [40, 90, 140, 190].iter().map(|level| vec![*level; 256]).collect();
    let pixels = decoded(&process(&tiff(false, &tiled, 324, &chunks)).jpegs[2]);
    for (x, y, level) in [(4, 4, 40), (18, 4, 90), (4, 18, 140), (18, 18, 190)] {
        let found = pixels.get_pixel(x, y).0;
        assert!(found[0].abs_diff(level) < 20, "{x},{y}: {found:?} is not {level}");
    }
}

#[test]
fn tiff_of_kinds_that_are_not_read_is_refused_by_its_header() {
    let one_bit = tiff(false, &strips(tags(1, 1, 1)), 273, &[vec![0; 60]]);
    let planar = tiff(false, &[strips(tags(8, 2, 3)), vec![(284, vec![2])]].concat(), 273, &[vec![0; 1200]]);
    let float = tiff(false, &[strips(tags(32, 1, 1)), vec![(339, vec![3])]].concat(), 273, &[vec![0; 1600]]);
    for file in [one_bit, planar, float] {
        assert!(matches!(inspect(&file), Err(ImageError::Broken(_))));
    }
}
