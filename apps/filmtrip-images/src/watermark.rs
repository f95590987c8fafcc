//! A mark in the corner of what is shown large.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::shrink::{Pixels, resize_rgba};
use super::{ImageError, png};

/// Of the width of the photo, in percent.
const WIDTH: u32 = 12;
/// To the right and below, in percent of the width of the photo.
const MARGIN: u32 = 2;
const MAX_SIDE: u32 = 4096;

/// A mark, as large as it came.
pub(super) struct Watermark {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

impl Watermark {
    /// Reads a PNG.
    pub(super) fn open(path: &Path) -> Result<Self, ImageError> {
        let named = |e: String| ImageError::Watermark(format!("{}: {e}", path.display()));
        let file = File::open(path).map_err(|e| named(e.to_string()))?;
        let (width, height, rgba) =
            png::rgba(&mut BufReader::new(file), MAX_SIDE).map_err(|e| named(e.to_string()))?;
        Ok(Self { width, height, rgba })
    }

    /// Blends the mark over RGB pixels, bottom right.
    pub(super) fn put(&self, pixels: &mut Pixels) -> Result<(), ImageError> {
        let margin = pixels.width * MARGIN / 100;
        let most = (pixels.width.saturating_sub(margin), pixels.height.saturating_sub(margin));
        let width = (pixels.width * WIDTH / 100).max(1);
        let height = (u64::from(self.height) * u64::from(width) / u64::from(self.width)).max(1);
        let height = u32::try_from(height).unwrap_or(u32::MAX);
        // No room on a panorama a few pixels high.
        if width > most.0 || height > most.1 {
            return Ok(());
        }
        let mark = resize_rgba(&self.rgba, (self.width, self.height), (width, height))?;
        let (left, top) = ((most.0 - width) as usize, (most.1 - height) as usize);
        for (y, row) in mark.chunks_exact(width as usize * 4).enumerate() {
            let start = ((top + y) * pixels.width as usize + left) * 3;
            let under = &mut pixels.data[start..start + width as usize * 3];
            for (to, from) in under.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks::<4>().0) {
                let alpha = u32::from(from[3]);
                for channel in 0..3 {
                    let mixed = u32::from(from[channel]) * alpha + u32::from(to[channel]) * (255 - alpha);
                    to[channel] = u8::try_from((mixed + 127) / 255).unwrap_or(255);
                }
            }
        }
        Ok(())
    }
}

/// Whether a file can be used as a watermark, for a check at start.
///
/// # Errors
/// It cannot be read, is no PNG, or has more than 4096 pixels a side.
pub fn check(path: &Path) -> Result<(), ImageError> {
    Watermark::open(path).map(drop)
}
