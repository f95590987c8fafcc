//! Forms and queries as lists of names and values, as browsers send them.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;

use super::backend::Failure;

/// What a form or a query holds, in its order.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Fields {
    /// The query of a path.
    pub(super) fn of_path(path: &str) -> Self {
        let uri = path.parse::<Uri>().unwrap_or_default();
        Query::try_from_uri(&uri).map(|Query(fields)| fields).unwrap_or_default()
    }

    /// The first value of a name, as it was sent.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a name without space around it; none when the field is not there.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.raw(name).map(|v| v.trim().to_owned())
    }

    /// The same, empty when the field is not there.
    pub(super) fn line(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    /// The value, when there is one and it is not empty.
    pub(super) fn filled(&self, name: &str) -> Option<String> {
        self.text(name).filter(|v| !v.is_empty())
    }

    /// All values of a name.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v.clone()).collect()
    }

    /// Whether a box is ticked.
    pub(super) fn ticked(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    /// A value that must be of a type when it is not empty.
    pub(super) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.filled(name).map(|v| v.parse().map_err(|_| wrong(name, "is not valid"))).transpose()
    }

    /// Texts separated by commas, Chinese ones too.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let text = self.line(name);
        text.split([',', '，', '、']).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
    }

    /// The token of the form; empty is refused by the API.
    pub(super) fn csrf(&self) -> &str {
        self.raw("csrf_token").unwrap_or_default()
    }
}

/// The form makes no sense.
pub(super) fn bad(message: &str) -> Failure {
    let code = "bad_request".to_owned();
    Failure { status: StatusCode::BAD_REQUEST, code, message: message.to_owned(), field: None }
}

/// One field of the form makes no sense.
pub(super) fn wrong(field: &str, why: &str) -> Failure {
    Failure { field: Some(field.to_owned()), ..bad(&format!("{field} {why}")) }
}

/// A way within the studio; nothing else is ever followed, whatever an address or a form says.
pub(super) fn studio_path(text: &str) -> Option<&str> {
    let path = text.split('?').next().unwrap_or_default();
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#'));
    let inside = path == "/admin" || path.starts_with("/admin/");
    (plain && inside && !path.contains("..")).then_some(text)
}

/// Only what looks like a key or a code ever gets into a path of the API.
pub(super) fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn lists_are_split_at_the_commas_of_both_languages() {
        let form = fields(&[("tags", "夜，街 、 Kyoto, ,rain")]);
        assert_eq!(form.list("tags"), ["夜", "街", "Kyoto", "rain"]);
        assert!(form.list("none").is_empty());
    }

    #[test]
    fn empty_numbers_are_none_and_wrong_ones_are_refused() {
        let form = fields(&[("frame", " "), ("iso", "400"), ("lat", "north")]);
        assert_eq!(form.parsed::<u32>("frame").expect("none"), None);
        assert_eq!(form.parsed::<u32>("iso").expect("number"), Some(400));
        assert_eq!(form.parsed::<f64>("lat").expect_err("refused").status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn no_way_leads_out_of_the_studio() {
        for right in ["/admin", "/admin?roll=k", "/admin/rolls/k"] {
            assert_eq!(studio_path(right), Some(right));
        }
        let wrong =
            ["//evil.example", "https://evil.example/admin", "/adminx", "/admin?a\r\nb", "", "/admin/../p"];
        for wrong in wrong {
            assert_eq!(studio_path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn keys_cannot_leave_their_place_in_a_path() {
        assert!(is_key("aZ0-_"));
        for wrong in ["", "..", "a/b", "a?b", "a%2f", &"a".repeat(65)] {
            assert!(!is_key(wrong), "{wrong}");
        }
    }
}
