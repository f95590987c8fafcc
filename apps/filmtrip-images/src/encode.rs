//! The variants as files: pixels only, so no EXIF, position or profile of the original gets out.

use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use super::shrink::Pixels;
use super::{ImageError, broken};

/// Quality of a JPEG, of 100.
pub(super) const QUALITY: u8 = 85;
/// About as good to the eye as the JPEG.
const WEBP_QUALITY: f32 = 82.0;
/// 0 is fastest, 6 smallest. From 2 to 4 the time doubles for a few percent of the bytes.
const WEBP_METHOD: i32 = 2;

/// A baseline JPEG of RGB pixels, colour at half the resolution.
pub(super) fn jpeg(pixels: &Pixels) -> Result<Vec<u8>, ImageError> {
    let (width, height) = (pixels.width as usize, pixels.height as usize);
    let mut turbo = Compressor::new().map_err(broken)?;
    turbo.set_quality(i32::from(QUALITY)).map_err(broken)?;
    turbo.set_subsamp(Subsamp::Sub2x2).map_err(broken)?;
    // Tables made for this very image: a tenth fewer bytes for a few milliseconds.
    turbo.set_optimize(true).map_err(broken)?;
    let image = Image { pixels: &pixels.data[..], width, pitch: width * 3, height, format: PixelFormat::RGB };
    turbo.compress_to_vec(image).map_err(broken)
}

/// A lossy WebP of RGB pixels.
// The only C interface without a maintained safe wrapper; it sees nothing but pixels made here.
#[allow(unsafe_code)]
pub(super) fn webp(pixels: &Pixels) -> Result<Vec<u8>, ImageError> {
    use libwebp_sys as c;

    let side = |n: u32| i32::try_from(n).map_err(broken);
    let (width, height) = (side(pixels.width)?, side(pixels.height)?);
    // The encoder reads this many bytes, whatever it is given.
    if pixels.data.len() != pixels.width as usize * pixels.height as usize * 3 {
        return Err(broken("buffer of the wrong size"));
    }
    let mut config = c::WebPConfig::new().map_err(|()| broken("WebP: another version of the library"))?;
    config.quality = WEBP_QUALITY;
    config.method = WEBP_METHOD;
    let mut picture = c::WebPPicture::new().map_err(|()| broken("WebP: another version of the library"))?;
    picture.width = width;
    picture.height = height;
    let mut out = Vec::new();
    // SAFETY: `data` holds height rows of width * 3 bytes (checked above); the picture is initialised
    // and freed once; `out` outlives the encoding and only `append` touches it meanwhile.
    let done = unsafe {
        picture.writer = Some(append);
        picture.custom_ptr = std::ptr::from_mut(&mut out).cast();
        let done = c::WebPPictureImportRGB(&mut picture, pixels.data.as_ptr(), width * 3) != 0
            && c::WebPEncode(&config, &mut picture) != 0;
        c::WebPPictureFree(&mut picture);
        done
    };
    if done { Ok(out) } else { Err(broken(format!("WebP: {:?}", picture.error_code))) }
}

/// Takes a part of the file.
#[allow(unsafe_code)]
extern "C" fn append(data: *const u8, size: usize, picture: *const libwebp_sys::WebPPicture) -> i32 {
    // SAFETY: called by WebPEncode only, with `size` bytes at `data` and the picture of `webp`, whose
    // `custom_ptr` is a Vec that nobody else uses until it returns.
    let (out, part) = unsafe {
        let out: &mut Vec<u8> = &mut *(*picture).custom_ptr.cast();
        (out, if size == 0 { &[][..] } else { std::slice::from_raw_parts(data, size) })
    };
    out.extend_from_slice(part);
    1
}
