//! Every variable that is known, each with values that cannot be used.

use std::collections::BTreeMap;

use super::{Config, Fault, KNOWN, Role};

const UPYUN: &[(&str, &str)] = &[
    ("UPYUN_BUCKET", "photos"),
    ("UPYUN_OPERATOR", "op"),
    ("UPYUN_PASSWORD", "stop-bath-38C"),
    ("UPYUN_CDN_DOMAIN", "img.example.com"),
    ("UPYUN_NOTIFY_URL", "https://example.com/api/storage/callback"),
    ("UPYUN_STYLE_THUMB", "thumb"),
    ("UPYUN_STYLE_PREVIEW", "preview"),
    ("UPYUN_STYLE_LARGE", "large"),
    ("UPYUN_DIRECT_UPLOAD_ENABLED", "true"),
    ("UPYUN_IMAGE_PROCESSING_ENABLED", "true"),
];
const S3: &[(&str, &str)] = &[
    ("FILMTRIP_STORAGE", "s3"),
    ("S3_BUCKET", "photos"),
    ("S3_ENDPOINT", "https://s3.example.com"),
    ("S3_ACCESS_KEY_ID", "id"),
    ("S3_SECRET_ACCESS_KEY", "secret"),
];
const WEB: &[(&str, &str)] = &[("FILMTRIP_API_URL", "http://127.0.0.1:3001")];
const HTTPS: &[(&str, &str)] = &[("FILMTRIP_PUBLIC_URL", "https://example.com")];
const NONE: &[(&str, &str)] = &[];

/// A role with a configuration that it takes, a variable, and what is wrong for it. Set but empty is wrong for all.
type Wrong = (Role, &'static [(&'static str, &'static str)], &'static str, &'static [&'static str]);

const WRONG: &[Wrong] = &[
    (Role::Serve, NONE, "HOST", &["localhost", "127.0.0.1:80"]),
    (Role::Serve, NONE, "PORT", &["70000", "-1", "eighty", "80.0"]),
    (Role::Serve, NONE, "DATABASE_URL", &["mysql://user:secret@db/filmtrip", "sqlite:", "filmtrip.db"]),
    (
        Role::Web,
        WEB,
        "FILMTRIP_API_URL",
        &["https://api.example.com", "http://127.0.0.1/x", "127.0.0.1:3001"],
    ),
    (Role::Serve, NONE, "FILMTRIP_AUTO_MIGRATE", &["yes", "2", "TRUE"]),
    (Role::Serve, NONE, "FILMTRIP_IMAGE_BASE_URL", &["img.example.com", "https://u:p@img.example.com"]),
    (Role::Serve, HTTPS, "FILMTRIP_IMAGE_BASE_URL", &["http://img.example.com"]),
    (Role::Serve, NONE, "FILMTRIP_IMAGE_TIMEOUT_SECONDS", &["0", "3601", "1m"]),
    (Role::Serve, NONE, "FILMTRIP_JOB_LEASE_SECONDS", &["0", "3601", "60s"]),
    (Role::Serve, NONE, "FILMTRIP_LOG_FORMAT", &["xml", "JSON"]),
    (Role::Serve, NONE, "FILMTRIP_MAX_IN_FLIGHT", &["0", "100001", "-5"]),
    (Role::Serve, NONE, "FILMTRIP_MAX_MEGAPIXELS", &["0", "1001", "24 MP"]),
    (Role::Serve, NONE, "FILMTRIP_MAX_UPLOAD_MB", &["0", "4097", "200MB"]),
    (Role::Serve, NONE, "FILMTRIP_MEDIA_DIR", &[]),
    (
        Role::Serve,
        NONE,
        "FILMTRIP_PUBLIC_URL",
        &["example.com", "https://example.com/site", "ftp://example.com"],
    ),
    (Role::Serve, NONE, "FILMTRIP_RELEASE", &[]),
    (Role::Serve, NONE, "FILMTRIP_STORAGE", &["floppy", "S3"]),
    (Role::Serve, NONE, "FILMTRIP_SWEEP_SECONDS", &["0", "86401"]),
    (Role::Serve, NONE, "FILMTRIP_TRASH_DAYS", &["0", "3651", "a month"]),
    (Role::Serve, NONE, "FILMTRIP_TRUSTED_PROXIES", &["10.0.0.0/8", "127.0.0.1;::1", "none,127.0.0.1"]),
    (Role::Serve, NONE, "FILMTRIP_UPLOAD_MINUTES", &["0", "1441"]),
    (Role::Serve, NONE, "FILMTRIP_WATERMARK", &[]),
    (Role::Serve, UPYUN, "FILMTRIP_WATERMARK", &["mark.png"]),
    (Role::Api, S3, "S3_ACCESS_KEY_ID", &[]),
    (Role::Api, S3, "S3_BUCKET", &[]),
    (Role::Api, S3, "S3_ENDPOINT", &["s3.example.com", "https://id:secret@s3.example.com"]),
    (Role::Api, S3, "S3_REGION", &[]),
    (Role::Api, S3, "S3_SECRET_ACCESS_KEY", &[]),
    (Role::Api, UPYUN, "UPYUN_API_URL", &["v0.api.upyun.com", "https://v0.api.upyun.com/path"]),
    (Role::Api, UPYUN, "UPYUN_BUCKET", &["a/b"]),
    (
        Role::Api,
        UPYUN,
        "UPYUN_CDN_DOMAIN",
        &["http://img.example.com", "img.example.com/path", "u@img.example.com"],
    ),
    (Role::Web, WEB, "UPYUN_CDN_DOMAIN", &["http://img.example.com", "img.example.com/path"]),
    (Role::Api, UPYUN, "UPYUN_DIRECT_UPLOAD_ENABLED", &["on", "yes"]),
    (Role::Web, WEB, "UPYUN_DIRECT_UPLOAD_ENABLED", &["on"]),
    (Role::Api, UPYUN, "UPYUN_FORM_API_SECRET", &[]),
    (Role::Api, UPYUN, "UPYUN_IMAGE_PROCESSING_ENABLED", &["on", "2"]),
    (
        Role::Api,
        UPYUN,
        "UPYUN_NOTIFY_URL",
        &[
            "https://example.com/elsewhere",
            "http://example.com/api/storage/callback",
            "https://example.com/api/storage/callback?x=1",
        ],
    ),
    (Role::Api, UPYUN, "UPYUN_OPERATOR", &["two:names"]),
    (Role::Api, UPYUN, "UPYUN_PASSWORD", &[]),
    (Role::Api, UPYUN, "UPYUN_PURGE_URL", &["purge.upyun.com", "http://purge.upyun.com/purge/"]),
    (Role::Api, UPYUN, "UPYUN_STYLE_LARGE", &["a/b", "large!"]),
    (Role::Api, UPYUN, "UPYUN_STYLE_PREVIEW", &["a/b", "预览"]),
    (Role::Api, UPYUN, "UPYUN_STYLE_SEPARATOR", &["+", "!!"]),
    (Role::Api, UPYUN, "UPYUN_STYLE_THUMB", &["a/b", "?"]),
    (Role::Api, UPYUN, "UPYUN_TOKEN_SECRET", &[]),
];

/// Read by the command that makes accounts, and refused there: `tests/it/session.rs`.
const ELSEWHERE: &str = "FILMTRIP_ADMIN_PASSWORD";

fn read(role: Role, base: &[(&str, &str)], more: Option<(&str, &str)>) -> Result<Config, Vec<Fault>> {
    let pairs = base.iter().copied().chain(more);
    let env: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Config::read(role, &env)
}

#[test]
fn every_known_variable_refuses_a_wrong_value_by_its_name_alone() {
    let rows = |name: &str| WRONG.iter().filter(|(_, _, variable, _)| *variable == name).count();
    for name in KNOWN.iter().chain(&["DATABASE_URL", "HOST", "PORT"]).filter(|name| **name != ELSEWHERE) {
        assert!(rows(name) > 0, "{name} has no row in the table");
    }
    for (role, base, variable, values) in WRONG {
        if let Err(faults) = read(*role, base, None) {
            panic!("{variable}: what it is tried with is not taken itself: {faults:?}");
        }
        for value in values.iter().chain(&["", "  "]) {
            let faults = match read(*role, base, Some((variable, value))) {
                Ok(_) => panic!("{variable}=`{value}` is taken"),
                Err(faults) => faults,
            };
            let named: Vec<&str> = faults.iter().map(|fault| fault.variable).collect();
            assert!(named.iter().all(|name| name == variable), "{variable}=`{value}`: {faults:?}");
            let told = faults.iter().map(ToString::to_string).collect::<String>();
            assert!(told.starts_with(&format!("{variable}: ")), "{told}");
            let secret = ["secret@", "stop-bath", "u:p@"].iter().any(|secret| told.contains(secret));
            assert!(!secret, "a password was repeated: {told}");
        }
    }
}

#[test]
fn a_half_configuration_of_s3_names_each_variable_that_is_missing() {
    for (missing, _) in &S3[1..] {
        let rest: Vec<(&str, &str)> = S3.iter().copied().filter(|(name, _)| name != missing).collect();
        let faults = read(Role::Api, &rest, None).expect_err(missing);
        assert_eq!(faults.iter().map(|fault| fault.variable).collect::<Vec<_>>(), [*missing]);
        // Whoever sets one of them means to use it, whatever new photos do.
        let faults = read(Role::Api, &rest[1..], None).expect_err(missing);
        assert_eq!(faults.iter().map(|fault| fault.variable).collect::<Vec<_>>(), [*missing]);
    }
}
