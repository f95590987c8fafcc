//! What the CDN would tell of a file besides its picture, and which way up it shows it.

use exif::{Rational, Tag, Value as Exif};
use serde_json::{Value, json};

use super::support::{ADMIN, App, Client, ascii as text, exif_segment as exif, jpeg_with as jpeg};
use super::upyun::{BUCKET, Rig, fetch, wait};

fn located() -> Vec<(Tag, Exif)> {
    let degrees = |d| Exif::Rational([d, 0, 0].map(|num| Rational { num, denom: 1 }).to_vec());
    vec![
        (Tag::Make, text("HOME-ADDRESS")),
        (Tag::GPSLatitudeRef, text("N")),
        (Tag::GPSLatitude, degrees(48)),
        (Tag::GPSLongitudeRef, text("E")),
        (Tag::GPSLongitude, degrees(2)),
    ]
}

/// Uploads and waits; the photo, and what the CDN would tell whoever knew where the original is.
fn shown(rig: &Rig, admin: &Client, file: &[u8]) -> (Value, String) {
    let upload = rig.put(admin, file, &json!({"keep_duplicate": true}));
    let photo = wait(admin, &upload, &["done"])["photo"].clone();
    let query = format!("SELECT object_key FROM uploads WHERE key = '{upload}'");
    let object: String = rig.site.sql().value(&query, &[]).expect("upload");
    assert!(rig.emulator.file(BUCKET, &object).is_some());
    (photo, fetch(&format!("{}/{object}!/meta/all", rig.emulator.cdn_endpoint())).text())
}

fn by_cdn(rig: &Rig, photo: &Value) -> bool {
    ["thumb", "preview", "large"].iter().all(|size| {
        let url = photo["images"][size]["url"].as_str().expect("url");
        url.starts_with(&rig.emulator.cdn_endpoint())
    })
}

fn start(rig: &Rig) -> (App, Client) {
    let app = rig.start(true, true);
    let admin = app.login(ADMIN);
    (app, admin)
}

#[test]
fn a_file_that_says_more_than_how_it_was_taken_is_not_shown_by_the_cdn() {
    let rig = Rig::new();
    let (app, admin) = start(&rig);
    // A tag whose value lies outside of the block: one reader gives up there, another goes on to the place.
    let mut broken = exif(&located());
    let make = broken.windows(4).position(|w| w == [0x0F, 0x01, 2, 0]).expect("the tag");
    broken[make + 8..make + 12].fill(0xFF);
    let described = exif(&[(Tag::ImageDescription, text("HOME-ADDRESS"))]);
    let owned = exif(&[(Tag::BodySerialNumber, text("HOME-ADDRESS"))]);
    let iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x12\x1c\x02\x5a\0\x0cHOME-ADDRESS";
    let xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>HOME-ADDRESS</x:xmpmeta>";
    for (seed, (what, marker, payload, trace)) in (1..).zip([
        ("a broken tag before the place", 0xE1, &broken[..], "GPSLatitude"),
        ("a caption", 0xE1, &described, "HOME-ADDRESS"),
        ("a serial number", 0xE1, &owned, "HOME-ADDRESS"),
        ("XMP", 0xE1, xmp, "HOME-ADDRESS"),
        ("IPTC", 0xED, iptc, "HOME-ADDRESS"),
    ]) {
        let (photo, told) = shown(&rig, &admin, &jpeg(seed, &[(marker, payload)]));
        assert!(told.contains(trace), "{what}: the CDN does not tell, so this shows nothing: {told}");
        assert!(!by_cdn(&rig, &photo), "{what}: {photo}");
        let large = app.client().get(photo["images"]["large"]["url"].as_str().expect("url"));
        assert_eq!(image::load_from_memory(&large.body).expect("decodes").width(), 640, "{what}");
    }
}

#[test]
fn how_a_photo_was_taken_may_be_told_by_the_cdn() {
    let rig = Rig::new();
    let (_app, admin) = start(&rig);
    let block = exif(&[
        (Tag::Make, text("Nikon")),
        (Tag::Model, text("F3")),
        (Tag::Software, text("A scanner's")),
        (Tag::DateTimeOriginal, text("1999:12:31 23:59:59")),
        (Tag::ExposureTime, Exif::Rational(vec![Rational { num: 1, denom: 250 }])),
        (Tag::Orientation, Exif::Short(vec![1])),
    ]);
    let (photo, told) = shown(&rig, &admin, &jpeg(11, &[(0xE1, &block)]));
    assert!(by_cdn(&rig, &photo), "{photo}");
    assert!(told.contains("Nikon") && !told.contains("GPS"), "{told}");
    assert_eq!((&photo["exif"]["model"], &photo["width"]), (&json!("F3"), &json!(640)));
}

#[test]
fn a_photo_that_the_styles_do_not_turn_upright_is_turned_here() {
    let rig = Rig::new();
    let (app, admin) = start(&rig);
    let turned = |seed, value| jpeg(seed, &[(0xE1, &exif(&[(Tag::Orientation, Exif::Short(vec![value]))]))]);
    let (photo, _) = shown(&rig, &admin, &turned(20, 6));
    assert!(by_cdn(&rig, &photo), "the styles turn: {photo}");
    assert_eq!((&photo["width"], &photo["height"]), (&json!(427), &json!(640)));
    // No thumb tells whether the style has turned it.
    let (photo, _) = shown(&rig, &admin, &turned(21, 3));
    assert!(!by_cdn(&rig, &photo), "{photo}");
    for (style, side) in [("thumb", 600), ("preview", 1024), ("large", 2048)] {
        rig.emulator.set_style(BUCKET, style, &format!("/max/{side}")).expect("style");
    }
    let (photo, _) = shown(&rig, &admin, &turned(22, 6));
    assert!(!by_cdn(&rig, &photo), "it lies on its side there: {photo}");
    assert_eq!((&photo["width"], &photo["height"]), (&json!(427), &json!(640)));
    let large = app.client().get(photo["images"]["large"]["url"].as_str().expect("url"));
    assert_eq!(image::load_from_memory(&large.body).expect("decodes").height(), 640);
    let (photo, _) = shown(&rig, &admin, &turned(23, 1));
    assert!(by_cdn(&rig, &photo), "upright as it is: {photo}");
}
