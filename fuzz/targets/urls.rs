//! Paths of objects, CDN URLs and `_upt` tokens.
#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use safelight_fuzz::{MARK, pieces, seed, vectors};
use safelight_upyun::{
    Authorization, CdnUrls, Separator, TokenError, TokenKey, TokenPath, format_date, parse_date,
    resource_path,
};

fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for case in vectors()["upt"]["cases"].as_array().expect("cases") {
        let text = |name: &str| case[name].as_str().expect("text").as_bytes();
        all.push([text("uri"), b"thumb", text("_upt")].join(&MARK));
    }
    for case in vectors()["header_signatures"].as_array().expect("cases") {
        let text = |name: &str| case[name].as_str().unwrap_or_default().as_bytes();
        all.push([text("uri"), text("date"), text("signature")].join(&MARK));
    }
    all.push(
        ["/照片/a b+&=.jpg", "/fw/300/format/webp", "UPYUN operator123:0iErMfxJhs1FZbqw49AHjQ0pGVk="]
            .map(str::as_bytes)
            .join(&MARK),
    );
    all
}

fn at(unix: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix)
}

fn check(data: &[u8]) {
    let [key, style, rest] = pieces::<3>(data);
    let (key, style) = (String::from_utf8_lossy(key), String::from_utf8_lossy(style));
    let token = String::from_utf8_lossy(rest);

    if let Ok(path) = resource_path("photos", &key) {
        let sent = path.strip_prefix("/photos/").expect("inside its bucket");
        let back = percent_decode_str(sent).decode_utf8().expect("UTF-8");
        assert_eq!(back, key.strip_prefix('/').unwrap_or(&key));
        assert!(path.is_ascii() && !path.contains(['?', '#', ' ', '\r', '\n']), "{path}");
        assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{path}");
    }

    for spelling in [TokenPath::Decoded, TokenPath::Encoded] {
        let secret = TokenKey::new("tokensecret123").expect("key").path(spelling);
        let other = TokenKey::new("another secret").expect("key").path(spelling);
        for separator in Separator::ALL {
            let cdn = CdnUrls::new("https://img.example.com").separator(separator).token(secret.clone());
            let url = cdn.style(&key, &style);
            let path = url.strip_prefix("https://img.example.com").expect("on its domain");
            assert!(
                path.starts_with('/') && url.is_ascii() && !url.contains(['?', '#', ' ', '"', '<']),
                "{url}"
            );
            let signed = cdn.signed(&url, at(2000));
            let made = signed.strip_prefix(&format!("{url}?_upt=")).expect("a token at the end");
            assert_eq!(secret.verify(path, made, at(2000)), Ok(()));
            assert_eq!(secret.verify(path, made, at(2001)), Err(TokenError::Expired { expired_unix: 2000 }));
            assert_eq!(other.verify(path, made, at(2000)), Err(TokenError::Mismatch));
            assert!(secret.verify(&format!("{path}x"), made, at(2000)).is_err());
        }
        if other.verify(&key, &token, at(0)).is_ok() {
            let expires = token.get(8..).and_then(|text| text.parse().ok()).expect("a time");
            assert_eq!(other.token(&key, at(expires))[..8], token[..8], "a token of nobody's opened a path");
        }
    }

    if let Some(date) = parse_date(&style) {
        assert_eq!(parse_date(&format_date(date)), Some(date));
    }
    // Whatever a header says, reading it is harmless.
    if let Some(Authorization::Hmac { operator, signature }) = Authorization::parse(&token) {
        assert!(token.contains(&operator) && token.contains(&signature));
    }
}

fuzz_target!(init: seed(seeds), |data: &[u8]| check(data));
