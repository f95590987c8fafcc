//! Every group of `vectors.json`, counted, so that a vector that is added is a vector that is tested.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::time::{Duration, SystemTime};

use safelight_upyun::{
    CallbackError, CallbackRequest, CallbackVerifier, CdnUrls, DeviceToken, FormKey, Operator, ToSign,
    TokenKey, TokenPath, content_md5, encode_path, encode_policy, format_date, legacy, parse_date,
    resource_path,
};
use serde_json::Value;

const DATE: &str = "Wed, 09 Nov 2016 14:26:58 GMT";
const UNIX: u64 = 1_478_701_618;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} missing in {value}"))
}

fn operator() -> Operator {
    Operator::new("operator123", "password123").unwrap()
}

fn at(unix: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix)
}

#[test]
fn vectors_hold_no_group_that_is_not_tested() {
    let tested = [
        "callback_legacy",
        "callback_new",
        "docs_examples",
        "form_legacy_md5",
        "form_upload",
        "header_signatures",
        "meta",
        "purge",
        "styles",
        "upt",
    ];
    let mut groups: Vec<String> = vectors().as_object().unwrap().keys().cloned().collect();
    groups.sort();
    assert_eq!(groups, tested);
}

#[test]
fn constants_agree_with_dates_and_digests() {
    let all = vectors();
    let constants = &all["meta"]["constants"];
    assert_eq!(constants.as_object().unwrap().len(), 8);
    assert_eq!(content_md5(text(constants, "password").as_bytes()), text(constants, "password_md5"));
    assert_eq!(content_md5(text(constants, "put_body").as_bytes()), text(constants, "put_body_md5"));
    assert_eq!(format_date(at(UNIX)), text(constants, "fixed_date"));
    assert_eq!(parse_date(DATE), Some(at(constants["fixed_unix"].as_u64().unwrap())));
    let from_digest =
        Operator::from_password_md5(text(constants, "operator"), text(constants, "password_md5")).unwrap();
    let what = ToSign::new("GET", "/bucket/").date(DATE);
    assert_eq!(from_digest.authorization(&what), operator().authorization(&what));
}

#[test]
fn header_signatures_equal_those_of_the_official_sdks() {
    let all = vectors();
    let cases = all["header_signatures"].as_array().unwrap();
    for case in cases {
        let what = ToSign {
            method: text(case, "method"),
            uri: text(case, "uri"),
            date: case["date"].as_str(),
            policy: case["policy"].as_str(),
            content_md5: case["content_md5"].as_str(),
        };
        assert_eq!(what.text(), text(case, "string_to_sign"));
        assert_eq!(operator().signature(&what), text(case, "signature"));
        assert!(operator().verifies(&what, text(case, "signature")));
        assert!(!operator().verifies(&what, "0iErMfxJhs1FZbqw49AHjQ0pGVk"));
    }
    assert_eq!(cases.len(), 8);
}

#[test]
fn keys_are_encoded_as_in_the_signed_paths() {
    assert_eq!(
        resource_path("bucket", "/照片/旅行 1.jpg").unwrap(),
        "/bucket/%E7%85%A7%E7%89%87/%E6%97%85%E8%A1%8C%201.jpg"
    );
    assert_eq!(encode_path("a+&=;,@!'()*#?%.jpg"), "a%2B%26%3D%3B%2C%40%21%27%28%29%2A%23%3F%25.jpg");
    assert_eq!(resource_path("bucket", "").unwrap(), "/bucket/");
}

#[test]
fn form_policies_of_the_official_sdks_sign_the_same() {
    let all = vectors();
    let cases = all["form_upload"].as_array().unwrap();
    let mut signatures = 0;
    for case in cases {
        let policy = encode_policy(text(case, "policy_json"));
        assert_eq!(policy, text(case, "policy"));
        let json: Value = serde_json::from_str(text(case, "policy_json")).unwrap();
        let full = |uri| ToSign {
            date: json["date"].as_str(),
            content_md5: json["content-md5"].as_str(),
            ..ToSign::new("POST", uri).policy(&policy)
        };
        for (uri_name, proof_name) in [
            ("uri_with_slash", "authorization_uri_with_slash"),
            ("uri_no_slash", "authorization_uri_no_slash"),
        ] {
            if let Some(uri) = case[uri_name].as_str() {
                assert_eq!(operator().authorization(&full(uri)), text(case, proof_name));
                signatures += 1;
            }
        }
        if let Some(expected) = case["authorization"].as_str() {
            // Node and PHP leave the policy's date out.
            let short = ToSign { date: None, ..full(text(case, "uri")) };
            assert_eq!(operator().authorization(&short), expected);
            signatures += 1;
        }
        if let Some(expected) = case["authorization_per_docs"].as_str() {
            assert_eq!(operator().authorization(&full(text(case, "uri"))), expected);
            signatures += 1;
        }
    }
    assert_eq!((cases.len(), signatures), (4, 6));
}

#[test]
fn old_form_signature_equals_the_documented_one() {
    let all = vectors();
    let case = &all["form_legacy_md5"];
    let key = FormKey::new(text(case, "secret")).unwrap();
    assert_eq!(legacy::form_signature(text(case, "policy"), &key), text(case, "signature"));
}

#[test]
fn new_callbacks_verify_and_tampered_ones_do_not() {
    let all = vectors();
    let cases = all["callback_new"]["cases"].as_array().unwrap();
    let verifier = CallbackVerifier::new(operator());
    for case in cases {
        let headers = &case["headers"];
        let request = CallbackRequest {
            method: text(case, "method"),
            path: text(case, "uri"),
            authorization: headers["Authorization"].as_str(),
            date: headers["Date"].as_str(),
            content_md5: headers["Content-MD5"].as_str(),
            body: text(case, "body").as_bytes(),
        };
        let verdict = |request: CallbackRequest<'_>| verifier.verify(&request, at(UNIX + 60));
        let notice = verdict(request).unwrap().upload.unwrap();
        assert_eq!((notice.code, notice.time_unix), (200, UNIX));
        assert_eq!(case["tampered_md5"].as_bool(), Some(false));
        let other = content_md5(b"other");
        assert_eq!(
            verdict(CallbackRequest { content_md5: Some(&other), ..request }),
            Err(CallbackError::BadSignature)
        );
        assert_eq!(case["tampered_uri"].as_bool(), Some(false));
        assert_eq!(verdict(CallbackRequest { path: "/other", ..request }), Err(CallbackError::BadSignature));
        assert_eq!(
            verdict(CallbackRequest { body: b"code=200&url=x&time=1", ..request }),
            Err(CallbackError::BodyChanged)
        );
    }
    assert_eq!(cases.len(), 2);
}

#[test]
fn old_callbacks_verify_and_their_image_size_is_not_trusted() {
    let all = vectors();
    let cases = all["callback_legacy"]["cases"].as_array().unwrap();
    for case in cases {
        let key = FormKey::new(text(case, "form_api_secret")).unwrap();
        let (code, message, url, time) =
            (text(case, "code"), text(case, "message"), text(case, "url"), text(case, "time"));
        let sign = legacy::callback_sign(code, message, url, time, &key, case["ext_param"].as_str());
        assert_eq!(sign, text(case, "sign"));
        assert_eq!(content_md5(text(case, "string").as_bytes()), sign);
        let extra = &case["unsigned_extra_fields"];
        let body = format!(
            "code={code}&message={message}&url={}&time={time}&image-width={}&image-height={}&image-frames={}\
             &image-type={}&sign={sign}",
            url.replace('/', "%2F"),
            extra["image-width"],
            extra["image-height"],
            extra["image-frames"],
            text(extra, "image-type"),
        );
        let request = CallbackRequest {
            method: "POST",
            path: "/api/storage/callback",
            authorization: None,
            date: None,
            content_md5: None,
            body: body.as_bytes(),
        };
        let verifier = CallbackVerifier::new(operator()).accept_legacy(key);
        let notice = verifier.verify(&request, at(UNIX + 60)).unwrap().upload.unwrap();
        assert_eq!(notice.url, url);
        assert_eq!(notice.image, None);
        assert_eq!(notice.unsigned_image.unwrap().width, 1024);
    }
    assert_eq!(cases.len(), 1);
}

#[test]
fn tokens_equal_those_of_the_documented_formula() {
    let all = vectors();
    let cases = all["upt"]["cases"].as_array().unwrap();
    for case in cases {
        let expires = case["etime"].as_u64().unwrap();
        let (uri, expected) = (text(case, "uri"), text(case, "_upt"));
        assert_eq!(text(case, "md5_full").get(12..20), expected.get(..8));
        for spelling in [TokenPath::Decoded, TokenPath::Encoded] {
            let key = TokenKey::new(text(case, "token_secret")).unwrap().path(spelling);
            assert_eq!(key.token(uri, at(expires)), expected);
            key.verify(uri, expected, at(expires)).unwrap();
            key.verify(uri, expected, at(expires + 1)).unwrap_err();
            key.verify("/other", expected, at(expires)).unwrap_err();
        }
    }
    assert_eq!(cases.len(), 2);
}

#[test]
fn tokens_of_names_that_are_not_ascii_are_made_over_the_spelling_that_is_chosen() {
    let all = vectors();
    let case = &all["upt"]["non_ascii"];
    let expires = case["etime"].as_u64().unwrap();
    let (decoded, encoded) = (text(case, "decoded"), text(case, "encoded"));
    for (spelling, expected) in
        [(TokenPath::Decoded, text(case, "_upt_decoded")), (TokenPath::Encoded, text(case, "_upt_encoded"))]
    {
        let key = TokenKey::new(text(case, "token_secret")).unwrap().path(spelling);
        assert_eq!(key.token(encoded, at(expires)), expected);
        key.verify(encoded, expected, at(expires)).unwrap();
        let (name, style) = decoded.rsplit_once('!').unwrap();
        let cdn = CdnUrls::new("https://img.example.com").token(key);
        let signed = cdn.signed(&cdn.style(name, style), at(expires));
        assert_eq!(signed, format!("https://img.example.com{encoded}?_upt={expected}"));
    }
}

#[test]
fn purges_are_authorised_as_by_the_official_sdks() {
    let all = vectors();
    let cases = all["purge"]["cases"].as_array().unwrap();
    for case in cases {
        let made = legacy::purge_authorization(
            &operator(),
            "bucket",
            text(case, "urls"),
            text(&all["purge"], "date"),
        );
        assert_eq!(made, text(case, "authorization"), "{}", text(case, "sdk"));
    }
    assert_eq!(cases.len(), 3);
}

#[test]
fn style_urls_have_the_documented_forms() {
    let all = vectors();
    let cases = all["styles"]["cases"].as_array().unwrap();
    for case in cases {
        let cdn = CdnUrls::new("https://img.example.com").separator(text(case, "separator").parse().unwrap());
        let key = text(case, "key");
        let made = match (case["style"].as_str(), case["parameters"].as_str()) {
            (Some(style), Some(parameters)) => cdn.style_with(key, style, parameters),
            (Some(style), None) => cdn.style(key, style),
            (None, parameters) => cdn.process(key, parameters.unwrap()),
        };
        assert_eq!(made, format!("https://img.example.com/{}", text(case, "url")));
    }
    assert_eq!(cases.len(), 5);
}

/// Recomputes one documented example from the inputs printed in the documentation.
fn documented(name: &str) -> String {
    let old_key = FormKey::new("lGetaXubhGezKp89+6iuOb5IaS3=").unwrap();
    let stored = "/2015/06/17/190623/upload_QQ图片201506011111206f7c696f0920f097d7eefd750334003e.png";
    let spaced = stored.replace("图片", " 图片 ");
    let body = "code=200&message=ok&url=%2F2011%2F12%2Ffd0e30047f81fa95.mp3&time=1478701618";
    let digest = "7ac66c0f148de9519b8bd264312c4d64";
    match name {
        "REST PUT header signature" => {
            operator().signature(&ToSign::new("PUT", "/upyun-temp/demo.jpg").date(DATE).content_md5(digest))
        }
        "callback body md5" => content_md5(body.as_bytes()),
        "callback signature" => {
            let md5 = content_md5(body.as_bytes());
            operator().signature(&ToSign::new("POST", "/upyun_notify_url").date(DATE).content_md5(&md5))
        }
        "form body signature (date printed in docs)" => {
            let json = format!(
                r#"{{"bucket": "upyun-temp", "save-key": "/demo.jpg", "expiration": "1478674618", "date": "{}", "content-md5": "{digest}"}}"#,
                "Wed, 9 Nov 2016 14:26:58 GMT"
            );
            let policy = encode_policy(&json);
            operator()
                .signature(&ToSign::new("POST", "/upyun-temp").date(DATE).policy(&policy).content_md5(digest))
        }
        "token auth" => {
            let token = DeviceToken {
                method: "PUT".into(),
                prefix: Some("/bucket/client_37ascii".into()),
                postfix: None,
                expires_unix: 1_528_531_186,
            };
            token.authorization(&operator()).rsplit_once(':').unwrap().1.to_owned()
        }
        "pretreatment" => operator().signature(
            &ToSign::new("POST", "/pretreatment/").date(DATE).content_md5("a2d75510f7ec654cc24cfa2b5a5a8182"),
        ),
        "legacy form signature md5(policy&secret)" => {
            let policy =
                encode_policy(r#"{"bucket":"demobucket","expiration":1409200758,"save-key":"/img.jpg"}"#);
            legacy::form_signature(&policy, &FormKey::new("cAnyet74l9hdUag34h2dZu8z7gU=").unwrap())
        }
        "legacy no-sign, url as printed (spaces around 图片), no trailing &" => {
            legacy::callback_no_sign("200", "ok", &spaced, "1434539183", None)
        }
        "legacy callback sign, url as in the JSON example (no spaces)" => {
            legacy::callback_sign("200", "ok", stored, "1434539183", &old_key, None)
        }
        "legacy REST md5 signature" => {
            let operator = Operator::new("operator", "password").unwrap();
            legacy::rest_signature(&operator, "GET", "/bucket/sub", "Wed, 29 Oct 2014 02:26:58 GMT", 0)
        }
        other => panic!("no test for the documented example {other:?}"),
    }
}

#[test]
fn documented_examples_reproduce() {
    let all = vectors();
    let cases = all["docs_examples"]["matching"].as_array().unwrap();
    for case in cases {
        let name = text(case, "name");
        assert_eq!(documented(name), text(case, "expected_by_docs"), "{name}");
    }
    assert_eq!(cases.len(), 10);
}
