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

/// A matrix by a column.
fn times(matrix: [[f64; 3]; 3], column: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(column).map(|(a, b)| a * b).sum())
}

fn linear(srgb: u8) -> f64 {
    let v = f64::from(srgb) / 255.0;
    if v <= 0.040_45 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
}

fn srgb(linear: f64) -> u8 {
    let v = if linear <= 0.003_130_8 { linear * 12.92 } else { 1.055 * linear.powf(1.0 / 2.4) - 0.055 };
    (v * 255.0).round() as u8
}

const SRGB_TO_XYZ: [[f64; 3]; 3] = [
    [0.412_456_4, 0.357_576_1, 0.180_437_5],
    [0.212_672_9, 0.715_152_2, 0.072_175_0],
    [0.019_333_9, 0.119_192_0, 0.950_304_1],
];
const XYZ_TO_ADOBE: [[f64; 3]; 3] = [
    [2.041_369_0, -0.564_946_4, -0.344_694_4],
    [-0.969_266_0, 1.876_010_8, 0.041_556_0],
    [0.013_447_4, -0.118_389_7, 1.015_409_6],
];
/// By Bradford.
const D65_TO_D50: [[f64; 3]; 3] = [
    [1.047_811_2, 0.022_886_6, -0.050_127_0],
    [0.029_542_4, 0.990_484_4, -0.017_049_1],
    [-0.009_234_5, 0.015_043_6, 0.752_131_6],
];
const XYZ_TO_PROPHOTO: [[f64; 3]; 3] = [
    [1.345_943_3, -0.255_607_5, -0.051_111_8],
    [-0.544_598_9, 1.508_167_3, 0.020_535_1],
    [0.0, 0.0, 1.211_812_8],
];

/// How a colour of sRGB is written in another space, by its published numbers and not by the library's.
fn in_adobe(colour: [u8; 3]) -> [f64; 3] {
    times(XYZ_TO_ADOBE, times(SRGB_TO_XYZ, colour.map(linear))).map(|v| v.clamp(0.0, 1.0).powf(256.0 / 563.0))
}

fn in_prophoto(colour: [u8; 3]) -> [f64; 3] {
    let xyz = times(D65_TO_D50, times(SRGB_TO_XYZ, colour.map(linear)));
    times(XYZ_TO_PROPHOTO, xyz).map(|v| v.clamp(0.0, 1.0).powf(1.0 / 1.8))
}

fn sixteen(value: f64) -> u16 {
    (value * 65_535.0).round() as u16
}

/// A TIFF of 64 x 64 pixels of one colour, with a profile.
fn tiff_of<C: tiff::encoder::colortype::ColorType>(
    sample: &[C::Inner],
    packed: tiff::encoder::Compression,
    profile: &[u8],
) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
    C::Inner: Copy,
{
    let mut out = std::io::Cursor::new(Vec::new());
    let mut writer = tiff::encoder::TiffEncoder::new(&mut out).expect("starts").with_compression(packed);
    let mut image = writer.new_image::<C>(64, 64).expect("an image");
    image.encoder().write_tag(tiff::tags::Tag::IccProfile, profile).expect("a profile");
    image.write_data(&sample.repeat(64 * 64)).expect("writes");
    out.into_inner()
}

fn packings() -> [tiff::encoder::Compression; 2] {
    [tiff::encoder::Compression::Uncompressed, tiff::encoder::Compression::Lzw]
}

/// Scanned blue, skin, foliage, a dark and a bright grey, and a red that the wide spaces write far from sRGB's edge.
const SCENE: [[u8; 3]; 6] =
    [[60, 90, 170], [224, 172, 140], [70, 110, 50], [24, 24, 24], [230, 230, 230], RED];

#[test]
fn a_deep_tiff_in_a_wide_space_shows_the_colours_that_were_meant() {
    type Space = (&'static str, fn([u8; 3]) -> [f64; 3], ColorProfile);
    let spaces: [Space; 2] = [
        ("Adobe RGB", in_adobe, ColorProfile::new_adobe_rgb()),
        ("ProPhoto RGB", in_prophoto, ColorProfile::new_pro_photo_rgb()),
    ];
    for (name, written, profile) in spaces {
        let profile = profile.encode().expect("encodes");
        for colour in SCENE {
            let sample = written(colour).map(sixteen);
            for packed in packings() {
                let found = shown(&tiff_of::<tiff::encoder::colortype::RGB16>(&sample, packed, &profile));
                assert!(near(found, colour), "{name}: {colour:?} is shown as {found:?}");
            }
        }
        // Without the profile it would be another colour, so this shows something.
        let sample = written(RED).map(sixteen);
        let bare = shown(&tiff_of::<tiff::encoder::colortype::RGB16>(&sample, packings()[0], &[]));
        assert!(!near(bare, RED), "{name}: {bare:?}");
    }
}

#[test]
fn a_grey_profile_brightens_or_darkens_as_it_says() {
    let mut apart = 0;
    for gamma in [1.0, 1.8, 2.2] {
        let profile = ColorProfile::new_gray_with_gamma(gamma).encode().expect("encodes");
        for level in [16u8, 64, 128, 200] {
            let meant = srgb((f64::from(level) / 255.0).powf(f64::from(gamma)));
            apart += u32::from(meant.abs_diff(level) > 8);
            let deep = u16::from(level) * 257;
            let mut files: Vec<(String, Vec<u8>)> = Vec::new();
            for (way, packed) in ["plain", "packed"].into_iter().zip(packings()) {
                files.push((
                    format!("TIFF of 16 bits, {way}"),
                    tiff_of::<tiff::encoder::colortype::Gray16>(&[deep], packed, &profile),
                ));
                files.push((
                    format!("TIFF of 8 bits, {way}"),
                    tiff_of::<tiff::encoder::colortype::Gray8>(&[level], packed, &profile),
                ));
            }
            for (bits, sample) in
                [(png::BitDepth::Eight, vec![level]), (png::BitDepth::Sixteen, deep.to_be_bytes().to_vec())]
            {
                let mut info = png::Info::with_size(64, 64);
                (info.color_type, info.bit_depth) = (png::ColorType::Grayscale, bits);
                info.icc_profile = Some(profile.clone().into());
                let mut file = Vec::new();
                let encoder = png::Encoder::with_info(&mut file, info).expect("info");
                let mut writer = encoder.write_header().expect("header");
                writer.write_image_data(&sample.repeat(64 * 64)).expect("pixels");
                writer.finish().expect("end");
                files.push((format!("PNG of {bits:?} bits"), file));
            }
            let data = vec![level; 64 * 64];
            let pixels =
                Image { pixels: &data[..], width: 64, pitch: 64, height: 64, format: PixelFormat::GRAY };
            let mut turbo = Compressor::new().expect("starts");
            turbo.set_subsamp(Subsamp::Gray).expect("grey");
            let jpeg = turbo.compress_to_vec(pixels).expect("encodes");
            files.push(("JPEG".to_owned(), with_profile(&jpeg, &profile)));
            for (what, file) in files {
                let found = shown(&file);
                assert!(
                    near(found, [meant; 3]),
                    "{what}, gamma {gamma}: {level} is shown as {found:?}, not {meant}"
                );
            }
        }
    }
    assert!(apart > 4, "the profiles change next to nothing, so this shows nothing");
}
