//! Owns secrets and the one function through which everything printed or stored passes.
//! It must not know what it redacts: a URL, a body and a message are all text.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A value that is sent but never shown. `Debug` and `Display` print `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the value over.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, to be sent and not to be shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

/// Bytes that a query keeps as they are: the unreserved ones of RFC 3986.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As above, and a slash, as a path keeps it.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// A base64 core shorter than this is too likely to stand in innocent text.
const MIN_BASE64_CORE: usize = 4;

/// Replaces every known secret, in each form in which it can travel, by [`MASK`].
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    secrets: BTreeSet<String>,
    /// Every form of every secret, longest first, so that no part of a longer form is left over.
    forms: Vec<String>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

impl Redactor {
    /// Adds a secret; an empty one would match everywhere and is left out.
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.is_empty() || !self.secrets.insert(secret.to_owned()) {
            return;
        }
        let mut forms: BTreeSet<String> = std::mem::take(&mut self.forms).into_iter().collect();
        forms.extend(forms_of(secret));
        self.forms = forms.into_iter().collect();
        self.forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    }

    /// `text` without secrets.
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for form in &self.forms {
            if out.contains(form.as_str()) {
                out = out.replace(form.as_str(), MASK);
            }
        }
        out
    }

    /// Whether `text` carries a secret in any form.
    pub(crate) fn touches(&self, text: &str) -> bool {
        self.forms.iter().any(|form| text.contains(form.as_str()))
    }
}

fn forms_of(secret: &str) -> BTreeSet<String> {
    let mut forms = BTreeSet::from([secret.to_owned()]);
    add_url_forms(secret, &mut forms);
    let json = serde_json::Value::String(secret.to_owned()).to_string();
    let json = json[1..json.len() - 1].to_owned();
    // A slash may be escaped in JSON, and other writers escape all that is not ASCII.
    forms.insert(json.replace('/', "\\/"));
    forms.insert(json_ascii(&json));
    forms.insert(json);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    forms.insert(hex.to_uppercase());
    forms.insert(hex);
    forms.insert(crate::filter::escape_html(secret));
    // Debug output of strings, as error messages of libraries show them.
    let debug = format!("{secret:?}");
    forms.insert(debug[1..debug.len() - 1].to_owned());
    for core in base64_cores(secret.as_bytes()) {
        let url_safe = core.replace('+', "-").replace('/', "_");
        for core in [core, url_safe] {
            add_url_forms(&core, &mut forms);
            forms.insert(core);
        }
    }
    forms.retain(|form| !form.is_empty());
    forms
}

fn add_url_forms(text: &str, forms: &mut BTreeSet<String>) {
    for set in [UNRESERVED, PATH, NON_ALPHANUMERIC] {
        let upper = utf8_percent_encode(text, set).to_string();
        forms.insert(lower_hex(&upper));
        forms.insert(upper.replace("%20", "+"));
        forms.insert(upper);
    }
    // A secret in a path or a query passes through the URL parser, which escapes less than the sets above.
    if let Ok(url) = reqwest::Url::parse(&format!("http://h/?{}", text.replace('#', "%23"))) {
        forms.extend(url.query().map(str::to_owned));
    }
    if !text.contains(['/', '?', '#', '\\'])
        && let Ok(url) = reqwest::Url::parse(&format!("http://h/{text}"))
    {
        forms.insert(url.path()[1..].to_owned());
    }
}

fn lower_hex(encoded: &str) -> String {
    let mut left = 0;
    encoded
        .chars()
        .map(|c| match c {
            '%' => {
                left = 2;
                c
            }
            _ if left > 0 => {
                left -= 1;
                c.to_ascii_lowercase()
            }
            _ => c,
        })
        .collect()
}

fn json_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// Base64 mixes three bytes into four letters, so what a secret looks like depends on what stands before it
/// (`user:secret` in basic authentication). For each of the three positions: the letters that come from the
/// secret alone, whatever its neighbours are; and the whole encoding of the secret by itself.
fn base64_cores(secret: &[u8]) -> Vec<String> {
    let mut cores = Vec::new();
    let whole = STANDARD_NO_PAD.encode(secret);
    if whole.len() >= MIN_BASE64_CORE {
        cores.push(whole);
    }
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret);
        let letters = STANDARD_NO_PAD.encode(&bytes);
        let start = (before * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        if end >= start + MIN_BASE64_CORE {
            cores.push(letters[start..end].to_owned());
        }
    }
    cores
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    fn redactor(secret: &str) -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add(secret);
        redactor
    }

    #[test]
    fn a_secret_is_masked_plain_and_percent_encoded_in_both_cases() {
        let r = redactor("p@ss w/rd+é");
        assert_eq!(r.redact("a=p@ss w/rd+é;"), "a=***;");
        assert_eq!(r.redact("q=p%40ss%20w%2Frd%2B%C3%A9"), "q=***");
        assert_eq!(r.redact("q=p%40ss%20w%2frd%2b%c3%a9"), "q=***");
        assert_eq!(r.redact("q=p%40ss+w%2Frd%2B%C3%A9"), "q=***");
        assert_eq!(r.redact("http://h/?q=p@ss%20w/rd+%C3%A9"), "http://h/?q=***");
    }

    #[test]
    fn a_secret_is_masked_in_base64_whatever_stands_before_it() {
        let r = redactor("correct-horse");
        for user in ["", "u", "us", "use", "someone:"] {
            for after in ["", ":", "::"] {
                let clear = format!("{user}correct-horse{after}");
                for engine in [&STANDARD, &URL_SAFE] {
                    let redacted = r.redact(&engine.encode(&clear));
                    assert!(redacted.contains(MASK), "{clear} -> {redacted}");
                    assert!(redacted.len() < 20, "too much of the secret is left: {redacted}");
                }
            }
        }
    }

    #[test]
    fn a_secret_is_masked_in_json_hex_and_debug_output() {
        let r = redactor("a\"b\\c/é\n");
        assert_eq!(r.redact(&serde_json::json!({ "k": "a\"b\\c/é\n" }).to_string()), r#"{"k":"***"}"#);
        assert_eq!(r.redact(r#"{"k":"a\"b\\c\/é\n"}"#), r#"{"k":"***"}"#);
        assert_eq!(r.redact(r#"{"k":"a\"b\\c/\u00e9\n"}"#), r#"{"k":"***"}"#);
        assert_eq!(r.redact("6122625c632fc3a90a"), MASK);
        assert_eq!(r.redact(&format!("{:?}", "a\"b\\c/é\n")), "\"***\"");
    }

    #[test]
    fn a_longer_secret_is_masked_whole_when_a_shorter_one_is_part_of_it() {
        let mut r = redactor("abc");
        r.add("abcdef");
        r.add("");
        assert_eq!(r.redact("x abcdef y abc"), "x *** y ***");
        assert!(r.touches("zabcz") && !r.touches("none"));
    }

    proptest::proptest! {
        #[test]
        fn no_secret_survives_in_any_form_and_place(secret in "\\PC{6,20}", before in "[a-z]{0,5}", after in "[a-z]{0,5}") {
            let r = redactor(&secret);
            let clear = format!("{before}{secret}{after}");
            let json = serde_json::Value::String(clear.clone()).to_string();
            let percent = utf8_percent_encode(&clear, UNRESERVED).to_string();
            let encoded = STANDARD.encode(&clear);
            for text in [clear.clone(), json, percent, encoded, format!("{clear:?}")] {
                proptest::prop_assert!(r.redact(&text).contains(MASK), "{}", text);
            }
            proptest::prop_assert!(!r.redact(&clear).contains(&secret));
        }
    }

    #[test]
    fn a_secret_prints_as_a_mask() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
    }
}
