//! The three sizes, their WebPs, the watermark and the placeholder.

use std::path::PathBuf;

use filmtrip::images::{ImageError, Options, VARIANTS, watermark};
use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use tempfile::TempDir;

use super::files::*;

#[test]
fn sizes_keep_the_shape_and_are_never_larger_than_the_original() {
    for ((width, height), thumb, preview, large) in [
        ((3000, 2000), (600, 400), (1024, 683), (2048, 1365)),
        ((2000, 3000), (400, 600), (683, 1024), (1365, 2048)),
        ((800, 500), (600, 375), (800, 500), (800, 500)),
        ((300, 200), (300, 200), (300, 200), (300, 200)),
        ((5000, 2), (600, 1), (1024, 1), (2048, 1)),
        ((1, 1), (1, 1), (1, 1), (1, 1)),
    ] {
        let options = Options { webp: true, ..Options::default() };
        let done =
            process_with(&encoded(&quarters(width, height), ImageFormat::Png), &options).expect("processes");
        assert_eq!((done.width, done.height), (width, height));
        assert_eq!((done.sizes.thumb, done.sizes.preview, done.sizes.large), (thumb, preview, large));
        let webps = done.webps.expect("asked for");
        for (index, size) in [thumb, preview, large].into_iter().enumerate() {
            assert_eq!(decoded(&done.jpegs[index]).dimensions(), size);
            let webp = image::load_from_memory_with_format(&webps[index], ImageFormat::WebP).expect("a WebP");
            assert_eq!((webp.width(), webp.height()), size, "{}", VARIANTS[index].0);
        }
    }
}

#[test]
fn webps_show_the_picture_and_are_only_made_on_request() {
    let file = encoded(&quarters(1600, 1200), ImageFormat::Jpeg);
    assert_eq!(process(&file).webps, None);
    let done = process_with(&file, &Options { webp: true, ..Options::default() }).expect("processes");
    for webp in done.webps.expect("asked for") {
        assert!(webp.starts_with(b"RIFF") && contains(&webp[..16], b"WEBPVP8 "), "lossy");
        let pixels =
            image::load_from_memory_with_format(&webp, ImageFormat::WebP).expect("a WebP").into_rgb8();
        let found = middles(&pixels);
        assert!(found.iter().zip([RED, GREEN, BLUE, GREY]).all(|(f, w)| near(*f, w)), "{found:?}");
    }
}

/// A mark of 240 x 80: its left half white, its right half transparent black.
fn mark(dir: &TempDir) -> PathBuf {
    let mark = RgbaImage::from_fn(240, 80, |x, _| if x < 120 { Rgba([255; 4]) } else { Rgba([0; 4]) });
    let path = dir.path().join("mark.png");
    mark.save(&path).expect("writes");
    path
}

#[test]
fn the_watermark_is_in_the_corner_of_preview_and_large_and_nowhere_else() {
    let dir = tempfile::tempdir().expect("folder");
    let options = Options { watermark: Some(mark(&dir)), webp: true };
    // Stored on its side: the mark must be upright in the upright picture.
    let file = RgbImage::from_pixel(2000, 3000, Rgb(GREY));
    let file = with_exif(&encoded(&file, ImageFormat::Jpeg), &orientation(6));
    let done = process_with(&file, &options).expect("processes");
    assert_eq!((done.width, done.height), (3000, 2000));
    let webps = done.webps.expect("asked for");
    for (index, (name, _)) in VARIANTS.iter().enumerate() {
        let webp = image::load_from_memory_with_format(&webps[index], ImageFormat::WebP).expect("a WebP");
        for pixels in [decoded(&done.jpegs[index]), webp.into_rgb8()] {
            let (w, h) = pixels.dimensions();
            // 12 % wide, 4 % high, 2 % of the width from the edges.
            let at = |right: u32, below: u32| pixels.get_pixel(w - w * right / 1000, h - w * below / 1000).0;
            let seen = if *name == "thumb" { GREY } else { [255; 3] };
            assert!(near(at(120, 40), seen), "{name}: {:?}", at(120, 40));
            for (right, below) in [(50, 40), (150, 40), (120, 10), (120, 80), (10, 40)] {
                assert!(near(at(right, below), GREY), "{name} at {right} {below}: {:?}", at(right, below));
            }
        }
    }
}

#[test]
fn a_mark_too_tall_for_a_panorama_is_left_out() {
    let dir = tempfile::tempdir().expect("folder");
    let options = Options { watermark: Some(mark(&dir)), ..Options::default() };
    let file = encoded(&RgbImage::from_pixel(2000, 20, Rgb(GREY)), ImageFormat::Png);
    let pixels = decoded(&process_with(&file, &options).expect("processes").jpegs[2]);
    assert!(pixels.pixels().all(|p| near(p.0, GREY)));
}

#[test]
fn a_watermark_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    let good = mark(&dir);
    watermark::check(&good).expect("a PNG");
    let text = dir.path().join("text.png");
    std::fs::write(&text, "no image").expect("writes");
    for path in [dir.path().join("missing.png"), text] {
        let options = Options { watermark: Some(path.clone()), ..Options::default() };
        let file = encoded(&quarters(20, 20), ImageFormat::Png);
        for error in [watermark::check(&path).err(), process_with(&file, &options).err()] {
            let error = error.expect("refused");
            assert!(matches!(error, ImageError::Watermark(_)), "{error}");
            assert!(error.to_string().contains(".png"), "{error}");
        }
    }
}

#[test]
fn the_placeholder_is_upright_and_of_the_right_colour() {
    let file = with_exif(&encoded(&quarters(1200, 600), ImageFormat::Jpeg), &orientation(8));
    let hash = process(&file).thumbhash;
    assert!(hash.len() < 40, "{}", hash.len());
    let (width, height, rgba) = thumbhash::thumb_hash_to_rgba(&hash).expect("a thumbhash");
    assert!(height > width);
    let top_left = &rgba[(width * 4 + 4) * 4..][..3];
    assert!(
        top_left[1] > top_left[0] && top_left[1] > top_left[2],
        "green comes to the top left: {top_left:?}"
    );
}
