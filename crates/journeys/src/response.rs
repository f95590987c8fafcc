//! One response as it came, and the views on it that queries ask for.

use std::io::Read;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use encoding_rs::Encoding;
use reqwest::Version;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use thiserror::Error;

/// Why a body cannot be shown as asked.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum BodyError {
    #[error("the content encoding {0:?} is not known (gzip, deflate, br and identity are)")]
    Encoding(String),
    #[error("the body is not valid {0}, which Content-Encoding says it is")]
    Corrupt(String),
    #[error("the body is more than {0} bytes when decompressed")]
    TooLarge(usize),
    #[error("the character set {0:?} is not known")]
    Charset(String),
    #[error("the body is not valid {0} text")]
    NotText(&'static str),
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
}

/// One response, its body whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// As received, before any content decoding.
    pub(crate) raw: Bytes,
    /// From the start of sending to the last byte of the body.
    pub(crate) duration: Duration,
    /// The address as asked for, not as routed.
    pub(crate) url: String,
    pub(crate) peer: Option<IpAddr>,
    /// The server's certificate in DER.
    pub(crate) certificate: Option<Vec<u8>>,
    /// Bytes a decompressed body may have.
    pub(crate) limit: usize,
    pub(crate) decoded: OnceLock<Result<Bytes, BodyError>>,
    pub(crate) json: OnceLock<Result<serde_json::Value, BodyError>>,
}

impl Response {
    /// Version as in a status line: `1.1`, `2`.
    pub(crate) fn version_text(&self) -> &'static str {
        match self.version {
            Version::HTTP_10 => "1.0",
            Version::HTTP_11 => "1.1",
            Version::HTTP_2 => "2",
            Version::HTTP_3 => "3",
            _ => "0.9",
        }
    }

    /// All values of a header, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Vec<String> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    /// The body after content decoding.
    pub(crate) fn bytes(&self) -> Result<Bytes, BodyError> {
        self.decoded.get_or_init(|| self.decode()).clone()
    }

    fn decode(&self) -> Result<Bytes, BodyError> {
        let mut body = self.raw.clone();
        let encodings = self.header(CONTENT_ENCODING.as_str()).join(",");
        // A HEAD or 304 answer names the encoding of a body that it does not have.
        if body.is_empty() {
            return Ok(body);
        }
        // The last named was applied last, so it comes off first.
        for encoding in encodings.split(',').map(str::trim).filter(|name| !name.is_empty()).rev() {
            let name = encoding.to_ascii_lowercase();
            let mut out = Vec::new();
            let room = self.limit as u64 + 1;
            let read = match name.as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => {
                    flate2::read::MultiGzDecoder::new(&body[..]).take(room).read_to_end(&mut out)
                }
                "deflate" => flate2::read::ZlibDecoder::new(&body[..]).take(room).read_to_end(&mut out),
                "br" => {
                    brotli_decompressor::Decompressor::new(&body[..], 4096).take(room).read_to_end(&mut out)
                }
                _ => return Err(BodyError::Encoding(name)),
            };
            read.map_err(|_| BodyError::Corrupt(name))?;
            if out.len() > self.limit {
                return Err(BodyError::TooLarge(self.limit));
            }
            body = Bytes::from(out);
        }
        Ok(body)
    }

    /// The body as text, in the character set of its Content-Type (UTF-8 where it names none).
    pub(crate) fn text(&self) -> Result<String, BodyError> {
        let content_type = self.header(CONTENT_TYPE.as_str()).into_iter().next().unwrap_or_default();
        let encoding = match charset(&content_type) {
            None => encoding_rs::UTF_8,
            Some(label) => {
                Encoding::for_label(label.as_bytes()).ok_or_else(|| BodyError::Charset(label.to_owned()))?
            }
        };
        let bytes = self.bytes()?;
        let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes);
        text.map(|text| text.into_owned()).ok_or(BodyError::NotText(encoding.name()))
    }

    /// The body as JSON, parsed once.
    pub(crate) fn json(&self) -> Result<&serde_json::Value, BodyError> {
        let parse =
            || serde_json::from_str(&self.text()?).map_err(|error| BodyError::NotJson(error.to_string()));
        self.json.get_or_init(parse).as_ref().map_err(Clone::clone)
    }

    /// The attributes of the first `Set-Cookie` of that name; the cookie's value comes first, without a name.
    pub(crate) fn cookie(&self, name: &str) -> Option<Vec<(String, Option<String>)>> {
        let cookies = self.header("set-cookie");
        cookies.iter().find_map(|cookie| {
            let mut parts = cookie.split(';');
            let (key, value) = parts.next()?.split_once('=')?;
            if key.trim() != name {
                return None;
            }
            let mut attributes = vec![(String::new(), Some(value.trim().to_owned()))];
            attributes.extend(parts.map(|part| match part.split_once('=') {
                Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value.trim().to_owned())),
                None => (part.trim().to_ascii_lowercase(), None),
            }));
            Some(attributes)
        })
    }
}

fn charset(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn response(headers: &[(&'static str, &'static str)], raw: Vec<u8>, limit: usize) -> Response {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Response {
            status: 200,
            version: Version::HTTP_11,
            headers: map,
            raw: raw.into(),
            duration: Duration::ZERO,
            url: String::new(),
            peer: None,
            certificate: None,
            limit,
            decoded: OnceLock::new(),
            json: OnceLock::new(),
        }
    }

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn content_encodings_come_off_in_reverse_order() {
        let body = response(&[("content-encoding", "deflate, gzip")], gzip(&zlib(b"hello")), 100);
        assert_eq!(body.text().unwrap(), "hello");
        assert_eq!(response(&[("content-encoding", "gzip")], vec![], 100).text().unwrap(), "");
    }

    #[test]
    fn brotli_comes_off_and_the_first_cookie_of_a_name_counts() {
        let packed = [
            0x0b, 0x08, 0x80, 0x73, 0x71, 0x75, 0x65, 0x65, 0x7a, 0x65, 0x64, 0x20, 0x73, 0x71, 0x75, 0x65,
            0x65, 0x7a, 0x65, 0x64, 0x03,
        ];
        let headers = [("content-encoding", "br"), ("set-cookie", "a=1; Secure"), ("set-cookie", "a=2")];
        let response = response(&headers, packed.to_vec(), 100);
        assert_eq!(response.text().unwrap(), "squeezed squeezed");
        let cookie = response.cookie("a").unwrap();
        assert_eq!(cookie, [(String::new(), Some("1".to_owned())), ("secure".to_owned(), None)]);
    }

    #[test]
    fn a_decompression_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 1_000_000]);
        assert!(bomb.len() < 5_000);
        let body = response(&[("content-encoding", "gzip")], bomb, 1_000);
        assert_eq!(body.bytes(), Err(BodyError::TooLarge(1_000)));
    }

    #[test]
    fn broken_and_unknown_encodings_are_errors() {
        assert_eq!(
            response(&[("content-encoding", "gzip")], b"plain".to_vec(), 10).bytes(),
            Err(BodyError::Corrupt("gzip".to_owned()))
        );
        assert_eq!(
            response(&[("content-encoding", "zstd")], b"plain".to_vec(), 10).bytes(),
            Err(BodyError::Encoding("zstd".to_owned()))
        );
    }

    #[test]
    fn text_follows_the_character_set_of_the_content_type() {
        let latin = response(&[("content-type", "text/plain; charset=\"ISO-8859-1\"")], vec![0xe9], 10);
        assert_eq!(latin.text().unwrap(), "é");
        assert_eq!(response(&[], vec![0xe9], 10).text(), Err(BodyError::NotText("UTF-8")));
        let unknown = response(&[("content-type", "text/plain; charset=klingon")], vec![], 10);
        assert_eq!(unknown.text(), Err(BodyError::Charset("klingon".to_owned())));
    }
}
