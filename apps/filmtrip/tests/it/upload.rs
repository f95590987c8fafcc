//! Uploads: what is made of a photo, what is kept from the public, and what is refused.

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::json;

use super::support::{ADMIN, OTHER, OWNER, Site, files, jpeg, key};
use super::upyun::until;

/// A JPEG that is black on its left and white on its right, with an EXIF block in front.
fn exif_jpeg(width: u32, height: u32, orientation: u8) -> Vec<u8> {
    let pixels = RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { [0; 3] } else { [255; 3] }));
    let mut plain = Vec::new();
    pixels.write_to(&mut Cursor::new(&mut plain), ImageFormat::Jpeg).expect("encodes");
    // TIFF, little endian: one directory with the orientation and an owner's name out of line.
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0".to_vec();
    exif.extend_from_slice(&[0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    exif.extend_from_slice(&[0x0e, 0x01, 2, 0, 15, 0, 0, 0, 38, 0, 0, 0]);
    exif.extend_from_slice(b"\0\0\0\0HOME-ADDRESS-1\0");
    let mut out = plain[..2].to_vec();
    out.extend_from_slice(&[0xFF, 0xE1]);
    out.extend_from_slice(&u16::try_from(exif.len() + 2).expect("short").to_be_bytes());
    out.extend_from_slice(&exif);
    out.extend_from_slice(&plain[2..]);
    out
}

/// A JPEG whose EXIF tells of 48.5 degrees north, 2.25 degrees east.
pub(crate) fn located_jpeg() -> Vec<u8> {
    use exif::experimental::Writer;
    use exif::{Field, In, Rational, Tag, Value};
    let field = |tag, value| Field { tag, ifd_num: In::PRIMARY, value };
    let degrees = |d: u32, m: u32| Value::Rational([d, m, 0].map(|num| Rational { num, denom: 1 }).to_vec());
    let fields = [
        field(Tag::GPSLatitudeRef, Value::Ascii(vec![b"N".to_vec()])),
        field(Tag::GPSLatitude, degrees(48, 30)),
        field(Tag::GPSLongitudeRef, Value::Ascii(vec![b"E".to_vec()])),
        field(Tag::GPSLongitude, degrees(2, 15)),
    ];
    let mut writer = Writer::new();
    fields.iter().for_each(|f| writer.push_field(f));
    let mut tiff = Cursor::new(Vec::new());
    writer.write(&mut tiff, false).expect("exif");
    let block = [&b"Exif\0\0"[..], &tiff.into_inner()].concat();
    let plain = filmtrip::images::sample::photo(640, 427, 90).expect("sample");
    let mut out = plain[..2].to_vec();
    out.extend_from_slice(&[0xFF, 0xE1]);
    out.extend_from_slice(&u16::try_from(block.len() + 2).expect("short").to_be_bytes());
    out.extend_from_slice(&block);
    out.extend_from_slice(&plain[2..]);
    out
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}

#[test]
fn three_sizes_are_upright_right_sized_and_without_metadata() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let source = exif_jpeg(2400, 1600, 6);
    assert!(contains(&source, b"HOME-ADDRESS"));
    let photo = admin.photo(&[("title", "Upright")], &source);
    assert_eq!((&photo["width"], &photo["height"]), (&1600.into(), &2400.into()));
    for (name, size) in [("thumb", (400, 600)), ("preview", (683, 1024)), ("large", (1365, 2048))] {
        let image = &photo["images"][name];
        assert_eq!((&image["width"], &image["height"]), (&size.0.into(), &size.1.into()), "{name}");
        let reply = app.client().get(image["url"].as_str().expect("url"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/jpeg")));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert!(reply.header("content-security-policy").expect("policy").starts_with("default-src 'none'"));
        assert!(!contains(&reply.body, b"Exif") && !contains(&reply.body, b"HOME-ADDRESS"), "{name}");
        let pixels = image::load_from_memory(&reply.body).expect("decodes").into_rgb8();
        assert_eq!(pixels.dimensions(), size, "{name}");
        // Turned a quarter clockwise, what was left is on top.
        assert!(pixels.get_pixel(size.0 / 2, size.1 / 8).0[0] < 30, "{name} is not upright");
        assert!(pixels.get_pixel(size.0 / 2, size.1 * 7 / 8).0[0] > 225, "{name} is not upright");
    }
    let original = admin.get(&format!("/api/photos/{}/original", key(&photo)));
    assert_eq!(original.body, source, "the original must be kept as it came");
    assert!(original.header("content-disposition").expect("disposition").starts_with("attachment"));
}

#[test]
fn small_images_are_not_enlarged_and_png_and_webp_become_jpeg() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let mut file = Vec::new();
        RgbImage::new(320, 200).write_to(&mut Cursor::new(&mut file), format).expect("encodes");
        let photo = admin.photo(&[], &file);
        for name in ["thumb", "preview", "large"] {
            let reply = admin.get(photo["images"][name]["url"].as_str().expect("url"));
            let pixels = image::load_from_memory_with_format(&reply.body, ImageFormat::Jpeg).expect("a JPEG");
            assert_eq!((pixels.width(), pixels.height()), (320, 200), "{format:?} {name}");
        }
    }
}

#[test]
fn originals_and_private_photos_are_kept_from_others() {
    let site = Site::new();
    site.account(OWNER, "user");
    site.account(OTHER, "user");
    let app = site.start("serve", &[("FILMTRIP_IMAGE_BASE_URL", "https://img.example.com/media")]);
    let (owner, other) = (app.login(OWNER), app.login(OTHER));
    let public = owner.photo(&[], &jpeg(1));
    let private = owner.photo(&[("visibility", "private")], &jpeg(2));
    let published = public["images"]["thumb"]["url"].as_str().expect("url");
    assert_eq!(published, format!("https://img.example.com/media/{}/thumb.jpg", key(&public)));
    // Another host would not get the session cookie, so private images never point there.
    let thumb = private["images"]["thumb"]["url"].as_str().expect("url");
    assert_eq!(thumb, format!("/media/{}/thumb.jpg", key(&private)));
    for (who, client, status) in
        [("anonymous", app.client(), 404), ("other", other.clone(), 404), ("owner", owner, 200)]
    {
        let reply = client.get(thumb);
        assert_eq!(reply.status, status, "{who}");
        assert!(status != 200 || reply.header("cache-control") == Some("private, no-store"));
    }
    let original = format!("/api/photos/{}/original", key(&public));
    assert_eq!(app.client().get(&original).status, 401);
    assert_eq!(other.get(&original).status, 403);
    let listed = app.client().get("/api/photos").body_json();
    assert_eq!(listed["photos"].as_array().expect("photos").len(), 1);
    for path in ["/media/../filmtrip.db", "/media/originals/x.jpg", "/media/%2e%2e%2ffilmtrip.db/thumb.jpg"] {
        assert_eq!(app.client().get(path).status, 404, "{path}");
    }
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xEDB8_8320 } else { c >> 1 })
    })
}

/// A PNG that declares a size and has next to no data.
fn png_bomb(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&height.to_be_bytes());
    header.extend_from_slice(&[8, 2, 0, 0, 0]);
    for chunk in [header, b"IDATx\x9c\x63\0\0\0\x01\0\x01".to_vec(), b"IEND".to_vec()] {
        png.extend_from_slice(&u32::try_from(chunk.len() - 4).expect("short").to_be_bytes());
        png.extend_from_slice(&chunk);
        png.extend_from_slice(&crc(&chunk).to_be_bytes());
    }
    png
}

fn jpeg_bomb() -> Vec<u8> {
    let mut file = jpeg(1);
    let at = file.windows(2).position(|w| w == [0xFF, 0xC0]).expect("frame header");
    file[at + 5..at + 9].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF]);
    file
}

#[test]
fn bombs_and_files_that_are_no_photos_are_refused_at_once_and_leave_nothing() {
    let site = Site::new();
    let app = site.start("serve", &[("FILMTRIP_MAX_UPLOAD_MB", "1")]);
    let admin = app.login(ADMIN);
    let before = files(&site.media());
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".to_vec();
    let mut huge = jpeg(1);
    huge.resize(1_200_000, 0);
    let mut cut = jpeg(1);
    cut.truncate(40);
    let cases: &[(&str, Vec<u8>, u16, &str)] = &[
        ("wide png", png_bomb(60_000, 10), 422, "bad_image"),
        ("225 megapixel png", png_bomb(15_000, 15_000), 422, "bad_image"),
        ("jpeg of 65535 a side", jpeg_bomb(), 422, "bad_image"),
        ("png without data", png_bomb(100, 100), 422, "bad_image"),
        ("svg", svg, 415, "unsupported_type"),
        ("gif", b"GIF89a\x01\0\x01\0\0\0\0;AAAAAAAA".to_vec(), 415, "unsupported_type"),
        ("too short", b"\xFF\xD8\xFF".to_vec(), 422, "bad_image"),
        ("cut off", cut, 422, "bad_image"),
        ("over the size cap", huge, 413, "too_large"),
        ("empty", Vec::new(), 422, "bad_image"),
    ];
    for (what, file, status, code) in cases {
        let start = Instant::now();
        let reply = admin.upload(&[], &[file.as_slice()]);
        assert_eq!((reply.status, reply.code().as_str()), (*status, *code), "{what}: {}", reply.text());
        assert!(start.elapsed() < Duration::from_secs(2), "{what} took {:?}", start.elapsed());
    }
    assert_eq!(files(&site.media()), before, "a refused upload left files behind");
}

#[test]
fn a_batch_keeps_the_good_files_and_names_the_bad_one() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let about = [("title", "Batch"), ("frame", "4294967290")];
    let reply = admin.upload(&about, &[&jpeg(1), b"no image at all..", &jpeg(2)]);
    assert_eq!(reply.status, 201);
    let body = reply.body_json();
    assert_eq!(body["photos"].as_array().expect("photos").len(), 2);
    assert_eq!(body["photos"][1]["title"], "Batch");
    // Counted up, without a cap, over the one that was refused: the last is where it is on the film.
    assert_eq!(
        (&body["photos"][0]["frame"], &body["photos"][1]["frame"]),
        (&json!(4294967290_u32), &json!(4294967292_u32))
    );
    assert_eq!(body["refused"][0]["index"], 1);
    assert_eq!(body["refused"][0]["code"], "unsupported_type");
}

#[test]
fn a_file_sent_again_after_a_lost_answer_is_the_same_photo() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let once = |key: &str, file: &[u8]| {
        let about = [("keep_duplicate", "true"), ("idempotency_key", key)];
        let reply = admin.upload(&about, &[file]);
        (reply.status, reply.body_json()["photos"][0].clone())
    };
    let (file, stored) = (jpeg(1), files(&site.media()).len());
    let (status, first) = once("lost_answer-00001", &file);
    assert_eq!((status, first.get("duplicate")), (201, None));
    let after = files(&site.media()).len();
    assert!(after > stored);
    assert_eq!(once("lost_answer-00001", &file).1["key"], first["key"]);
    // `_` is no wildcard; another name is another photo, and another account's names are its own.
    let (status, second) = once("lost-answer-00001", &file);
    assert_eq!(status, 201);
    assert_ne!(second["key"], first["key"]);
    assert_eq!(admin.get("/api/photos").body_json()["photos"].as_array().expect("list").len(), 2);
    // Two at the same moment.
    let both = std::thread::scope(|scope| {
        let send = || scope.spawn(|| once("at-the-same-moment", &file).1["key"].clone());
        let (one, two) = (send(), send());
        (one.join().expect("one"), two.join().expect("two"))
    });
    assert_eq!(both.0, both.1);
    assert_eq!(admin.get("/api/photos").body_json()["photos"].as_array().expect("list").len(), 3);
    for wrong in ["short", "with a blank in it..", "%%%%%%%%%%%%%%%%%%"] {
        assert_eq!(once(wrong, &file).0, 400, "{wrong}");
    }
}

#[test]
fn deleting_removes_every_file_and_the_urls() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let before = files(&site.media()).len();
    let photo = admin.photo(&[], &jpeg(1));
    assert_eq!(files(&site.media()).len(), before + 7, "one original, and three sizes as JPEG and WebP");
    let path = format!("/api/photos/{}", key(&photo));
    assert_eq!(admin.json("DELETE", &format!("{path}?forever=true"), "").status, 204);
    until("its files are gone", || files(&site.media()).len() == before);
    assert_eq!(admin.get(photo["images"]["thumb"]["url"].as_str().expect("url")).status, 404);
    assert_eq!(admin.json("DELETE", &path, "").status, 404);
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing_behind() {
    use std::io::Write;
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let before = files(&site.media());
    let body = super::support::multipart(&[], &[&jpeg(1)]);
    let headers = [("content-type", super::support::MULTIPART), ("x-csrf-token", admin.csrf.as_str())];
    let mut stream = admin.connect();
    stream.write_all(&admin.head("POST", "/api/photos", &headers, body.len())).expect("head");
    stream.write_all(&body[..body.len() / 2]).expect("half");
    let start = Instant::now();
    while files(&site.media()) == before {
        assert!(start.elapsed() < Duration::from_secs(5), "the upload never reached the disk");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(stream);
    while files(&site.media()) != before {
        assert!(start.elapsed() < Duration::from_secs(10), "the half upload stays on disk");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn pages_of_photos_follow_each_other_without_gaps_or_repeats() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let batch: Vec<Vec<u8>> = (0..7).map(jpeg).collect();
    let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
    let body = admin.upload(&[], &batch).body_json();
    let expected: Vec<String> = body["photos"].as_array().expect("photos").iter().map(key).collect();
    let mut seen = Vec::new();
    let mut path = "/api/photos?limit=3".to_owned();
    loop {
        let page = app.client().get(&path).body_json();
        seen.extend(page["photos"].as_array().expect("photos").iter().map(key));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/photos?limit=3&before={next}");
    }
    assert_eq!(seen, expected);
}
