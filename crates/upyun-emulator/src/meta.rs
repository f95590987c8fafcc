//! What `!/meta` tells of a file: EXIF with `/meta`, IPTC with `/meta/iptc`, both and more with `/meta/all`. Knows nothing
//! of HTTP or storage.
//!
//! By sources: the answer is JSON, `EXIF` is a map of texts, a place in it is `31/1, 48/1, 16/1`, and a tag that is newer
//! than the service's table is named by its number (`0xA434`). *Unverified*: the names beside `EXIF`, how other values are
//! spelled, and what exactly `all` adds. IPTC and XMP are found in JPEG only.
use std::io::Cursor;

use bytes::Bytes;
use exif::{Exif, In, Reader, Tag, Value};
use serde_json::{Map, json};

/// Which words of a file are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    Exif,
    Iptc,
    All,
}

/// Adds what a file says to the facts of its picture.
pub(crate) fn tell(data: &Bytes, what: Meta, facts: &mut Map<String, serde_json::Value>) {
    if what != Meta::Iptc {
        facts.insert("EXIF".to_owned(), exif(data).into());
    }
    if what != Meta::Exif {
        facts.insert("IPTC".to_owned(), iptc(data).into());
    }
    if what == Meta::All
        && let Some(xmp) = payload(data, 0xE1, b"http://ns.adobe.com/xap/1.0/\0")
    {
        facts.insert("XMP".to_owned(), String::from_utf8_lossy(xmp).into());
    }
}

/// As lenient as a service that has seen every camera: what one broken tag leaves is told.
fn exif(data: &Bytes) -> Map<String, serde_json::Value> {
    let mut reader = Reader::new();
    reader.continue_on_error(true);
    let read = reader.read_from_container(&mut Cursor::new(data));
    let Ok(parsed) = read.or_else(|e| e.distill_partial_result(|_| {})) else { return Map::new() };
    words(&parsed)
}

fn words(parsed: &Exif) -> Map<String, serde_json::Value> {
    let fields = parsed.fields().filter(|field| field.ifd_num == In::PRIMARY);
    fields
        .map(|field| {
            let newer = field.tag == Tag::LensModel;
            let name = if newer { "0xA434".to_owned() } else { field.tag.to_string() };
            (name, json!(word(&field.value)))
        })
        .collect()
}

fn word(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Ascii(lines) => list(lines.iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect()),
        Value::Rational(r) => list(r.iter().map(|r| format!("{}/{}", r.num, r.denom)).collect()),
        Value::SRational(r) => list(r.iter().map(|r| format!("{}/{}", r.num, r.denom)).collect()),
        Value::Undefined(bytes, _) => String::from_utf8_lossy(bytes).into_owned(),
        value => list((0..).map_while(|at| value.get_uint(at)).map(|n| n.to_string()).collect()),
    }
}

/// IPTC's data sets by `record:number`.
fn iptc(data: &[u8]) -> Map<String, serde_json::Value> {
    let mut found = Map::new();
    let Some(mut rest) = payload(data, 0xED, b"Photoshop 3.0\0") else { return found };
    while let Some(at) = rest.windows(2).position(|pair| pair == [0x1C, 2]) {
        let Some([_, record, number, high, low, tail @ ..]) = rest.get(at..) else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(text) = tail.get(..length) else { break };
        found.insert(format!("{record}:{number}"), String::from_utf8_lossy(text).into());
        rest = tail.get(length..).unwrap_or_default();
    }
    found
}

/// What follows `head` in the first segment of a JPEG that has this marker and begins so.
fn payload<'a>(data: &'a [u8], wanted: u8, head: &[u8]) -> Option<&'a [u8]> {
    let mut rest = data.strip_prefix(&[0xFF, 0xD8])?;
    while let [0xFF, marker, high, low, tail @ ..] = rest {
        if *marker == 0xDA {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([*high, *low])).checked_sub(2)?;
        let payload = tail.get(..length)?;
        if *marker == wanted && payload.starts_with(head) {
            return payload.get(head.len()..);
        }
        rest = tail.get(length..)?;
    }
    None
}
