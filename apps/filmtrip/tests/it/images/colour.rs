//! Colour: profiles, grey and ink.

use moxcms::ColorProfile;
use turbojpeg::{Colorspace, Compressor, Image, PixelFormat, Subsamp};

use super::files::*;

fn plain_jpeg(colour: [u8; 3]) -> Vec<u8> {
    encoded(&image::RgbImage::from_pixel(64, 64, image::Rgb(colour)), image::ImageFormat::Jpeg)
}

fn shown(file: &[u8]) -> [u8; 3] {
    decoded(&process(file).jpegs[2]).get_pixel(30, 30).0
}

#[test]
fn a_profile_with_swapped_primaries_swaps_what_is_shown() {
    let mut swapped = ColorProfile::new_srgb();
    std::mem::swap(&mut swapped.red_colorant, &mut swapped.green_colorant);
    let swapped = swapped.encode().expect("encodes");
    assert!(near(shown(&plain_jpeg(RED)), RED), "without a profile nothing changes");
    let found = shown(&with_profile(&plain_jpeg(RED), &swapped));
    assert!(near(found, [RED[1], RED[0], RED[2]]), "{found:?}");

    // The same through PNG, where the profile is compressed.
    let mut info = png::Info::with_size(64, 64);
    info.color_type = png::ColorType::Rgb;
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = Some(swapped.clone().into());
    let mut file = Vec::new();
    let mut writer = png::Encoder::with_info(&mut file, info).expect("info").write_header().expect("header");
    writer.write_image_data(&RED.repeat(64 * 64)).expect("pixels");
    writer.finish().expect("end");
    assert!(near(shown(&file), [RED[1], RED[0], RED[2]]));
}

#[test]
fn broken_profiles_do_not_cost_the_photo() {
    let good = ColorProfile::new_display_p3().encode().expect("encodes");
    let mut states: Vec<Vec<u8>> = (0..good.len()).step_by(7).map(|cut| good[..cut].to_vec()).collect();
    // Offsets and lengths that point anywhere.
    for at in (128..good.len().min(300)).step_by(5) {
        let mut bent = good.clone();
        bent[at] = 0xFF;
        states.push(bent);
    }
    for profile in states {
        let done = process(&with_profile(&plain_jpeg(GREY), &profile));
        assert_eq!(done.sizes.large, (64, 64));
    }
}

#[test]
fn grey_jpeg_is_grey_at_every_size() {
    let data = vec![99; 700 * 500];
    let image = Image { pixels: &data[..], width: 700, pitch: 700, height: 500, format: PixelFormat::GRAY };
    let mut turbo = Compressor::new().expect("starts");
    turbo.set_subsamp(Subsamp::Gray).expect("grey");
    let done = process(&turbo.compress_to_vec(image).expect("encodes"));
    for jpeg in &done.jpegs {
        let pixels = decoded(jpeg);
        assert!(near(pixels.get_pixel(pixels.width() / 2, 9).0, [99; 3]));
    }
}

/// 64 x 64 pixels of one ink, stored upside down behind Adobe's marker, as every program does.
fn ink_jpeg(ink: [u8; 4], space: Colorspace) -> Vec<u8> {
    let data = ink.map(|n| 255 - n).repeat(64 * 64);
    let image = Image { pixels: &data[..], width: 64, pitch: 256, height: 64, format: PixelFormat::CMYK };
    let mut turbo = Compressor::new().expect("starts");
    turbo.set_subsamp(Subsamp::None).expect("all");
    turbo.set_quality(95).expect("quality");
    turbo.set_colorspace(space).expect("space");
    turbo.compress_to_vec(image).expect("encodes")
}

#[test]
fn cmyk_and_ycck_jpegs_show_their_ink() {
    for space in [Colorspace::CMYK, Colorspace::YCCK] {
        for (ink, seen) in [
            ([0, 0, 0, 0], [255, 255, 255]),
            ([255, 0, 0, 0], [0, 255, 255]),
            ([0, 255, 255, 0], [255, 0, 0]),
            ([0, 0, 0, 255], [0, 0, 0]),
            ([0, 128, 0, 128], [127, 63, 127]),
        ] {
            let file = ink_jpeg(ink, space);
            assert!(contains(&file, b"Adobe"));
            let found = shown(&file);
            assert!(near(found, seen), "{space:?} {ink:?}: {found:?} is not {seen:?}");
        }
    }
}
