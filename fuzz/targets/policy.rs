//! Policies of form uploads, with any value an application may put into them.
#![no_main]

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use safelight_fuzz::{MARK, pieces, seed, vectors};
use safelight_upyun::{FormKey, FormPolicy, Operator, ToSign, legacy};
use serde_json::{Map, Value};

fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for case in vectors()["form_upload"].as_array().expect("cases") {
        let object: Map<String, Value> =
            serde_json::from_str(case["policy_json"].as_str().expect("JSON")).expect("a policy");
        let mut seed = [b"bucket".as_slice(), b"/a.jpg"].join(&MARK);
        for (name, value) in object {
            seed.push(MARK);
            seed.extend_from_slice(format!("{name}={value}").as_bytes());
        }
        all.push(seed);
    }
    let whole = [
        "photos",
        "/{year}/{random32}{.suffix}",
        "date=1478701618",
        "content-md5=900150983cd24fb0d6963f7d28e17f72",
        "content-length-range=1,1048576",
        "image-width-range=9,3",
        "x-upyun-meta-ttl=181",
        "ext-param=胶卷 7",
        "notify-url=https://example.com/callback",
        "apps=[{\"name\":\"thumb\"}]",
    ];
    all.push(whole.map(str::as_bytes).join(&MARK));
    all
}

/// Sets one parameter by its own method where it has one, and in what must then be found in the policy.
fn set(policy: FormPolicy, expected: &mut BTreeMap<String, Value>, name: &str, text: &str) -> FormPolicy {
    let mut expect = |name: &str, value: Value| drop(expected.insert(name.to_owned(), value));
    let pair = || {
        let (min, max) = text.split_once(',')?;
        Some((min.parse::<u64>().ok()?, max.parse::<u64>().ok()?))
    };
    match (name, pair()) {
        ("content-length-range", Some((min, max))) => {
            expect(name, format!("{min},{max}").into());
            policy.content_length_range(min, max)
        }
        ("image-width-range", Some((min, max))) => {
            expect(name, format!("{min},{max}").into());
            policy.image_width_range(min, max)
        }
        ("ext-param", _) => {
            expect(name, text.into());
            policy.ext_param(text)
        }
        ("x-upyun-meta-ttl", _) => {
            let days = text.parse().unwrap_or(1);
            expect(name, days.into());
            policy.ttl_days(days)
        }
        ("content-md5", _) => {
            expect(name, text.into());
            policy.content_md5(text)
        }
        _ => {
            // A parser stops at 128 levels, and the policy itself is one.
            let shallow = text.matches(['[', '{']).count() < 100;
            let parsed = shallow.then(|| serde_json::from_str(text).ok()).flatten();
            let value = parsed.unwrap_or_else(|| Value::from(text));
            expect(name, value.clone());
            policy.set(name, value)
        }
    }
}

fn check(data: &[u8]) {
    let [bucket, save_key, rest] = pieces::<3>(data);
    let bucket = String::from_utf8_lossy(bucket).into_owned();
    let save_key = String::from_utf8_lossy(save_key).into_owned();
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(1_478_703_418);
    let mut policy = FormPolicy::new(bucket.as_str(), save_key.as_str(), expires);
    let mut expected = BTreeMap::from([
        ("bucket".to_owned(), Value::from(bucket.as_str())),
        ("save-key".to_owned(), Value::from(save_key)),
        ("expiration".to_owned(), Value::from(1_478_703_418_u64)),
    ]);
    for piece in rest.split(|byte| *byte == MARK) {
        let piece = String::from_utf8_lossy(piece);
        if let Some((name, value)) = piece.split_once('=') {
            policy = set(policy, &mut expected, name, value);
        }
    }
    let operator = Operator::new("operator123", "password123").expect("operator");
    let key = FormKey::new("formsecret123=").expect("key");
    let Ok(json) = policy.json() else {
        assert!(
            policy.sign(&operator).is_err() && policy.sign_legacy(&key).is_err(),
            "a bad policy was signed"
        );
        return;
    };
    let said: BTreeMap<String, Value> = serde_json::from_str(&json).expect("a policy is JSON");
    assert_eq!(said, expected);
    assert!(!json.contains(['\r', '\n']));

    let form = policy.sign(&operator).expect("the same policy");
    assert_eq!(STANDARD.decode(form.policy()).expect("base64"), json.as_bytes());
    assert_eq!(form.path(), format!("/{bucket}"));
    let mut what = ToSign::new("POST", form.path()).policy(form.policy());
    what.date = expected.get("date").and_then(Value::as_str);
    what.content_md5 = expected.get("content-md5").and_then(Value::as_str);
    let signature = form.proof().strip_prefix("UPYUN operator123:").expect("authorization");
    assert!(operator.verifies(&what, signature));
    let old = policy.sign_legacy(&key).expect("the same policy");
    assert_eq!(
        (old.proof(), old.policy()),
        (legacy::form_signature(form.policy(), &key).as_str(), form.policy())
    );
}

fuzz_target!(init: seed(seeds), |data: &[u8]| check(data));
