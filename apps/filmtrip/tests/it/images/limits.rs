//! Bombs and broken files: refused by what they declare, before they cost memory, or by an error.

use std::io::Cursor;

use filmtrip::images::{self, ImageError, Options};
use image::ImageFormat;
use tiff::encoder::{Compression, TiffEncoder, colortype};

use super::files::*;

/// A progressive JPEG that is nothing but headers: each empty scan is a pass over the whole image.
pub(super) fn scans(width: u16, height: u16, scans: usize, padding: usize) -> Vec<u8> {
    let mut out = vec![0xFF, 0xD8];
    let mut add = |marker: u8, payload: &[u8]| {
        out.extend_from_slice(&[0xFF, marker]);
        out.extend_from_slice(&u16::try_from(payload.len() + 2).expect("short").to_be_bytes());
        out.extend_from_slice(payload);
    };
    add(0xDB, &[&[0][..], &[1; 64]].concat());
    let (w, h) = (width.to_be_bytes(), height.to_be_bytes());
    add(0xC2, &[8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
    let table = |class: u8| [&[class, 1][..], &[0; 15], &[0]].concat();
    add(0xC4, &table(0x00));
    add(0xC4, &table(0x10));
    add(0xDA, &[1, 1, 0, 0, 0, 0]);
    for _ in 0..scans {
        add(0xDA, &[1, 1, 0, 1, 63, 0]);
    }
    out.extend_from_slice(&[0xFF, 0xD9]);
    out.resize(out.len() + padding, 0);
    out
}

fn too_expensive(bytes: &[u8]) -> bool {
    matches!(inspect(bytes), Err(ImageError::TooExpensive(_)))
}

fn too_many_pixels(bytes: &[u8]) -> bool {
    matches!(inspect(bytes), Err(ImageError::TooManyPixels { .. }))
}

#[test]
fn what_declares_too_many_pixels_is_refused_by_its_header() {
    let idat = || vec![(b"IDAT", vec![0x78, 0x9C, 0x63, 0, 0, 0, 1, 0, 1])];
    assert!(too_many_pixels(&png([60_000, 10], [8, 2, 0], &idat())));
    assert!(too_many_pixels(&png([15_000, 15_000], [8, 2, 0], &idat())));
    assert!(too_many_pixels(&scans(65_500, 65_500, 20, 0)));
    let huge = |side| {
        vec![
            (256, vec![side]),
            (257, vec![side]),
            (258, vec![8]),
            (259, vec![1]),
            (262, vec![1]),
            (277, vec![1]),
            (278, vec![side]),
        ]
    };
    assert!(too_many_pixels(&tiff(false, &huge(20_001), 273, &[vec![0; 100]])));
    let file = on_disk(&encoded(&quarters(40, 30), ImageFormat::Png));
    let refused = images::inspect(file.path(), 1199);
    assert!(matches!(refused, Err(ImageError::TooManyPixels { max_pixels: 1199, .. })));
    assert!(images::inspect(file.path(), 1200).is_ok());
}

#[test]
fn a_few_bytes_cannot_declare_many_megapixels() {
    let bomb = scans(14_000, 14_000, 30, 0);
    assert!(bomb.len() < 500);
    assert!(too_expensive(&bomb));
    assert!(too_expensive(&png([10_000, 10_000], [8, 2, 0], &[(b"IDAT", vec![0x78, 0x9C])])));
    // A lossless WebP of 14,000 x 14,000 by its header.
    let bits = 13_999u32 | 13_999 << 14;
    let vp8l = [&b"VP8L\x0A\0\0\0\x2F"[..], &bits.to_le_bytes(), &[0; 5]].concat();
    let webp = [&b"RIFF"[..], &22u32.to_le_bytes(), b"WEBP", &vp8l].concat();
    assert!(too_expensive(&webp), "{:?}", inspect(&webp));
    // Blank paper, well compressed, is no bomb.
    assert!(inspect(&encoded(&image::RgbImage::new(3000, 2000), ImageFormat::Png)).is_ok());
}

#[test]
fn what_would_take_too_much_memory_is_refused_by_its_header() {
    // Enough bytes to be plausible. Interlaced: rows are complete only at the end.
    let filled = |interlace| png([13_000, 15_000], [16, 6, interlace], &[(b"IDAT", vec![0; 200_000])]);
    assert!(too_expensive(&filled(1)));
    assert!(inspect(&filled(0)).is_ok(), "by rows it is cheap");
    let tags = |compression| {
        let one_strip = vec![(277, vec![3]), (278, vec![15_000])];
        let tags = vec![
            (256, vec![13_000]),
            (257, vec![15_000]),
            (258, vec![16; 3]),
            (259, vec![compression]),
            (262, vec![2]),
        ];
        tiff(false, &[tags, one_strip].concat(), 273, &[vec![0; 200_000]])
    };
    assert!(too_expensive(&tags(8)), "one compressed strip is the whole image");
    let plain = inspect(&tags(1)).expect("an uncompressed strip is read by rows");
    assert!(plain.memory < 64 << 20, "{}", plain.memory);
}

#[test]
fn endless_scans_are_refused() {
    let refused = process_with(&scans(800, 800, 120, 0), &Options::default());
    assert!(matches!(refused, Err(ImageError::TooExpensive(_))), "{refused:?}");
}

#[test]
fn a_profile_that_unpacks_to_very_much_is_not_unpacked() {
    let mut info = png::Info::with_size(8, 8);
    info.color_type = png::ColorType::Rgb;
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = Some(vec![0; 64 << 20].into());
    let mut file = Vec::new();
    let mut writer = png::Encoder::with_info(&mut file, info).expect("info").write_header().expect("header");
    writer.write_image_data(&RED.repeat(64)).expect("pixels");
    writer.finish().expect("end");
    assert!(file.len() < 1 << 20, "{}", file.len());
    let done = process_with(&file, &Options::default());
    assert!(done.as_ref().is_ok_and(|d| near(decoded(&d.jpegs[2]).get_pixel(4, 4).0, RED)), "{done:?}");
}

fn deflated_tiff() -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let mut tiff = TiffEncoder::new(&mut out)
        .expect("starts")
        .with_compression(Compression::Deflate(Default::default()));
    tiff.write_image::<colortype::RGB8>(90, 70, quarters(90, 70).as_raw()).expect("writes");
    out.into_inner()
}

#[test]
fn files_cut_anywhere_are_refused_and_nothing_panics() {
    let pixels = quarters(90, 70);
    let files = [
        encoded(&pixels, ImageFormat::Jpeg),
        encoded(&pixels, ImageFormat::Png),
        encoded(&pixels, ImageFormat::WebP),
        deflated_tiff(),
    ];
    for file in files {
        assert!(process_with(&file, &Options::default()).is_ok());
        for cut in (0..file.len() * 9 / 10).step_by(13) {
            let done = process_with(&file[..cut], &Options::default());
            assert!(done.is_err(), "{cut} of {} bytes are no image", file.len());
        }
    }
}

#[test]
fn bent_files_are_refused_or_shown_and_nothing_panics() {
    let pixels = quarters(90, 70);
    let files = [
        encoded(&pixels, ImageFormat::Jpeg),
        encoded(&pixels, ImageFormat::Png),
        encoded(&pixels, ImageFormat::WebP),
        deflated_tiff(),
    ];
    let mut shown = 0;
    for file in files {
        for at in (0..file.len()).step_by(17) {
            for value in [0, 0xFF, file[at] ^ 0x10] {
                let mut bent = file.clone();
                bent[at] = value;
                images::fuzz_decode(&bent);
                shown += usize::from(process_with(&bent, &Options::default()).is_ok());
            }
        }
    }
    assert!(shown > 0);
}

#[test]
fn stray_bytes_of_real_cameras_do_not_cost_the_photo() {
    let mut file = encoded(&quarters(90, 70), ImageFormat::Jpeg);
    let end = file.len() - 2;
    file.splice(end..end, [0, 0, 0, 0]);
    assert_quarters(&process(&file).jpegs[2], [RED, GREEN, BLUE, GREY]);
    file.extend_from_slice(&[7; 5000]);
    assert_quarters(&process(&file).jpegs[2], [RED, GREEN, BLUE, GREY]);
}

#[test]
fn the_weight_of_an_image_follows_its_pixels_and_its_memory() {
    let weight = |bytes: &[u8]| images::megapixels(inspect(bytes).expect("a header"));
    assert_eq!(weight(&encoded(&quarters(100, 100), ImageFormat::Jpeg)), 1);
    assert_eq!(weight(&encoded(&quarters(2500, 2001), ImageFormat::Jpeg)), 6);
    let interlaced =
        |interlace| weight(&png([4000, 4000], [16, 6, interlace], &[(b"IDAT", vec![0; 20_000])]));
    assert!(interlaced(1) > interlaced(0));
}
