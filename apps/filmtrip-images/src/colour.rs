//! Colour: rows of any sample layout to eight bits without alpha, and profiles to sRGB.

use std::panic::{AssertUnwindSafe, catch_unwind};

use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::shrink::Pixels;

/// Larger profiles are not read; those of print houses have about 2 MiB.
pub(super) const MAX_PROFILE: usize = 4 << 20;

/// What the channels mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// One channel.
    Grey,
    /// Three channels.
    Rgb,
    /// Four channels of ink, 255 is full ink.
    Cmyk,
}

impl Space {
    pub(super) fn channels(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
            Self::Cmyk => 4,
        }
    }
}

/// How a decoder hands over a row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Samples {
    pub(super) space: Space,
    pub(super) extra: Extra,
    pub(super) depth: Depth,
}

/// A channel after those of colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    None,
    /// Not of the picture: film scanners put infrared here.
    Unused,
    Alpha,
    /// Alpha by which the colours are multiplied already.
    Premultiplied,
}

/// Bits of a sample and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Eight,
    SixteenBig,
    SixteenLittle,
}

impl Depth {
    /// Sixteen bits as this machine has them in memory.
    pub(super) const SIXTEEN: Self =
        if cfg!(target_endian = "big") { Self::SixteenBig } else { Self::SixteenLittle };
}

impl Samples {
    /// Bytes of a pixel as the decoder gives it.
    pub(super) fn bytes(&self) -> usize {
        let channels = self.space.channels() + usize::from(self.extra != Extra::None);
        if self.depth == Depth::Eight { channels } else { channels * 2 }
    }

    /// Makes a row eight bits deep and puts what is transparent onto white, as on paper.
    /// `spare` keeps its memory from row to row.
    pub(super) fn plain<'a>(&self, row: &'a [u8], spare: &'a mut Vec<u8>) -> &'a [u8] {
        if self.depth == Depth::Eight && self.extra == Extra::None {
            return row;
        }
        spare.clear();
        match self.depth {
            Depth::Eight => spare.extend_from_slice(row),
            Depth::SixteenBig => {
                spare.extend(row.as_chunks::<2>().0.iter().map(|b| eight(u16::from_be_bytes(*b))));
            }
            Depth::SixteenLittle => {
                spare.extend(row.as_chunks::<2>().0.iter().map(|b| eight(u16::from_le_bytes(*b))));
            }
        }
        if self.extra != Extra::None {
            let colours = self.space.channels();
            let (mut to, step) = (0, colours + 1);
            for from in (0..spare.len() / step).map(|i| i * step) {
                let alpha = u32::from(spare[from + colours]);
                for channel in 0..colours {
                    spare[to] = self.on_white(u32::from(spare[from + channel]), alpha);
                    to += 1;
                }
            }
            spare.truncate(to);
        }
        spare
    }

    fn on_white(&self, colour: u32, alpha: u32) -> u8 {
        if self.extra == Extra::Unused {
            return u8::try_from(colour).unwrap_or(255);
        }
        // Paper without ink is 0.
        let white = if self.space == Space::Cmyk { 0 } else { 255 - alpha };
        let own = if self.extra == Extra::Premultiplied { colour } else { (colour * alpha + 127) / 255 };
        u8::try_from(own + white).unwrap_or(255)
    }
}

fn eight(sample: u16) -> u8 {
    u8::try_from((u32::from(sample) * 255 + 32_768) >> 16).unwrap_or(255)
}

/// To sRGB, by the image's profile when it has a usable one. A profile that is broken, hostile or of
/// another colour space than the pixels is no reason to refuse a photo: it is as if it were not there.
pub(super) fn to_srgb(pixels: Pixels, profile: Option<&[u8]>) -> Pixels {
    let by_profile = profile.and_then(|p| catch_unwind(AssertUnwindSafe(|| convert(&pixels, p))).ok()?);
    let data = match (by_profile, pixels.space) {
        (Some(data), _) => data,
        (None, Space::Rgb) => return pixels,
        (None, Space::Grey) => pixels.data.iter().flat_map(|level| [*level; 3]).collect(),
        (None, Space::Cmyk) => pixels.data.as_chunks::<4>().0.iter().flat_map(ink).collect(),
    };
    Pixels { space: Space::Rgb, data, ..pixels }
}

fn convert(pixels: &Pixels, profile: &[u8]) -> Option<Vec<u8>> {
    let profile = ColorProfile::new_from_slice(profile).ok()?;
    let (wanted, layout) = match pixels.space {
        Space::Grey => (DataColorSpace::Gray, Layout::Gray),
        Space::Rgb => (DataColorSpace::Rgb, Layout::Rgb),
        Space::Cmyk => (DataColorSpace::Cmyk, Layout::Rgba),
    };
    if profile.color_space != wanted {
        return None;
    }
    let options = TransformOptions::default();
    let transform =
        profile.create_transform_8bit(layout, &ColorProfile::new_srgb(), Layout::Rgb, options).ok()?;
    let mut data = vec![0; pixels.data.len() / pixels.space.channels() * 3];
    transform.transform(&pixels.data, &mut data).ok()?;
    Some(data)
}

/// What ink on paper looks like when nothing more is known of either.
fn ink(cmyk: &[u8; 4]) -> [u8; 3] {
    let [c, m, y, k] = cmyk.map(|n| 255 - u32::from(n));
    [c, m, y].map(|n| u8::try_from((n * k + 127) / 255).unwrap_or(255))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RGBA: Samples = Samples { space: Space::Rgb, extra: Extra::Alpha, depth: Depth::Eight };

    #[test]
    fn transparent_pixels_become_white() {
        let row = [10, 20, 30, 0, 10, 20, 30, 255, 0, 100, 200, 51];
        let mut spare = Vec::new();
        assert_eq!(RGBA.plain(&row, &mut spare), [255, 255, 255, 10, 20, 30, 204, 224, 244]);
        let premultiplied = Samples { extra: Extra::Premultiplied, ..RGBA };
        assert_eq!(premultiplied.plain(&[0, 20, 40, 51], &mut spare), [204, 224, 244]);
        let infrared = Samples { extra: Extra::Unused, ..RGBA };
        assert_eq!(infrared.plain(&[0, 20, 40, 51], &mut spare), [0, 20, 40]);
    }

    #[test]
    fn sixteen_bits_are_rounded_to_eight() {
        let grey = Samples { space: Space::Grey, extra: Extra::None, depth: Depth::SixteenBig };
        let row = [0, 0, 0xFF, 0xFF, 0x80, 0x80, 0x01, 0x01];
        assert_eq!(grey.plain(&row, &mut Vec::new()), [0, 255, 128, 1]);
        assert_eq!(grey.bytes(), 2);
    }

    #[test]
    fn profiles_that_do_not_fit_are_ignored() {
        let pixels = Pixels { width: 2, height: 1, space: Space::Rgb, data: vec![200, 10, 10, 0, 0, 0] };
        let grey = ColorProfile::new_gray_with_gamma(2.2).encode().expect("encodes");
        let mut cut = ColorProfile::new_display_p3().encode().expect("encodes");
        let converted = to_srgb(pixels.clone(), Some(&cut));
        assert!(converted.data[0] > 210, "a red of Display P3 is more than sRGB's: {:?}", converted.data);
        cut.truncate(180);
        for profile in [&grey[..], &cut, b"", &[0xFF; 4000]] {
            assert_eq!(to_srgb(pixels.clone(), Some(profile)), pixels);
        }
    }

    #[test]
    fn ink_without_a_profile() {
        assert_eq!(ink(&[0, 0, 0, 0]), [255; 3]);
        assert_eq!(ink(&[0, 0, 0, 255]), [0; 3]);
        assert_eq!(ink(&[255, 0, 0, 0]), [0, 255, 255]);
    }
}
