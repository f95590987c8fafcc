//! Dates in the notations that Hurl files use (those of strftime).

use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// RFC 3339 in strftime's notation; Hurl files may shorten it to `%+`.
const RFC_3339: &str = "%Y-%m-%dT%H:%M:%S%.f%:z";

/// `date` in UTC, written as `format` says.
pub(crate) fn format(date: Timestamp, format: &str) -> Result<String, String> {
    let format = format.replace("%+", RFC_3339);
    strtime::format(&format, &date.to_zoned(TimeZone::UTC)).map_err(|error| format!("{format:?}: {error}"))
}

/// The date that `text` is in `format`. Without a zone it is UTC, without a time it is midnight.
pub(crate) fn parse(text: &str, format: &str) -> Result<Timestamp, String> {
    // A zone of `Z` is for RFC 3339 alone: strftime's `%z` wants digits.
    if format == "%+" && is_iso(text) {
        return text.parse().map_err(|error: jiff::Error| error.to_string());
    }
    let format = format.replace("%+", RFC_3339);
    let parsed = BrokenDownTime::parse(&format, text)
        .map_err(|error| format!("{text:?} is not {format:?}: {error}"))?;
    if let Ok(date) = parsed.to_timestamp() {
        return Ok(date);
    }
    let utc = |date: jiff::civil::DateTime| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let date = parsed.to_datetime().or_else(|_| parsed.to_date().map(|date| date.at(0, 0, 0, 0)));
    date.and_then(utc).map_err(|error| format!("{text:?} in {format:?} is no date: {error}"))
}

/// Whole days of 24 hours from one point in time to the other, towards zero.
pub(crate) fn whole_days(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs() / SignedDuration::from_hours(24).as_secs()
}

/// A cookie's `Expires`: the form of RFC 9110, or the older one with dashes.
pub(crate) fn parse_cookie(text: &str) -> Option<Timestamp> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%a, %d-%b-%Y %H:%M:%S GMT"]
        .into_iter()
        .find_map(|form| parse(text, form).ok())
}

/// Whether `text` is a date and time of RFC 3339.
pub(crate) fn is_iso(text: &str) -> bool {
    let shape = text.len() >= 20 && text.as_bytes().get(10).is_some_and(|c| matches!(c, b'T' | b't' | b' '));
    shape && !text.contains('[') && text.parse::<Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_and_without_zone_and_time() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(
            parse("2024-05-06 07:08:09 +0200", "%Y-%m-%d %H:%M:%S %z").unwrap(),
            at("2024-05-06T05:08:09Z")
        );
        assert_eq!(parse("2024-05-06 07:08:09", "%Y-%m-%d %H:%M:%S").unwrap(), at("2024-05-06T07:08:09Z"));
        assert_eq!(parse("2024-05-06", "%Y-%m-%d").unwrap(), at("2024-05-06T00:00:00Z"));
        assert_eq!(parse("2024-05-06T07:08:09.5+02:00", "%+").unwrap(), at("2024-05-06T05:08:09.5Z"));
        assert_eq!(parse("2024-05-06T07:08:09Z", "%+").unwrap(), at("2024-05-06T07:08:09Z"));
        assert!(parse("06/05/2024", "%Y-%m-%d").is_err());
    }

    #[test]
    fn dates_are_written_in_utc() {
        let date = "2024-05-06T05:08:09.25Z".parse().unwrap();
        assert_eq!(format(date, "%a, %d %b %Y %H:%M:%S").unwrap(), "Mon, 06 May 2024 05:08:09");
        assert!(format(date, "%!").is_err());
    }

    #[test]
    fn days_are_counted_towards_zero() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(whole_days(at("2024-05-06T00:00:00Z"), at("2024-05-08T23:59:59Z")), 2);
        assert_eq!(whole_days(at("2024-05-08T23:59:59Z"), at("2024-05-06T00:00:00Z")), -2);
    }

    #[test]
    fn only_full_dates_with_zone_are_iso() {
        assert!(is_iso("2024-05-06T05:08:09Z") && is_iso("2024-05-06T05:08:09.123+02:00"));
        assert!(!is_iso("2024-05-06") && !is_iso("2024-05-06T05:08:09") && !is_iso("now"));
    }

    #[test]
    fn both_forms_of_a_cookies_expiry_are_read() {
        let date = "2030-01-13T22:23:01Z".parse().ok();
        assert_eq!(parse_cookie("Sun, 13 Jan 2030 22:23:01 GMT"), date);
        assert_eq!(parse_cookie("Sun, 13-Jan-2030 22:23:01 GMT"), date);
        assert_eq!(parse_cookie("soon"), None);
    }
}
