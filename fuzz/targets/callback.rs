//! Requests to the notify URL: anybody can send any.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use safelight_fuzz::{MARK, pieces, seed, vectors};
use safelight_upyun::{
    CallbackError, CallbackRequest, CallbackScheme, CallbackVerifier, FormKey, Operator, ToSign, content_md5,
    legacy, parse_date,
};

/// When the golden vectors were signed.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_478_701_618)
}

fn operator(password: &str) -> Operator {
    Operator::new("operator123", password).expect("operator")
}

fn form_key() -> FormKey {
    FormKey::new("formsecret123=").expect("key")
}

/// Knows the keys of the vectors.
static KNOWN: LazyLock<CallbackVerifier> =
    LazyLock::new(|| CallbackVerifier::new(operator("password123")).accept_legacy(form_key()));
/// Has keys that nothing here was signed with.
static OTHER: LazyLock<CallbackVerifier> = LazyLock::new(|| {
    let key = FormKey::new("another form secret").expect("key");
    CallbackVerifier::new(operator("another password")).accept_legacy(key)
});

/// Authorization, date, MD5 and path, then the body.
fn join(parts: [&str; 4], body: &str) -> Vec<u8> {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(part.as_bytes());
        all.push(MARK);
    }
    all.extend_from_slice(body.as_bytes());
    all
}

fn seeds() -> Vec<Vec<u8>> {
    let vectors = vectors();
    let mut all = Vec::new();
    for case in vectors["callback_new"]["cases"].as_array().expect("cases") {
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let header = |name: &str| text(&case["headers"][name]);
        let (proof, date, md5) = (header("Authorization"), header("Date"), header("Content-MD5"));
        let (path, body) = (text(&case["uri"]), text(&case["body"]));
        all.push(join([&proof, &date, &md5, &path], &body));
    }
    for case in vectors["callback_legacy"]["cases"].as_array().expect("cases") {
        let text = |name: &str| case[name].as_str().expect("text");
        let fields = format!(
            "code={}&message={}&url={}&time={}",
            text("code"),
            text("message"),
            text("url"),
            text("time")
        );
        all.push(join(["", "", "", ""], &format!("{fields}&sign={}", text("sign"))));
        all.push(join(["", "", "", ""], &format!("{fields}&no-sign={}", text("sign"))));
    }
    all.push(join(
        ["", "", "", "/"],
        r#"{"code":200,"message":"ok","url":"/a","time":1478701618,"sign":"x"}"#,
    ));
    all.push(join(["", "", "", "/"], r#"{"task_id":"1","status_code":200,"imginfo":{"width":1}}"#));
    all
}

/// The request that an input stands for; none when its headers could not have come in.
struct Input {
    head: [String; 4],
    body: Vec<u8>,
}

impl Input {
    fn read(data: &[u8]) -> Option<Self> {
        let [proof, date, md5, path, body] = pieces::<5>(data);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Self { head: [text(proof)?, text(date)?, text(md5)?, text(path)?], body: body.to_vec() })
    }

    /// An empty header is none.
    fn request(&self) -> CallbackRequest<'_> {
        let given = |n: usize| Some(self.head[n].as_str()).filter(|text| !text.is_empty());
        CallbackRequest {
            method: "POST",
            path: &self.head[3],
            authorization: given(0),
            date: given(1),
            content_md5: given(2),
            body: &self.body,
        }
    }
}

fn check(data: &[u8]) {
    let Some(input) = Input::read(data) else { return };
    let request = input.request();
    let ([proof, date, _, path], body) = (&input.head, input.body.as_slice());
    assert!(OTHER.verify(&request, now()).is_err(), "accepted without its key");

    // What is accepted was signed, over this very body, not long ago. Computed here a second time.
    if let Ok(callback) = KNOWN.verify(&request, now()) {
        match callback.scheme {
            CallbackScheme::Hmac => {
                let real = content_md5(body);
                let what = ToSign::new("POST", path).date(date).content_md5(&real);
                let signature = proof.trim().rsplit(':').next().unwrap_or_default();
                assert!(
                    operator("password123").verifies(&what, signature),
                    "another body or path was signed"
                );
                let when = parse_date(date).expect("a date");
                let away = when.duration_since(now()).unwrap_or_else(|e| e.duration());
                assert!(away <= safelight_upyun::SIGNATURE_WINDOW, "too old");
            }
            CallbackScheme::LegacyMd5 => {
                let get = |name: &str| callback.fields.get(name).map(String::as_str);
                let need = |name: &str| get(name).expect("a signed field");
                let sign = legacy::callback_sign(
                    need("code"),
                    need("message"),
                    need("url"),
                    need("time"),
                    &form_key(),
                    get("ext-param"),
                );
                assert_eq!(need("sign"), sign);
                let upload = callback.upload.expect("only uploads are signed in the old scheme");
                assert_eq!(upload.image, None, "sizes are not signed in the old scheme");
                assert_eq!(
                    (upload.url.as_str(), upload.ext_param.as_deref()),
                    (need("url"), get("ext-param"))
                );
            }
        }
    }

    // The same body, signed: its reader gets to see everything.
    let (date, md5) = ("Wed, 09 Nov 2016 14:26:58 GMT", content_md5(body));
    let proof =
        operator("password123").authorization(&ToSign::new("POST", path).date(date).content_md5(&md5));
    let signed =
        CallbackRequest { authorization: Some(&proof), date: Some(date), content_md5: Some(&md5), ..request };
    if let Err(error) = KNOWN.verify(&signed, now()) {
        let unreadable = matches!(error, CallbackError::BadBody { .. } | CallbackError::TooLarge { .. });
        assert!(unreadable, "a signed body was refused: {error}");
    }
    // And with one bit of it changed it is another body.
    let mut changed = body.to_vec();
    if let Some(byte) = changed.last_mut() {
        *byte ^= 1;
        let verdict = KNOWN.verify(&CallbackRequest { body: &changed, ..signed }, now());
        let refused = matches!(verdict, Err(CallbackError::BodyChanged | CallbackError::TooLarge { .. }));
        assert!(refused, "a changed body: {verdict:?}");
    }
}

fuzz_target!(init: seed(seeds), |data: &[u8]| check(data));
