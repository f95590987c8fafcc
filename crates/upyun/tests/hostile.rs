//! What arrives from the internet: nothing may panic, nothing unproved may pass, nothing secret may be printed.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use safelight_upyun::{
    ApiError, Authorization, CallbackError, CallbackRequest, CallbackVerifier, CdnUrls, CredentialError,
    ErrorCode, FormAnswer, FormKey, FormPolicy, Operator, PolicyError, Separator, ToSign, TokenKey,
    content_md5, format_date, legacy, parse_date, resource_path,
};

const PATH: &str = "/api/storage/callback";

fn operator() -> Operator {
    Operator::new("operator123", "password123").unwrap()
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_478_701_618)
}

struct Signed {
    authorization: String,
    date: String,
    md5: String,
    body: Vec<u8>,
}

impl Signed {
    fn new(body: &[u8], when: SystemTime) -> Self {
        let (date, md5) = (format_date(when), content_md5(body));
        let authorization =
            operator().authorization(&ToSign::new("POST", PATH).date(&date).content_md5(&md5));
        Self { authorization, date, md5, body: body.to_vec() }
    }

    fn request(&self) -> CallbackRequest<'_> {
        CallbackRequest {
            method: "POST",
            path: PATH,
            authorization: Some(&self.authorization),
            date: Some(&self.date),
            content_md5: Some(&self.md5),
            body: &self.body,
        }
    }
}

fn unsigned(body: &[u8]) -> CallbackRequest<'_> {
    CallbackRequest { method: "POST", path: PATH, authorization: None, date: None, content_md5: None, body }
}

proptest! {
    #[test]
    fn arbitrary_callbacks_are_refused_without_panic(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        authorization in proptest::option::of(".{0,80}"),
        date in proptest::option::of(".{0,40}"),
        md5 in proptest::option::of("[0-9a-f]{0,40}"),
    ) {
        let verifier = CallbackVerifier::new(operator()).accept_legacy(FormKey::new("formsecret123=").unwrap());
        let request = CallbackRequest {
            method: "POST",
            path: PATH,
            authorization: authorization.as_deref(),
            date: date.as_deref(),
            content_md5: md5.as_deref(),
            body: &body,
        };
        prop_assert!(verifier.verify(&request, now()).is_err());
    }

    #[test]
    fn form_shaped_callbacks_without_proof_are_refused(
        fields in proptest::collection::vec(("(code|url|time|sign|no-sign|ext-param|message|%[0-9a-f]{2})", "[%0-9a-z+]{0,12}"), 0..8),
    ) {
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let verifier = CallbackVerifier::new(operator()).accept_legacy(FormKey::new("formsecret123=").unwrap());
        prop_assert!(verifier.verify(&unsigned(body.join("&").as_bytes()), now()).is_err());
    }

    #[test]
    fn signed_bodies_of_any_shape_do_not_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let signed = Signed::new(&body, now());
        // Proved, but rarely readable: the only acceptable refusal is about the body.
        if let Err(error) = CallbackVerifier::new(operator()).verify(&signed.request(), now()) {
            prop_assert!(matches!(error, CallbackError::BadBody { .. }), "{error:?}");
        }
    }

    #[test]
    fn one_changed_byte_of_the_body_is_noticed(position in 0usize..60, change in 1u8..=255) {
        let mut signed = Signed::new(b"code=200&message=ok&url=%2F2016%2Fabc.jpg&time=1478701618&xyz", now());
        signed.body[position] ^= change;
        prop_assert_eq!(
            CallbackVerifier::new(operator()).verify(&signed.request(), now()),
            Err(CallbackError::BodyChanged)
        );
    }

    #[test]
    fn parsers_of_headers_tokens_and_answers_never_panic(text in ".{0,120}", bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Authorization::parse(&text);
        let _ = parse_date(&text);
        let _ = text.parse::<Separator>();
        let _ = resource_path("photos", &text);
        let key = TokenKey::new("secret").unwrap();
        prop_assert!(key.verify(&text, &text, now()).is_err());
        let refusal = ApiError::read("GET /photos/a", 400, Some(&text), None, &bytes);
        prop_assert!(refusal.to_string().starts_with("Upyun refused GET /photos/a: HTTP 400"));
        let _ = serde_json::from_slice::<FormAnswer>(&bytes);
    }

    #[test]
    fn tokens_open_their_path_only(path in "/[a-z0-9/._-]{1,30}", other in "/[a-z0-9/._-]{1,30}", seconds in 0u64..4_000_000_000) {
        prop_assume!(path != other);
        let key = TokenKey::new("tokensecret123").unwrap();
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let token = key.token(&path, expires);
        prop_assert!(key.verify(&path, &token, expires).is_ok());
        prop_assert!(key.verify(&other, &token, expires).is_err());
    }
}

#[test]
fn date_outside_the_window_is_refused_on_both_sides() {
    let verifier = CallbackVerifier::new(operator());
    let body = b"code=200&message=ok&url=%2Fa.jpg&time=1478701618";
    for (age, accepted) in [(0, true), (1800, true), (1801, false)] {
        let old = Signed::new(body, now() - Duration::from_secs(age));
        assert_eq!(verifier.verify(&old.request(), now()).is_ok(), accepted, "{age} s old");
        let early = Signed::new(body, now() + Duration::from_secs(age));
        assert_eq!(verifier.verify(&early.request(), now()).is_ok(), accepted, "{age} s ahead");
    }
    let refused = Signed::new(body, now() - Duration::from_secs(7200));
    let shorter = verifier.window(Duration::from_secs(60)).verify(&refused.request(), now());
    assert_eq!(shorter, Err(CallbackError::OutsideWindow { seconds: 7200, window: 60 }));
}

#[test]
fn missing_parts_of_a_signed_callback_are_named() {
    let verifier = CallbackVerifier::new(operator());
    let signed = Signed::new(b"code=200&message=ok&url=%2Fa.jpg&time=1478701618", now());
    let verdict = |request: CallbackRequest<'_>| verifier.verify(&request, now()).unwrap_err();
    assert_eq!(verdict(CallbackRequest { date: None, ..signed.request() }), CallbackError::BadDate);
    assert_eq!(
        verdict(CallbackRequest { content_md5: None, ..signed.request() }),
        CallbackError::NoContentMd5
    );
    assert_eq!(verdict(CallbackRequest { authorization: None, ..signed.request() }), CallbackError::Unsigned);
    let basic = "Basic b3BlcmF0b3I6cGFzc3dvcmQ=";
    assert_eq!(
        verdict(CallbackRequest { authorization: Some(basic), ..signed.request() }),
        CallbackError::BadAuthorization
    );
    let other = signed.authorization.replace("operator123", "mallory");
    assert_eq!(
        verdict(CallbackRequest { authorization: Some(&other), ..signed.request() }),
        CallbackError::WrongOperator { operator: "mallory".into() }
    );
    let huge = vec![b'a'; safelight_upyun::MAX_CALLBACK_BODY_BYTES + 1];
    assert_eq!(
        verdict(CallbackRequest { body: &huge, ..signed.request() }),
        CallbackError::TooLarge { bytes: huge.len() }
    );
}

#[test]
fn no_sign_is_refused_although_its_digest_is_right() {
    let no_sign = legacy::callback_no_sign("200", "ok", "/a.jpg", "1478701618", None);
    let body = format!("code=200&message=ok&url=/a.jpg&time=1478701618&no-sign={no_sign}");
    let with_key = CallbackVerifier::new(operator()).accept_legacy(FormKey::new("formsecret123=").unwrap());
    for verifier in [CallbackVerifier::new(operator()), with_key.clone()] {
        assert_eq!(verifier.verify(&unsigned(body.as_bytes()), now()), Err(CallbackError::NoSign));
    }
    // Renamed to `sign` it does not pass either.
    let renamed = body.replace("no-sign", "sign");
    assert_eq!(with_key.verify(&unsigned(renamed.as_bytes()), now()), Err(CallbackError::BadSignature));
}

#[test]
fn doubled_fields_of_an_old_callback_are_refused() {
    let key = FormKey::new("formsecret123=").unwrap();
    let sign = legacy::callback_sign("200", "ok", "/a.jpg", "1478701618", &key, Some("roll 7"));
    let body = format!("code=200&message=ok&url=/a.jpg&time=1478701618&ext-param=roll+7&sign={sign}");
    let verifier = CallbackVerifier::new(operator()).accept_legacy(key);
    let good = verifier.verify(&unsigned(body.as_bytes()), now()).unwrap();
    assert_eq!(good.upload.unwrap().ext_param.as_deref(), Some("roll 7"));
    let doubled = format!("url=/evil.jpg&{body}");
    let refused = verifier.verify(&unsigned(doubled.as_bytes()), now());
    assert!(matches!(refused, Err(CallbackError::BadBody { .. })), "{refused:?}");
    let old = verifier.verify(&unsigned(body.as_bytes()), now() + Duration::from_secs(26 * 3600));
    assert!(matches!(old, Err(CallbackError::OutsideWindow { .. })), "{old:?}");
}

#[test]
fn json_results_of_tasks_are_read() {
    let body = br#"{"task_id":"b2f1","status_code":200,"service":"photos","imginfo":[{"path":"/a.jpg"}]}"#;
    let callback =
        CallbackVerifier::new(operator()).verify(&Signed::new(body, now()).request(), now()).unwrap();
    let task = callback.task.unwrap();
    assert_eq!((task.task_id.as_str(), task.status_code), ("b2f1", Some(200)));
    assert_eq!(callback.fields["imginfo"], r#"[{"path":"/a.jpg"}]"#);
}

#[test]
fn secrets_are_not_printed() {
    let operator = operator();
    let form = FormPolicy::new("photos", "/a.jpg", now()).sign(&operator).unwrap();
    let key = FormKey::new("formsecret123=").unwrap();
    let verifier = CallbackVerifier::new(operator.clone()).accept_legacy(key.clone());
    let urls = CdnUrls::new("https://img.example.com").token(TokenKey::new("tokensecret123").unwrap());
    let authorization = operator.authorization(&ToSign::new("GET", "/photos/"));
    let parsed = Authorization::parse(&authorization).unwrap();
    let basic = Authorization::parse("Basic b3BlcmF0b3IxMjM6cGFzc3dvcmQxMjM=").unwrap();
    let printed = format!("{operator:?} {form:?} {key:?} {verifier:?} {urls:?} {parsed:?} {basic:?}");
    let signature = authorization.rsplit_once(':').unwrap().1;
    for secret in [
        "password123",
        "482c811da5d5b4bc6d497ffa98491e38",
        "formsecret123",
        "tokensecret123",
        form.proof(),
        signature,
    ] {
        assert!(!printed.contains(secret), "{secret} in {printed}");
    }
    assert!(printed.contains("operator123"));
}

#[test]
fn empty_credentials_are_refused() {
    assert_eq!(Operator::new("op", "").unwrap_err(), CredentialError::Empty { what: "operator password" });
    assert_eq!(Operator::new("", "pw").unwrap_err(), CredentialError::Empty { what: "operator name" });
    assert!(matches!(Operator::new("a:b", "pw"), Err(CredentialError::BadName { .. })));
    assert_eq!(Operator::from_password_md5("op", "xyz").unwrap_err(), CredentialError::BadDigest);
    assert!(FormKey::new("").is_err());
    assert!(TokenKey::new("").is_err());
}

#[test]
fn schemes_are_told_apart_by_the_signature_not_the_realm() {
    let hmac = "UpYun operator123:0iErMfxJhs1FZbqw49AHjQ0pGVk=";
    assert!(matches!(Authorization::parse(hmac), Some(Authorization::Hmac { .. })));
    let md5 = "UpYun bucket:op:03db45e2904663c5c9305a9c6ed62af3";
    let Some(Authorization::Md5 { operator, .. }) = Authorization::parse(md5) else { panic!("{md5}") };
    assert_eq!(operator, "bucket:op");
    for refused in
        ["", "UPYUN", "UPYUN op", "UPYUN :0iErMfxJhs1FZbqw49AHjQ0pGVk=", "UPYUN op:abc", "Bearer x"]
    {
        assert_eq!(Authorization::parse(refused), None, "{refused:?}");
    }
}

#[test]
fn policies_that_upyun_would_refuse_are_not_signed() {
    let policy = || FormPolicy::new("photos", "/a.jpg", now());
    let problem = |policy: FormPolicy| policy.sign(&operator()).unwrap_err();
    assert_eq!(problem(FormPolicy::new("photos", "", now())), PolicyError::NoSaveKey);
    assert!(matches!(problem(FormPolicy::new("a/b", "/a", now())), PolicyError::BadBucket { .. }));
    assert_eq!(problem(policy().ext_param("胶".repeat(86))), PolicyError::ExtParamTooLong { bytes: 258 });
    assert_eq!(problem(policy().ttl_days(181)), PolicyError::BadTtl { days: 181 });
    assert_eq!(
        problem(policy().content_length_range(5, 4)),
        PolicyError::EmptyRange { name: "content-length-range", min: 5, max: 4 }
    );
    assert_eq!(problem(policy().notify_url("a\nb")), PolicyError::LineBreak { name: "notify-url".into() });
    let good = policy().ext_param("胶".repeat(85)).ttl_days(180).content_length_range(1, 1).json().unwrap();
    assert!(
        good.starts_with(r#"{"bucket":"photos","content-length-range":"1,1","expiration":1478701618"#),
        "{good}"
    );
}

#[test]
fn urls_carry_style_parameters_and_token() {
    let key = || TokenKey::new("tokensecret123").unwrap();
    for separator in Separator::ALL {
        assert_eq!(separator.to_string().parse(), Ok(separator));
        let cdn = CdnUrls::new("https://img.example.com/").separator(separator).token(key());
        assert_eq!(
            cdn.style("/照.jpg", "thumb"),
            format!("https://img.example.com/%E7%85%A7.jpg{separator}thumb")
        );
        assert_eq!(
            cdn.style_with("a.jpg", "thumb", "/fw/500"),
            format!("https://img.example.com/a.jpg{separator}thumb/fw/500")
        );
        assert_eq!(cdn.secret("a.jpg", "s3"), format!("https://img.example.com/a.jpg{separator}s3"));
        let signed = cdn.signed(&cdn.style("/照.jpg", "thumb"), now());
        let token = signed.split_once("?_upt=").unwrap().1;
        // The suffix is part of the hashed path, decoded.
        key().verify(&format!("/照.jpg{separator}thumb"), token, now()).unwrap();
    }
    let bare = CdnUrls::new("https://img.example.com");
    assert_eq!(bare.signed("https://img.example.com/a.jpg", now()), "https://img.example.com/a.jpg");
    assert!("#".parse::<Separator>().unwrap_err().to_string().contains("`!`, `-` or `_`"));
}

#[test]
fn refusals_say_what_to_do() {
    let body = br#"{"msg":"date offset error","code":40100002,"id":"abc"}"#;
    let error = ApiError::read("GET /photos/", 401, None, None, body);
    assert_eq!(error.code, Some(ErrorCode::DATE_OFFSET));
    assert_eq!(
        error.to_string(),
        "Upyun refused GET /photos/: HTTP 401, code 40100002, date offset error; set this machine's clock (NTP): \
         Upyun accepts 30 minutes (request abc)"
    );
    let head = ApiError::read("HEAD /photos/a", 404, Some("40400001"), Some("r1"), b"");
    assert_eq!((head.code, head.is_not_found()), (Some(ErrorCode::NOT_FOUND), true));
    assert!(head.to_string().contains("file or directory not found"));
    let edge = ApiError::read("GET /a", 403, None, None, br#"{"code":"40310013","msg":"x"}"#);
    assert_eq!(edge.code, Some(ErrorCode::TOKEN_REFUSED));
    assert!(ApiError::read("PUT /a", 429, None, None, b"").is_retryable());
    for code in ErrorCode::KNOWN {
        assert!(
            code.meaning().is_some() && code.http_status().is_some_and(|s| (400..500).contains(&s)),
            "{code}"
        );
    }
    assert_eq!(ErrorCode(7).http_status(), None);
}

#[test]
fn keys_that_http_clients_rewrite_are_refused() {
    for key in ["../a", "a/./b", "a/.."] {
        assert!(resource_path("photos", key).is_err(), "{key}");
    }
    assert!(resource_path("pho/tos", "a").is_err());
    assert_eq!(resource_path("photos", "a..b/.hidden").unwrap(), "/photos/a..b/.hidden");
}
