//! Object stores. A half configuration is a fault of each variable that is missing, with why it is needed.

use std::fmt;

use safelight_upyun::{FormKey, Operator, Separator, TokenKey};

use super::reader::Reader;

/// The path that Upyun's notices are posted to; their signature covers it.
pub const CALLBACK_PATH: &str = "/api/storage/callback";

/// A bucket at Upyun, its CDN domain, and what is done by them.
#[derive(Debug, Clone)]
pub struct UpyunConfig {
    /// Bucket (service).
    pub bucket: String,
    /// Operator with its password.
    pub operator: Operator,
    /// The form API's secret, to prove notices in the old scheme.
    pub form_key: Option<FormKey>,
    /// REST and form API, `https://v0.api.upyun.com`.
    pub api_url: String,
    /// Purge API.
    pub purge_url: String,
    /// The CDN domain with its scheme, `https://img.example.com`.
    pub cdn_url: String,
    /// What stands between an object and its style.
    pub separator: Separator,
    /// Secret of the domain's hot-link protection.
    pub token: Option<TokenKey>,
    /// Where Upyun tells of uploads.
    pub notify_url: Option<String>,
    /// Names of the styles for thumb, preview and large.
    pub styles: Option<[String; 3]>,
    /// Browsers upload straight to the bucket.
    pub direct: bool,
    /// New photos in the bucket are shown by the styles.
    pub processing: bool,
}

/// A text that is not shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A bucket of an S3-compatible store.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Bucket.
    pub bucket: String,
    /// `https://s3.example.com`.
    pub endpoint: String,
    /// Region; many stores take any.
    pub region: String,
    /// Access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
}

const ACCOUNT: [&str; 3] = ["UPYUN_BUCKET", "UPYUN_OPERATOR", "UPYUN_PASSWORD"];
/// Whoever sets one of these means to use Upyun.
const ANY: [&str; 9] = [
    "UPYUN_BUCKET",
    "UPYUN_OPERATOR",
    "UPYUN_PASSWORD",
    "UPYUN_FORM_API_SECRET",
    "UPYUN_CDN_DOMAIN",
    "UPYUN_NOTIFY_URL",
    "UPYUN_STYLE_THUMB",
    "UPYUN_STYLE_PREVIEW",
    "UPYUN_STYLE_LARGE",
];
const STYLES: [&str; 3] = ["UPYUN_STYLE_THUMB", "UPYUN_STYLE_PREVIEW", "UPYUN_STYLE_LARGE"];

fn loopback(url: &str) -> bool {
    let host = url.strip_prefix("http://").unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| {
        host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    })
}

/// Reads `UPYUN_*`.
pub(super) fn upyun(r: &mut Reader<'_>, stores: bool, https: bool) -> Option<UpyunConfig> {
    let direct = r.flag("UPYUN_DIRECT_UPLOAD_ENABLED", false);
    let processing = r.flag("UPYUN_IMAGE_PROCESSING_ENABLED", false);
    if !direct && !processing && !stores && !ANY.iter().any(|name| r.env.contains_key(*name)) {
        return None;
    }
    let before = r.faults.len();
    let why = if direct {
        "UPYUN_DIRECT_UPLOAD_ENABLED is true"
    } else if processing {
        "UPYUN_IMAGE_PROCESSING_ENABLED is true"
    } else if stores {
        "FILMTRIP_STORAGE is upyun"
    } else {
        "other UPYUN variables are"
    };
    r.need(&ACCOUNT, why);
    r.need(&["UPYUN_CDN_DOMAIN"], why);
    if direct {
        r.need(&["UPYUN_NOTIFY_URL"], "UPYUN_DIRECT_UPLOAD_ENABLED is true");
    }
    if processing {
        r.need(&STYLES, "UPYUN_IMAGE_PROCESSING_ENABLED is true");
    }
    let (bucket, name, password) = (r.get("UPYUN_BUCKET"), r.get("UPYUN_OPERATOR"), r.get("UPYUN_PASSWORD"));
    if bucket.as_deref().is_some_and(|b| safelight_upyun::resource_path(b, "").is_err()) {
        r.fault("UPYUN_BUCKET", "is not the name of a bucket (service)");
    }
    let operator = name.zip(password).and_then(|(name, password)| {
        Operator::new(name, &password).map_err(|e| r.fault("UPYUN_OPERATOR", e.to_string())).ok()
    });
    let form_key = r.get("UPYUN_FORM_API_SECRET").and_then(|secret| {
        FormKey::new(secret).map_err(|e| r.fault("UPYUN_FORM_API_SECRET", e.to_string())).ok()
    });
    let token = r.get("UPYUN_TOKEN_SECRET").and_then(|secret| {
        TokenKey::new(secret).map_err(|e| r.fault("UPYUN_TOKEN_SECRET", e.to_string())).ok()
    });
    let separator = r.get("UPYUN_STYLE_SEPARATOR").map_or(Separator::default(), |text| {
        text.parse().unwrap_or_else(|_| {
            r.fault("UPYUN_STYLE_SEPARATOR", "is neither `!`, `-` nor `_`");
            Separator::default()
        })
    });
    let api_url = r.url("UPYUN_API_URL").unwrap_or_else(|| safelight_upyun::DEFAULT_ENDPOINT.to_owned());
    let purge_url =
        r.url("UPYUN_PURGE_URL").unwrap_or_else(|| safelight_upyun::DEFAULT_PURGE_ENDPOINT.to_owned());
    for (variable, url) in [("UPYUN_API_URL", &api_url), ("UPYUN_PURGE_URL", &purge_url)] {
        if url.matches('/').count() > 2 {
            r.fault(variable, "must have no path");
        }
    }
    let cdn_url = cdn(r, https);
    let notify_url = notify(r);
    let styles = styles(r);
    if r.faults.len() > before {
        return None;
    }
    Some(UpyunConfig {
        bucket: bucket?,
        operator: operator?,
        form_key,
        api_url,
        purge_url,
        cdn_url: cdn_url?,
        separator,
        token,
        notify_url,
        styles,
        direct,
        processing,
    })
}

/// What the pages need to know: the CDN domain, and where uploads go when they go there directly.
pub(super) fn pages(r: &mut Reader<'_>, https: bool) -> (Option<String>, Option<String>) {
    let direct = r.flag("UPYUN_DIRECT_UPLOAD_ENABLED", false);
    if r.flag("UPYUN_IMAGE_PROCESSING_ENABLED", false) {
        r.need(
            &["UPYUN_CDN_DOMAIN"],
            "UPYUN_IMAGE_PROCESSING_ENABLED is true, and pages must be allowed to load from it",
        );
    }
    let api_url = r.url("UPYUN_API_URL").unwrap_or_else(|| safelight_upyun::DEFAULT_ENDPOINT.to_owned());
    (cdn(r, https), direct.then_some(api_url))
}

/// `img.example.com`, or with its scheme; plain HTTP only on this machine.
fn cdn(r: &mut Reader<'_>, https: bool) -> Option<String> {
    let variable = "UPYUN_CDN_DOMAIN";
    let text = r.get(variable)?;
    let url = if text.contains("://") {
        r.url(variable)?
    } else {
        format!("https://{}", text.trim_end_matches('/'))
    };
    let host = url.splitn(3, '/').nth(2).unwrap_or_default();
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ', '"', '\'', ';', ',']) {
        r.fault(variable, format!("`{text}` is not a domain such as img.example.com"));
        return None;
    }
    if url.starts_with("http://") && (https || !loopback(&url)) {
        r.fault(variable, "is http://: browsers block plain images on an https page; use https://");
        return None;
    }
    Some(url)
}

fn notify(r: &mut Reader<'_>) -> Option<String> {
    let variable = "UPYUN_NOTIFY_URL";
    let url = r.url(variable)?;
    let path = url.splitn(4, '/').nth(3).unwrap_or_default();
    if format!("/{path}") != CALLBACK_PATH {
        r.fault(
            variable,
            format!("must end in {CALLBACK_PATH}, without a query: the notice's signature covers the path"),
        );
        return None;
    }
    if url.starts_with("http://") && !loopback(&url) {
        r.fault(variable, "is http://; use https://");
        return None;
    }
    Some(url)
}

fn styles(r: &mut Reader<'_>) -> Option<[String; 3]> {
    let mut names = Vec::new();
    for variable in STYLES {
        let name = r.get(variable)?;
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            r.fault(variable, format!("`{name}` is not the name of a style: letters, digits, - and _"));
        }
        names.push(name);
    }
    names.try_into().ok()
}

const S3: [&str; 4] = ["S3_BUCKET", "S3_ENDPOINT", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"];

/// Reads `S3_*`.
pub(super) fn s3(r: &mut Reader<'_>, stores: bool) -> Option<S3Config> {
    if !stores && !S3.iter().any(|name| r.env.contains_key(*name)) {
        return None;
    }
    r.need(&S3, if stores { "FILMTRIP_STORAGE is s3" } else { "other S3 variables are" });
    Some(S3Config {
        bucket: r.get("S3_BUCKET")?,
        endpoint: r.url("S3_ENDPOINT")?,
        region: r.get("S3_REGION").unwrap_or_else(|| "auto".to_owned()),
        access_key_id: r.get("S3_ACCESS_KEY_ID")?,
        secret_access_key: Secret(r.get("S3_SECRET_ACCESS_KEY")?),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Config, Role};

    const WHOLE: &[(&str, &str)] = &[
        ("UPYUN_BUCKET", "photos"),
        ("UPYUN_OPERATOR", "op"),
        ("UPYUN_PASSWORD", "s3cret-password"),
        ("UPYUN_CDN_DOMAIN", "img.example.com"),
        ("UPYUN_NOTIFY_URL", "https://example.com/api/storage/callback"),
        ("UPYUN_STYLE_THUMB", "thumb"),
        ("UPYUN_STYLE_PREVIEW", "preview"),
        ("UPYUN_STYLE_LARGE", "large"),
        ("UPYUN_DIRECT_UPLOAD_ENABLED", "true"),
        ("UPYUN_IMAGE_PROCESSING_ENABLED", "true"),
    ];

    fn read(change: &[(&str, Option<&str>)]) -> Result<Config, Vec<String>> {
        let mut env: BTreeMap<String, String> =
            WHOLE.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        for (name, value) in change {
            match value {
                Some(value) => env.insert((*name).into(), (*value).into()),
                None => env.remove(*name),
            };
        }
        Config::read(Role::Serve, &env).map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_whole_configuration_is_taken() {
        let config = read(&[]).expect("whole");
        let upyun = config.upyun.as_ref().expect("upyun");
        assert_eq!(upyun.cdn_url, "https://img.example.com");
        assert_eq!(config.image_source(), "'self' https://img.example.com");
        assert_eq!(config.connect_sources(), ["https://v0.api.upyun.com"]);
        assert!(!format!("{config:?}").contains("s3cret"), "a password would reach the log");
    }

    #[test]
    fn every_missing_half_is_named() {
        for (variable, _) in &WHOLE[..8] {
            let faults = read(&[(variable, None)]).expect_err(variable);
            assert!(faults.iter().any(|f| f.starts_with(variable)), "{variable}: {faults:?}");
        }
        // With the flags off, old photos need the account and the domain, and nothing else.
        let off = [
            ("UPYUN_DIRECT_UPLOAD_ENABLED", Some("false")),
            ("UPYUN_IMAGE_PROCESSING_ENABLED", Some("false")),
        ];
        let mut change = off.to_vec();
        change.extend([("UPYUN_NOTIFY_URL", None), ("UPYUN_STYLE_THUMB", None)]);
        assert!(read(&change).expect("flags off").upyun.is_some());
    }

    #[test]
    fn a_mark_that_the_styles_would_leave_out_is_refused() {
        let mark = ("FILMTRIP_WATERMARK", Some("mark.png"));
        let faults = read(&[mark]).expect_err("the large size would be published without it");
        assert!(faults.len() == 1 && faults[0].starts_with("FILMTRIP_WATERMARK"), "{faults:?}");
        read(&[mark, ("UPYUN_IMAGE_PROCESSING_ENABLED", Some("false"))]).expect("the sizes are made here");
    }
}
