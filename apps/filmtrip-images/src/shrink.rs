//! Making images smaller: whole rows are averaged as they are decoded, so that a large image is never
//! in memory as a whole, and the exact size is then resampled.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer, pixels};

use super::colour::Space;
use super::{ImageError, VARIANTS, broken};

/// Longest side that is needed of a decoded image: that of the largest variant.
const NEEDED: u32 = VARIANTS[2].1;

/// By how much whole pixels may be averaged while decoding and still fill the largest variant.
pub(super) fn factor(width: u32, height: u32) -> u32 {
    (width.max(height) / NEEDED).max(1)
}

/// Pixels of one colour space, eight bits a channel, rows without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pixels {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) space: Space,
    pub(super) data: Vec<u8>,
}

/// Takes rows of a large image and keeps the averages of squares of them.
pub(super) struct Averager {
    pixels: Pixels,
    /// Width of the rows that come in.
    width: usize,
    /// Height of the image that comes in.
    height: u32,
    factor: u32,
    sums: Vec<u32>,
    rows: u32,
    taken: u32,
}

impl Averager {
    /// For an image of this size; memory is taken as rows come, not for what is only declared.
    pub(super) fn new(width: u32, height: u32, space: Space) -> Self {
        let factor = factor(width, height);
        let out = width.div_ceil(factor);
        let pixels = Pixels { width: out, height: height.div_ceil(factor), space, data: Vec::new() };
        let sums = if factor > 1 { vec![0; out as usize * space.channels()] } else { Vec::new() };
        Self { pixels, width: width as usize, height, factor, sums, rows: 0, taken: 0 }
    }

    /// The next row from the top. Rows beyond the declared height are not looked at.
    pub(super) fn row(&mut self, row: &[u8]) {
        let channels = self.pixels.space.channels();
        let Some(row) = row.get(..self.width * channels) else { return };
        if self.taken == self.height {
            return;
        }
        self.taken += 1;
        if self.factor == 1 {
            self.pixels.data.extend_from_slice(row);
            return;
        }
        match channels {
            1 => add::<1>(&mut self.sums, row, self.factor),
            3 => add::<3>(&mut self.sums, row, self.factor),
            _ => add::<4>(&mut self.sums, row, self.factor),
        }
        self.rows += 1;
        if self.rows == self.factor || self.taken == self.height {
            self.flush(channels);
        }
    }

    fn flush(&mut self, channels: usize) {
        let full = self.factor as usize;
        // The last column and row of squares may be narrower than the others.
        for (index, sums) in self.sums.chunks_exact_mut(channels).enumerate() {
            let columns = full.min(self.width - index * full);
            let count = self.rows * u32::try_from(columns).unwrap_or(1);
            for sum in sums {
                self.pixels.data.push(u8::try_from((*sum + count / 2) / count).unwrap_or(255));
                *sum = 0;
            }
        }
        self.rows = 0;
    }

    /// The averaged image.
    ///
    /// # Errors
    /// Fewer rows came than were declared.
    pub(super) fn finish(self) -> Result<Pixels, ImageError> {
        if self.taken < self.height {
            return Err(ImageError::Broken(format!("only {} of {} rows are there", self.taken, self.height)));
        }
        Ok(self.pixels)
    }
}

fn add<const N: usize>(sums: &mut [u32], row: &[u8], factor: u32) {
    let (sums, _) = sums.as_chunks_mut::<N>();
    for (sum, pixels) in sums.iter_mut().zip(row.chunks(factor as usize * N)) {
        for pixel in pixels.as_chunks::<N>().0 {
            for channel in 0..N {
                sum[channel] += u32::from(pixel[channel]);
            }
        }
    }
}

/// The size with `side` on the longer side, in the shape of `width` x `height`; never larger than it.
pub(super) fn fit(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= side {
        return (width, height);
    }
    let scale = |n: u32| {
        let scaled = (u64::from(n) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        u32::try_from(scaled).unwrap_or(side).max(1)
    };
    (scale(width), scale(height))
}

/// Resamples to exactly this size.
pub(super) fn resize(source: &Pixels, to: (u32, u32)) -> Result<Pixels, ImageError> {
    let from = (source.width, source.height);
    let data = match source.space {
        Space::Grey => resample::<pixels::U8>(&source.data, from, to, false)?,
        Space::Rgb => resample::<pixels::U8x3>(&source.data, from, to, false)?,
        // Four channels of ink, none of which is alpha.
        Space::Cmyk => resample::<pixels::U8x4>(&source.data, from, to, false)?,
    };
    Ok(Pixels { width: to.0, height: to.1, space: source.space, data })
}

/// Resamples RGBA; colour counts by how opaque it is.
pub(super) fn resize_rgba(data: &[u8], from: (u32, u32), to: (u32, u32)) -> Result<Vec<u8>, ImageError> {
    resample::<pixels::U8x4>(data, from, to, true)
}

/// By the type of the pixels: the library's untyped call would compile all fifteen types of them here.
fn resample<P: PixelTrait>(
    data: &[u8],
    from: (u32, u32),
    to: (u32, u32),
    alpha: bool,
) -> Result<Vec<u8>, ImageError> {
    let source = TypedImageRef::<P>::from_buffer(from.0, from.1, data).map_err(broken)?;
    let mut out = vec![0; to.0 as usize * to.1 as usize * P::size()];
    let mut target = TypedImage::<P>::from_buffer(to.0, to.1, &mut out).map_err(broken)?;
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(alpha);
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(broken)?;
    Ok(out)
}

/// Turns by one of the eight orientations of EXIF; anything else leaves it as it is.
pub(super) fn upright(source: Pixels, orientation: u16) -> Pixels {
    if !(2..=8).contains(&orientation) {
        return source;
    }
    let (width, height) = (source.width as usize, source.height as usize);
    let channels = source.space.channels();
    let turned = orientation >= 5;
    let (out_width, out_height) = if turned { (height, width) } else { (width, height) };
    let mut data = Vec::with_capacity(source.data.len());
    for y in 0..out_height {
        for x in 0..out_width {
            let (from_x, from_y) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            let at = (from_y * width + from_x) * channels;
            data.extend_from_slice(&source.data[at..at + channels]);
        }
    }
    let (width, height) = if turned { (source.height, source.width) } else { (source.width, source.height) };
    Pixels { width, height, space: source.space, data }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fitting_keeps_the_shape_and_never_enlarges() {
        assert_eq!(fit(3000, 2000, 600), (600, 400));
        assert_eq!(fit(2000, 3000, 1024), (683, 1024));
        assert_eq!(fit(500, 400, 600), (500, 400));
        assert_eq!(fit(5000, 2, 600), (600, 1));
    }

    #[test]
    fn averaging_counts_narrow_squares_by_their_own_pixels() {
        // 6145 pixels wide: squares of three, the last one a single pixel wide and two high.
        let mut averager = Averager::new(6145, 2, Space::Grey);
        for level in [10, 20] {
            let mut row = vec![level; 6145];
            row[6144] = 100;
            averager.row(&row);
        }
        let pixels = averager.finish().expect("both rows came");
        assert_eq!((pixels.width, pixels.height, pixels.data.len()), (2049, 1, 2049));
        assert_eq!((pixels.data[0], pixels.data[2047], pixels.data[2048]), (15, 15, 100));
    }

    #[test]
    fn missing_rows_are_an_error_and_too_many_are_not_taken() {
        let mut averager = Averager::new(2, 2, Space::Grey);
        averager.row(&[1, 2]);
        assert!(averager.finish().is_err());
        let mut averager = Averager::new(2, 1, Space::Grey);
        averager.row(&[1, 2]);
        averager.row(&[3, 4]);
        assert_eq!(averager.finish().expect("complete").data, [1, 2]);
    }

    #[test]
    fn the_eight_orientations() {
        // a b c / d e f, as the six outcomes are drawn in the standard.
        let turned = |orientation| {
            let source = Pixels { width: 3, height: 2, space: Space::Grey, data: b"abcdef".to_vec() };
            let out = upright(source, orientation);
            (out.width, String::from_utf8(out.data).expect("letters"))
        };
        let expected = ["abcdef", "cbafed", "fedcba", "defabc", "adbecf", "daebfc", "fcebda", "cfbead"];
        for (orientation, pixels) in (1..).zip(expected) {
            let width = if orientation < 5 { 3 } else { 2 };
            assert_eq!(turned(orientation), (width, pixels.to_owned()), "orientation {orientation}");
        }
        assert_eq!(turned(0).1, "abcdef");
        assert_eq!(turned(99).1, "abcdef");
    }
}
