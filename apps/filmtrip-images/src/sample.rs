//! A test photo: a landscape at dusk with film grain, the same for the same seed.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::encode::QUALITY;
use super::{ImageError, broken};

/// Makes a JPEG of `width` x `height` pixels. The same arguments give the same bytes.
///
/// # Errors
/// Sides of 0 or above 20,000 pixels.
pub fn photo(width: u32, height: u32, seed: u64) -> Result<Vec<u8>, ImageError> {
    let max = super::MAX_SIDE;
    if !(1..=max).contains(&width) || !(1..=max).contains(&height) {
        return Err(ImageError::TooManyPixels { width, height, max_pixels: u64::from(max) * u64::from(max) });
    }
    let mut rng = SmallRng::seed_from_u64(seed);
    let hue: f32 = rng.random_range(-0.12..0.12);
    let (sun_x, sun_y) = (rng.random_range(0.2..0.8_f32), rng.random_range(0.38..0.58_f32));
    let ridges: Vec<Ridge> = (0u8..4).map(|i| Ridge::new(&mut rng, f32::from(i))).collect();
    let heights: Vec<Vec<f32>> =
        ridges.iter().map(|r| (0..width).map(|x| r.height(x as f32 / width as f32)).collect()).collect();

    let mut pixels = RgbImage::new(width, height);
    let aspect = width as f32 / height as f32;
    for (x, y, pixel) in pixels.enumerate_pixels_mut() {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let mut colour = sky(v, hue);
        let distance = ((u - sun_x) * aspect).hypot(v - sun_y);
        let glow = (-distance * 7.0).exp() * 0.55 + if distance < 0.035 { 0.5 } else { 0.0 };
        colour = [colour[0] + glow, colour[1] + glow * 0.75, colour[2] + glow * 0.35];
        for (ridge, line) in ridges.iter().zip(&heights) {
            if v > line[x as usize] {
                let haze = ((v - line[x as usize]) * 1.6).min(0.12);
                colour = ridge.colour.map(|c| c + haze * 0.5);
            }
        }
        let vignette = 1.0 - 0.35 * ((u - 0.5).powi(2) + (v - 0.5).powi(2));
        // Two draws added: grain is lumpier than flat noise.
        let grain = (rng.random::<f32>() + rng.random::<f32>() - 1.0) * 0.055;
        pixel.0 = colour.map(|c| ((c * vignette + grain).clamp(0.0, 1.0) * 255.0) as u8);
    }
    // Not the encoder of the variants: that one may round differently on another processor.
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, QUALITY)
        .encode(pixels.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(broken)?;
    Ok(out)
}

fn sky(v: f32, hue: f32) -> [f32; 3] {
    let t = (v * 1.5).min(1.0);
    let top = [0.16 + hue, 0.25, 0.42 - hue];
    let low = [0.93, 0.58 + hue, 0.40];
    [0, 1, 2].map(|i| top[i] + (low[i] - top[i]) * t.powf(1.3))
}

struct Ridge {
    base: f32,
    waves: [(f32, f32, f32); 3],
    colour: [f32; 3],
}

impl Ridge {
    fn new(rng: &mut SmallRng, index: f32) -> Self {
        let mut wave = |low: f32, high: f32, size: f32| {
            (rng.random_range(low..high), rng.random_range(0.0..std::f32::consts::TAU), size)
        };
        let waves = [wave(2.0, 5.0, 0.045), wave(7.0, 13.0, 0.018), wave(23.0, 41.0, 0.005)];
        let depth = 1.0 - index * 0.25;
        Self {
            base: 0.56 + index * 0.105,
            waves,
            colour: [0.06 + 0.30 * depth, 0.08 + 0.20 * depth, 0.13 + 0.20 * depth],
        }
    }

    fn height(&self, u: f32) -> f32 {
        self.base + self.waves.iter().map(|(f, phase, size)| (u * f + phase).sin() * size).sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_gives_the_same_photo_and_another_seed_another() {
        let one = photo(120, 80, 7).expect("photo");
        assert_eq!(one, photo(120, 80, 7).expect("photo"));
        assert_ne!(one, photo(120, 80, 8).expect("photo"));
        assert!(photo(0, 80, 7).is_err());
    }
}
