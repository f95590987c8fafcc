//! From a file that has arrived to a photo: looked at, processed, its sizes stored, its row written. The same for files
//! that came through the server and for those that a browser put into the object store itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::db::photos::{self, NewPhoto, PhotoRow, Variants};
use crate::db::sql::{DbResult, Sql};
use crate::db::uploads::{self, UploadRow};
use crate::error::ApiError;
use crate::images::{self, Header, ImageError, Options, Processed, Sizes, VARIANTS};
use crate::model;
use crate::routes::api::Api;
use crate::storage::{Backend, Content, Fetched, names};
use crate::work;

/// The largest size of a photo, as a JPEG of 2048 pixels a side, has some 3 MB.
const MAX_SIZE_BYTES: usize = 16 << 20;
/// Whatever a style called thumb gives, it is small.
const MAX_THUMB_PIXELS: u64 = 4_000_000;

/// Runs work that blocks off the async threads.
///
/// # Errors
/// The work panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ApiError::Internal(format!("image task: {e}")))
}

/// What a client is told of an image that is refused.
#[must_use]
pub fn refusal(error: ImageError) -> ApiError {
    match error {
        ImageError::Type => ApiError::UnsupportedType,
        ImageError::Io(e) => ApiError::Internal(format!("storage: {e}")),
        ImageError::Watermark(e) => ApiError::Internal(format!("FILMTRIP_WATERMARK: {e}")),
        // It may be the machine's fault as well as the file's.
        ImageError::TimedOut { .. } | ImageError::Crashed(_) => ApiError::Undecodable(error.to_string()),
        refused => ApiError::BadImage(refused.to_string()),
    }
}

/// Type and size of an image, held against the caps.
///
/// # Errors
/// It is refused.
pub async fn inspect(api: &Api, path: &Path) -> Result<Header, ApiError> {
    let (path, max_pixels) = (path.to_owned(), api.config.max_pixels);
    blocking(move || images::inspect(&path, max_pixels)).await?.map_err(refusal)
}

/// Decodes an image in a process of its own and makes the three sizes.
async fn process(api: &Api, path: &Path, header: Header) -> Result<Processed, ApiError> {
    let _turn = api.capacity.turn(header).await?;
    let options = Options { watermark: api.config.watermark.clone(), webp: true };
    let (path, timeout) = (path.to_owned(), api.config.image_timeout);
    let scratch = api.storage.local.scratch()?;
    blocking(move || images::worker::process(&path, header, &options, scratch.path(), timeout))
        .await?
        .map_err(refusal)
}

/// A size from the CDN, into a file.
async fn read_limited(mut content: Content, to: &Path) -> Result<(), ApiError> {
    use futures_util::StreamExt;
    use tokio::io::AsyncWriteExt;
    let (mut file, mut bytes) = (tokio::fs::File::create(to).await?, 0);
    while let Some(chunk) = content.stream.next().await {
        let chunk = chunk?;
        bytes += chunk.len();
        if bytes > MAX_SIZE_BYTES {
            return Err(ApiError::Store("the CDN's size is larger than a size can be".to_owned()));
        }
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    Ok(())
}

/// What a photo's row needs to know of its picture.
struct Picture {
    width: u32,
    height: u32,
    sizes: Sizes,
    variants: Variants,
    webp: bool,
    /// Bytes of each stored file, in the order of [`images::variant_files`]; none when the CDN makes them.
    stored: Option<[u64; 6]>,
    thumbhash: Vec<u8>,
    exif: images::Exif,
}

/// Makes the sizes of an upload, or sees that the CDN does. `path` is a local copy of the original.
async fn picture(api: &Api, upload: &UploadRow, path: &Path, header: Header) -> Result<Picture, ApiError> {
    let styles =
        api.storage.upyun.as_ref().filter(|u| upload.object.backend == Backend::Upyun && u.processing);
    if let Some(upyun) = styles
        && let Some((exif, orientation)) = tells_nothing(upload, path, header).await?
    {
        match styled(api, upyun, upload, header, orientation).await {
            Ok(picture) => return Ok(Picture { exif, ..picture }),
            // A style that was never made, or a CDN that is down: visitors see the photo all the same.
            Err(e) => {
                let (key, why) = (&upload.key, e.detail());
                tracing::warn!("upload {key}: the CDN's sizes cannot be used, making them here: {why}");
            }
        }
    }
    let done = process(api, path, header).await?;
    let backend = api.storage.sizes();
    let webp = done.webps.is_some();
    let webps = done.webps.into_iter().flatten();
    let mut stored = [0; 6];
    let files = VARIANTS.iter().map(|(name, _)| (format!("{name}.jpg"), "image/jpeg")).zip(done.jpegs);
    let more = VARIANTS.iter().map(|(name, _)| (format!("{name}.webp"), "image/webp")).zip(webps);
    for ((file, media_type), content) in files.chain(more) {
        if let Some(at) = images::variant_files().position(|known| known == file) {
            stored[at] = content.len() as u64;
        }
        api.storage.put(backend, &names::variant(&upload.key, &file), content, media_type).await?;
    }
    Ok(Picture {
        width: done.width,
        height: done.height,
        sizes: done.sizes,
        variants: Variants::Stored(backend),
        webp,
        stored: Some(stored),
        thumbhash: done.thumbhash,
        exif: done.exif,
    })
}

/// Whoever has a style's address can ask the same domain for the file's EXIF, XMP and IPTC. So the CDN makes the sizes
/// only of a file that says nothing there but what is shown with the photo.
async fn tells_nothing(
    upload: &UploadRow,
    path: &Path,
    header: Header,
) -> Result<Option<(images::Exif, u16)>, ApiError> {
    let original = path.to_owned();
    let told = blocking(move || images::plain(&original, header.format)).await?;
    let said =
        |what: &String| tracing::info!("upload {} carries {what}: its sizes are made here", upload.key);
    Ok(told.inspect_err(said).ok())
}

/// Whether the CDN shows a photo upright, of which this thumb is what it makes. Styles turn by EXIF only where somebody
/// has set them up so.
fn upright(orientation: u16, header: Header, thumb: (u32, u32)) -> bool {
    let wide = |(width, height): (u32, u32)| width > height;
    match orientation {
        // Upside down or mirrored: no size tells.
        2..=4 => false,
        // Of a square it does not either.
        5..=8 => thumb.0 != thumb.1 && wide(thumb) != wide((header.width, header.height)),
        _ => thumb.0 == thumb.1 || wide(thumb) == wide((header.width, header.height)),
    }
}

/// The smallest size from the CDN proves that domain, object and style fit together, and gives the placeholder. Of the
/// EXIF nothing is known here.
async fn styled(
    api: &Api,
    upyun: &crate::storage::Upyun,
    upload: &UploadRow,
    header: Header,
    orientation: u16,
) -> Result<Picture, ApiError> {
    let scratch = api.storage.local.scratch()?;
    let thumb = scratch.path().join("thumb");
    for index in (0..VARIANTS.len()).rev() {
        read_limited(upyun.read_style(&upload.object.name, index, false).await?, &thumb).await?;
    }
    let done = {
        let copy = thumb.clone();
        let small = blocking(move || images::inspect(&copy, MAX_THUMB_PIXELS)).await?.map_err(refusal)?;
        let timeout = api.config.image_timeout;
        let work =
            move || images::worker::process(&thumb, small, &Options::default(), scratch.path(), timeout);
        blocking(work).await?.map_err(refusal)?
    };
    if !upright(orientation, header, (done.width, done.height)) {
        let size = format!("{} x {}", done.width, done.height);
        return Err(ApiError::Store(format!(
            "a thumb of {size} does not show orientation {orientation} upright"
        )));
    }
    let turned = (5..=8).contains(&orientation);
    let (width, height) = if turned { (header.height, header.width) } else { (header.width, header.height) };
    Ok(Picture {
        width,
        height,
        sizes: Sizes::of(width, height),
        variants: Variants::Style,
        webp: true,
        stored: None,
        thumbhash: done.thumbhash,
        exif: images::Exif::default(),
    })
}

/// An upload that took so long that it was given up, or that its owner gave up, becomes no photo: its files are being
/// deleted.
fn given_up(in_time: bool) -> Result<(), ApiError> {
    if in_time { Ok(()) } else { Err(ApiError::GivenUp) }
}

/// The photo that a file is already, and whether its owner is to be told that it was there before: not of one that this
/// very sending of it became, whose answer was lost.
///
/// # Errors
/// Those of the database.
pub fn before(
    sql: &mut Sql,
    owner_id: i64,
    sha256: &[u8; 32],
    about: &model::About,
) -> DbResult<Option<(PhotoRow, bool)>> {
    if let Some(key) = &about.idempotency_key
        && let Some((photo_id, duplicate)) = uploads::became(sql, owner_id, key)?
        && let Some(row) = photos::by_id(sql, photo_id)?
    {
        return Ok(Some((row, duplicate)));
    }
    if about.keep_duplicate {
        return Ok(None);
    }
    Ok(photos::same_file(sql, owner_id, sha256)?.map(|row| (row, true)))
}

/// A file that has arrived: a local copy of it, and what is known of its bytes.
pub struct Arrived {
    /// The copy.
    pub path: PathBuf,
    /// Its bytes.
    pub fetched: Fetched,
    /// Whether the copy is to be stored as the original; else it is there already.
    pub store: bool,
}

/// Makes a photo of an upload's file. Nothing is left behind when it is refused, and nothing is lost when the process
/// is killed: the upload's row knows every name that is used.
///
/// The photo, and whether the account had it before (then nothing was stored).
///
/// # Errors
/// The image is refused, or storage or database failed.
pub async fn accept(
    api: &Arc<Api>,
    upload: &UploadRow,
    arrived: Arrived,
) -> Result<(PhotoRow, bool), ApiError> {
    let _in_work = api.capacity.enter();
    let header = inspect(api, &arrived.path).await?;
    let mut object = upload.object.clone();
    let format = header.format.extension();
    if arrived.store {
        object.name = names::original(names::original_key(&object.name).unwrap_or_default(), format);
    }
    let media_type = images::media_type(format);
    // Styles work on what is in the bucket; local work is better done before the file is moved away.
    let styled = object.backend == Backend::Upyun;
    if arrived.store && styled {
        api.storage.put_file(&object, &arrived.path, media_type).await?;
    }
    let at = UploadRow { object: object.clone(), ..upload.clone() };
    let picture = picture(api, &at, &arrived.path, header).await?;
    if arrived.store && !styled {
        api.storage.put_file(&object, &arrived.path, media_type).await?;
    }
    let stored = object.clone();
    let original_key = names::original_key(&object.name).unwrap_or_default().to_owned();
    if arrived.store {
        object.name = String::new();
    }
    let exif = picture.exif;
    let new = NewPhoto {
        key: upload.key.clone(),
        owner_id: upload.owner_id,
        original: object,
        original_key,
        format: format.to_owned(),
        bytes: arrived.fetched.bytes,
        sha256: arrived.fetched.sha256,
        md5: Some(arrived.fetched.md5),
        variants: picture.variants,
        webp: picture.webp,
        stored: picture.stored,
        width: picture.width,
        height: picture.height,
        sizes: picture.sizes,
        thumbhash: Some(picture.thumbhash).filter(|hash| !hash.is_empty()),
        taken_at: exif.taken_at,
        location: exif.gps,
        exif: model::Exif {
            make: exif.make,
            model: exif.model,
            lens: exif.lens,
            exposure_seconds: exif.exposure_seconds,
            f_number: exif.f_number,
            iso: exif.iso,
            focal_mm: exif.focal_mm,
        },
        about: upload.about.clone(),
        file_name: upload.file_name.clone(),
    };
    let upload = upload.clone();
    let insert = move |sql: &mut Sql| {
        // The same file may have come in at the same moment: only here, where nobody else writes, it is decided.
        if let Some((photo, duplicate)) = before(sql, new.owner_id, &new.sha256, &new.about)? {
            given_up(uploads::done(sql, upload.id, photo.id, duplicate, new.md5.as_deref())?)?;
            work::discard_upload(sql, &upload, &stored, new.variants)?;
            return Ok((photo, duplicate));
        }
        let row = photos::insert(sql, &new)?;
        given_up(uploads::done(sql, upload.id, row.id, false, new.md5.as_deref())?)?;
        if !arrived.store {
            work::recheck_later(sql, &upload)?;
        }
        Ok((row, false))
    };
    let done = api.db.write(insert).await?;
    api.queue.wake();
    Ok(done)
}
