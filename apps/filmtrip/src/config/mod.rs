//! Settings, read once from the environment. Every fault names the variable; nothing here does I/O.

mod reader;
mod stores;
#[cfg(test)]
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::db::DatabaseUrl;
use crate::storage::Backend;
use reader::Reader;
pub use stores::{CALLBACK_PATH, S3Config, Secret, UpyunConfig};

/// Which part of the service this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Pages, JSON and images in one process.
    Serve,
    /// JSON and images.
    Api,
    /// Pages; everything else is asked of the API.
    Web,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct Fault {
    /// The environment variable at fault.
    pub variable: &'static str,
    /// What is wrong and what to do.
    pub problem: String,
}

/// What a process needs to know before it can start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on (`HOST`, default 127.0.0.1).
    pub host: IpAddr,
    /// Port to listen on (`PORT`, default 3001; 0 picks a free one).
    pub port: u16,
    /// The database (`DATABASE_URL`).
    pub database: DatabaseUrl,
    /// Whether to migrate before starting (`FILMTRIP_AUTO_MIGRATE`).
    pub auto_migrate: bool,
    /// Folder of originals and variants (`FILMTRIP_MEDIA_DIR`).
    pub media_dir: PathBuf,
    /// Where photos go that come through the server, and stored sizes (`FILMTRIP_STORAGE`).
    pub storage: Backend,
    /// Upyun (`UPYUN_*`).
    pub upyun: Option<UpyunConfig>,
    /// The CDN domain with its scheme (`UPYUN_CDN_DOMAIN`): pages load images from it.
    pub cdn_url: Option<String>,
    /// Where browsers upload straight to (`UPYUN_API_URL`), when they do.
    pub direct_url: Option<String>,
    /// S3 (`S3_*`).
    pub s3: Option<S3Config>,
    /// PNG that is laid over previews and large sizes (`FILMTRIP_WATERMARK`).
    pub watermark: Option<PathBuf>,
    /// Longest work on one image (`FILMTRIP_IMAGE_TIMEOUT_SECONDS`).
    pub image_timeout: Duration,
    /// How long a worker holds a job without a sign of life (`FILMTRIP_JOB_LEASE_SECONDS`).
    pub job_lease: Duration,
    /// How often the sweeper looks for lost uploads, old trash and the like (`FILMTRIP_SWEEP_SECONDS`).
    pub sweep_every: Duration,
    /// How long the trash is kept (`FILMTRIP_TRASH_DAYS`).
    pub trash_days: u64,
    /// How long a signed upload is good (`FILMTRIP_UPLOAD_MINUTES`).
    pub upload_life: Duration,
    /// What image URLs begin with (`FILMTRIP_IMAGE_BASE_URL`), without a slash at the end.
    pub image_base_url: String,
    /// Origin that users see, `https://host[:port]` (`FILMTRIP_PUBLIC_URL`).
    pub public_origin: Option<String>,
    /// Where `web` finds the API (`FILMTRIP_API_URL`), without a slash at the end.
    pub api_url: Option<String>,
    /// Requests served at once; above it 503 with Retry-After (`FILMTRIP_MAX_IN_FLIGHT`).
    pub max_in_flight: usize,
    /// Largest upload in bytes, a file (`FILMTRIP_MAX_UPLOAD_MB`).
    pub max_upload_bytes: u64,
    /// Most pixels of an image (`FILMTRIP_MAX_MEGAPIXELS`).
    pub max_pixels: u64,
    /// Proxies whose `X-Forwarded-For` is believed (`FILMTRIP_TRUSTED_PROXIES`).
    pub trusted_proxies: Vec<IpAddr>,
    /// What health and pages call this release (`FILMTRIP_RELEASE`, else the crate's version).
    pub release: String,
    /// Whether log lines are JSON (`FILMTRIP_LOG_FORMAT`).
    pub log_json: bool,
    /// Variables that look like ours but are not known: warned about, since a newer release's
    /// environment must not stop an older one.
    pub unknown: Vec<String>,
}

/// What our variables begin with.
const OURS: [&str; 3] = ["FILMTRIP_", "UPYUN_", "S3_"];
const KNOWN: &[&str] = &[
    "FILMTRIP_ADMIN_PASSWORD",
    "FILMTRIP_API_URL",
    "FILMTRIP_AUTO_MIGRATE",
    "FILMTRIP_IMAGE_BASE_URL",
    "FILMTRIP_IMAGE_TIMEOUT_SECONDS",
    "FILMTRIP_JOB_LEASE_SECONDS",
    "FILMTRIP_LOG_FORMAT",
    "FILMTRIP_MAX_IN_FLIGHT",
    "FILMTRIP_MAX_MEGAPIXELS",
    "FILMTRIP_MAX_UPLOAD_MB",
    "FILMTRIP_MEDIA_DIR",
    "FILMTRIP_PUBLIC_URL",
    "FILMTRIP_RELEASE",
    "FILMTRIP_STORAGE",
    "FILMTRIP_SWEEP_SECONDS",
    "FILMTRIP_TRASH_DAYS",
    "FILMTRIP_TRUSTED_PROXIES",
    "FILMTRIP_UPLOAD_MINUTES",
    "FILMTRIP_WATERMARK",
    "S3_ACCESS_KEY_ID",
    "S3_BUCKET",
    "S3_ENDPOINT",
    "S3_REGION",
    "S3_SECRET_ACCESS_KEY",
    "UPYUN_API_URL",
    "UPYUN_BUCKET",
    "UPYUN_CDN_DOMAIN",
    "UPYUN_DIRECT_UPLOAD_ENABLED",
    "UPYUN_FORM_API_SECRET",
    "UPYUN_IMAGE_PROCESSING_ENABLED",
    "UPYUN_NOTIFY_URL",
    "UPYUN_OPERATOR",
    "UPYUN_PASSWORD",
    "UPYUN_PURGE_URL",
    "UPYUN_STYLE_LARGE",
    "UPYUN_STYLE_PREVIEW",
    "UPYUN_STYLE_SEPARATOR",
    "UPYUN_STYLE_THUMB",
    "UPYUN_TOKEN_SECRET",
];

impl Config {
    /// Reads the settings of a role from a copy of the environment.
    ///
    /// # Errors
    /// All faults at once, so that one start shows everything there is to mend.
    pub fn read(role: Role, env: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let mut r = Reader { env, faults: Vec::new() };
        let host = r.get("HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let host = host.parse().unwrap_or_else(|_| {
            r.fault("HOST", format!("`{host}` is not an IP address; use 127.0.0.1 or 0.0.0.0"));
            IpAddr::from([127, 0, 0, 1])
        });
        let default_port = if role == Role::Web { 3002 } else { 3001 };
        let port = u16::try_from(r.number("PORT", default_port, 0, 65_535)).unwrap_or_default();
        let database = r.database();
        let auto_migrate = r.flag("FILMTRIP_AUTO_MIGRATE", role == Role::Serve && database.is_none());
        let public_origin = r.url("FILMTRIP_PUBLIC_URL");
        if public_origin.as_deref().is_some_and(|u| u.matches('/').count() > 2) {
            r.fault("FILMTRIP_PUBLIC_URL", "must have no path: the service lives at the root of its host");
        }
        let image_base_url = match env.get("FILMTRIP_IMAGE_BASE_URL").map(|v| v.trim()) {
            Some("/media" | "/media/") => "/media".to_owned(),
            _ => r.url("FILMTRIP_IMAGE_BASE_URL").unwrap_or_else(|| "/media".to_owned()),
        };
        let storage = match r.get("FILMTRIP_STORAGE").as_deref().map(Backend::parse) {
            None => Backend::Local,
            Some(Some(backend)) => backend,
            Some(None) => {
                r.fault("FILMTRIP_STORAGE", "is neither local, upyun nor s3");
                Backend::Local
            }
        };
        let https = public_origin.as_deref().is_some_and(|u| u.starts_with("https://"));
        // Pages only name the domains; the account is the API's.
        let (upyun, cdn_url, direct_url) = if role == Role::Web {
            let (cdn_url, direct_url) = stores::pages(&mut r, https);
            (None, cdn_url, direct_url)
        } else {
            let upyun = stores::upyun(&mut r, storage == Backend::Upyun, https);
            let direct = upyun.as_ref().filter(|u| u.direct).map(|u| u.api_url.clone());
            let cdn_url = upyun.as_ref().map(|u| u.cdn_url.clone());
            (upyun, cdn_url, direct)
        };
        let s3 = stores::s3(&mut r, storage == Backend::S3);
        let watermark = r.get("FILMTRIP_WATERMARK").map(PathBuf::from);
        // The CDN makes its sizes of the original: they would be published without the mark.
        if watermark.is_some() && upyun.as_ref().is_some_and(|u| u.processing) {
            r.fault(
                "FILMTRIP_WATERMARK",
                "is not laid over what the CDN makes, and UPYUN_IMAGE_PROCESSING_ENABLED is true; put the mark into the \
                 styles and remove this variable, or set the other to false",
            );
        }
        // Browsers block plain images on an https page: the site would be up and show no photo.
        if image_base_url.starts_with("http://") && https {
            r.fault(
                "FILMTRIP_IMAGE_BASE_URL",
                "is http:// while FILMTRIP_PUBLIC_URL is https://; use https://",
            );
        }
        let api_url = if role == Role::Web { r.url("FILMTRIP_API_URL") } else { None };
        if role == Role::Web {
            match &api_url {
                None if !r.faults.iter().any(|f| f.variable == "FILMTRIP_API_URL") => {
                    r.fault(
                        "FILMTRIP_API_URL",
                        "is needed by `filmtrip web`: set it to the API's http:// address",
                    );
                }
                Some(u) if u.starts_with("https://") => r.fault(
                    "FILMTRIP_API_URL",
                    "must be http://: the web process reaches the API over loopback or a private network",
                ),
                Some(u) if u.matches('/').count() > 2 => r.fault("FILMTRIP_API_URL", "must have no path"),
                _ => {}
            }
        }
        let log_json = match r.get("FILMTRIP_LOG_FORMAT").as_deref() {
            None | Some("plain") => false,
            Some("json") => true,
            Some(other) => {
                let problem = format!("`{other}` is neither plain nor json");
                r.fault("FILMTRIP_LOG_FORMAT", problem);
                false
            }
        };
        let max_in_flight = r.number("FILMTRIP_MAX_IN_FLIGHT", 256, 1, 100_000);
        let max_upload_mb = r.number("FILMTRIP_MAX_UPLOAD_MB", 200, 1, 4096);
        let max_megapixels = r.number("FILMTRIP_MAX_MEGAPIXELS", 200, 1, 1000);
        let config = Self {
            host,
            port,
            database: database.unwrap_or_else(|| DatabaseUrl::Sqlite(PathBuf::from("./data/filmtrip.db"))),
            auto_migrate,
            media_dir: r
                .get("FILMTRIP_MEDIA_DIR")
                .map_or_else(|| PathBuf::from("./data/media"), PathBuf::from),
            storage,
            upyun,
            cdn_url,
            direct_url,
            s3,
            watermark,
            image_timeout: r.seconds("FILMTRIP_IMAGE_TIMEOUT_SECONDS", 60, 1, 3600),
            job_lease: r.seconds("FILMTRIP_JOB_LEASE_SECONDS", 60, 1, 3600),
            sweep_every: r.seconds("FILMTRIP_SWEEP_SECONDS", 60, 1, 86_400),
            trash_days: r.number("FILMTRIP_TRASH_DAYS", 30, 1, 3650),
            upload_life: r.seconds("FILMTRIP_UPLOAD_MINUTES", 30, 1, 1440) * 60,
            image_base_url,
            public_origin,
            api_url,
            max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
            max_upload_bytes: max_upload_mb * 1_048_576,
            max_pixels: max_megapixels * 1_000_000,
            trusted_proxies: r.proxies(),
            release: r.get("FILMTRIP_RELEASE").unwrap_or_else(|| crate::VERSION.to_owned()),
            log_json,
            unknown: env
                .keys()
                .filter(|k| OURS.iter().any(|ours| k.starts_with(ours)) && !KNOWN.contains(&k.as_str()))
                .cloned()
                .collect(),
        };
        if r.faults.is_empty() { Ok(config) } else { Err(r.faults) }
    }

    /// Whether users reach the site by https, so that cookies may be `Secure` and `__Host-`.
    #[must_use]
    pub fn secure(&self) -> bool {
        self.public_origin.as_deref().is_some_and(|u| u.starts_with("https://"))
    }

    /// What works and is probably not meant, in words for the log.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts: Vec<String> = self
            .unknown
            .iter()
            .map(|variable| format!("{variable} is not known to this version and has no effect"))
            .collect();
        if self.public_origin.is_none() && (!self.host.is_loopback() || self.cdn_url.is_some()) {
            doubts.push(
                "FILMTRIP_PUBLIC_URL is not set: if users come by https, set it to that address; without it their \
                 session cookies are not marked Secure, and the feed and shared links say http://"
                    .to_owned(),
            );
        }
        doubts
    }

    /// What a page may load images from, for its content security policy.
    #[must_use]
    pub fn image_source(&self) -> String {
        let elsewhere = [Some(self.image_base_url.as_str()), self.cdn_url.as_deref()]
            .into_iter()
            .flatten()
            .filter(|u| !u.starts_with('/'));
        let mut sources = "'self'".to_owned();
        for url in elsewhere {
            let origin: Vec<&str> = url.splitn(4, '/').take(3).collect();
            sources = format!("{sources} {}", origin.join("/"));
        }
        sources
    }

    /// Where a page may send uploads to, besides this site.
    #[must_use]
    pub fn connect_sources(&self) -> Vec<String> {
        self.direct_url.iter().cloned().collect()
    }
}

/// The environment of this process; values that are not UTF-8 are left out.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(role: Role, pairs: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
        let env = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::read(role, &env)
    }

    #[test]
    fn pages_need_their_api() {
        assert_eq!(read(Role::Web, &[]).expect_err("half")[0].variable, "FILMTRIP_API_URL");
    }

    #[test]
    fn plain_images_on_an_https_site_are_refused() {
        let faults = read(
            Role::Serve,
            &[
                ("FILMTRIP_PUBLIC_URL", "https://example.com"),
                ("FILMTRIP_IMAGE_BASE_URL", "http://img.example.com"),
            ],
        )
        .expect_err("mixed content");
        assert_eq!(faults[0].variable, "FILMTRIP_IMAGE_BASE_URL");
    }

    #[test]
    fn only_a_bare_serve_migrates_by_itself() {
        assert!(read(Role::Serve, &[]).expect("serve").auto_migrate);
        assert!(!read(Role::Api, &[]).expect("api").auto_migrate);
        assert!(!read(Role::Serve, &[("DATABASE_URL", "sqlite:x.db")]).expect("serve").auto_migrate);
        assert!(read(Role::Api, &[("FILMTRIP_AUTO_MIGRATE", "true")]).expect("api").auto_migrate);
    }

    #[test]
    fn unknown_variables_are_told_but_do_not_stop_the_start() {
        let mistyped =
            [("FILMTRIP_MAX_INFLIGHT", "9"), ("S3_BUKET", "b"), ("UPYUN_NOTIFY_URI", "u"), ("S3", "x")];
        let config = read(Role::Serve, &mistyped).expect("starts");
        assert_eq!(config.unknown, ["FILMTRIP_MAX_INFLIGHT", "S3_BUKET", "UPYUN_NOTIFY_URI"]);
        assert_eq!(config.max_in_flight, 256);
        assert!(config.doubts()[1].starts_with("S3_BUKET is not known"), "{:?}", config.doubts());
    }

    #[test]
    fn every_variable_that_is_read_is_known() {
        let sources = [include_str!("mod.rs"), include_str!("reader.rs"), include_str!("stores.rs")];
        for source in sources {
            let product = source.split("#[cfg(test)]").next().expect("source");
            // Every second part stands between quotes.
            for text in product.split('"').skip(1).step_by(2) {
                let ours = OURS.iter().any(|ours| text.len() > ours.len() && text.starts_with(ours));
                let name = text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
                assert!(!ours || !name || KNOWN.contains(&text), "{text} is read and would be warned about");
            }
        }
    }

    #[test]
    fn a_site_that_does_not_know_its_address_says_what_that_costs() {
        let doubts = |pairs: &[(&str, &str)]| read(Role::Serve, pairs).expect("starts").doubts();
        assert_eq!(doubts(&[]), Vec::<String>::new(), "on this machine only");
        assert!(doubts(&[("HOST", "0.0.0.0")])[0].starts_with("FILMTRIP_PUBLIC_URL"));
        let bucket = [
            ("UPYUN_BUCKET", "b"),
            ("UPYUN_OPERATOR", "o"),
            ("UPYUN_PASSWORD", "p"),
            ("UPYUN_CDN_DOMAIN", "img.example.com"),
        ];
        assert!(doubts(&bucket)[0].starts_with("FILMTRIP_PUBLIC_URL"));
        let known = ("FILMTRIP_PUBLIC_URL", "https://example.com");
        assert_eq!(doubts(&[&bucket[..], &[known, ("HOST", "0.0.0.0")]].concat()), Vec::<String>::new());
    }

    #[test]
    fn image_source_is_an_origin() {
        let config =
            read(Role::Serve, &[("FILMTRIP_IMAGE_BASE_URL", "https://img.example.com/media/")]).expect("ok");
        assert_eq!(config.image_base_url, "https://img.example.com/media");
        assert_eq!(config.image_source(), "'self' https://img.example.com");
    }
}
