//! RFC 1123 dates as they are signed.
use std::time::SystemTime;

/// `Wed, 09 Nov 2016 14:26:58 GMT`. Times before 1970 are written as 1970, since the format cannot fail.
pub fn format_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time.max(SystemTime::UNIX_EPOCH))
}

/// Reads an RFC 1123 date in GMT; nothing else is accepted, since that is what is signed.
pub fn parse_date(text: &str) -> Option<SystemTime> {
    // The parser knows older HTTP formats as well; Upyun documents one.
    if !text.ends_with(" GMT") || text.as_bytes().get(3) != Some(&b',') {
        return None;
    }
    httpdate::parse_http_date(text).ok()
}

pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// None when the number is too large for the platform's clock.
pub(crate) fn from_unix(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds))
}
