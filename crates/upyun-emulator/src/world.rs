//! What is stored: buckets with files, operators, domains with caches. No HTTP here.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use safelight_upyun::{ErrorCode, FormKey, Operator, Separator, TokenKey, content_md5};
use serde::Serialize;

use crate::StartError;
use crate::config::{Config, Rights};
use crate::faults::Faults;
use crate::image::{self, Facts};
use crate::refusal::Refusal;

#[derive(Debug)]
pub(crate) struct File {
    pub(crate) data: Bytes,
    pub(crate) md5: String,
    pub(crate) content_type: String,
    pub(crate) modified_unix: u64,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) secret: Option<String>,
    pub(crate) image: Option<Facts>,
    /// Such a file has to be deleted before another method may overwrite it.
    pub(crate) resumable: bool,
}

impl File {
    pub(crate) fn new(data: Bytes, content_type: String, modified_unix: u64) -> Self {
        let (md5, image) = (content_md5(&data), image::facts(&data));
        Self {
            data,
            md5,
            content_type,
            modified_unix,
            meta: BTreeMap::new(),
            secret: None,
            image,
            resumable: false,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Folder { modified_unix: u64 },
    File(Arc<File>),
}

#[derive(Debug)]
pub(crate) struct Multi {
    pub(crate) key: String,
    pub(crate) length: Option<u64>,
    pub(crate) part_bytes: u64,
    pub(crate) content_type: Option<String>,
    pub(crate) any_order: bool,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) secret: Option<String>,
    pub(crate) parts: BTreeMap<u64, Bytes>,
    pub(crate) done: bool,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) multis: BTreeMap<String, Multi>,
    /// When a key last changed, for the CDN.
    pub(crate) changed: HashMap<String, Instant>,
    pub(crate) form_api: bool,
    pub(crate) form_key: FormKey,
    pub(crate) separator: Separator,
    pub(crate) styles: BTreeMap<String, String>,
    pub(crate) blocked: bool,
}

#[derive(Debug)]
pub(crate) struct OperatorState {
    pub(crate) operator: Operator,
    pub(crate) rights: BTreeMap<String, Rights>,
    pub(crate) blocked: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Cached {
    pub(crate) data: Bytes,
    pub(crate) content_type: String,
    pub(crate) md5: String,
    pub(crate) stored: Instant,
}

#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) bucket: String,
    pub(crate) token: Option<TokenKey>,
    pub(crate) cache: HashMap<String, Cached>,
}

/// A request that was answered, for tests that count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RequestRecord {
    /// `api` or `cdn`.
    pub listener: &'static str,
    /// Method.
    pub method: String,
    /// Host header.
    pub host: String,
    /// Path and query as sent.
    pub target: String,
    /// Status of the answer.
    pub status: u16,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    pub(crate) operators: BTreeMap<String, OperatorState>,
    pub(crate) domains: BTreeMap<String, Domain>,
    pub(crate) faults: Faults,
    pub(crate) requests: VecDeque<RequestRecord>,
    recent: VecDeque<Instant>,
    recent_deletes: VecDeque<Instant>,
    recent_purges: VecDeque<Instant>,
}

const MAX_RECORDS: usize = 10_000;
/// Documented limit of the purge API.
const PURGES_PER_MINUTE: usize = 600;

impl World {
    pub(crate) fn new(config: &Config) -> Result<Self, StartError> {
        let mut world = Self::default();
        for bucket in &config.buckets {
            let form_key = FormKey::new(bucket.form_key.clone()).map_err(StartError::Credentials)?;
            let state = Bucket {
                nodes: BTreeMap::new(),
                multis: BTreeMap::new(),
                changed: HashMap::new(),
                form_api: bucket.form_api,
                form_key,
                separator: bucket.separator,
                styles: bucket.styles.clone(),
                blocked: false,
            };
            if bucket.name == "purge" || safelight_upyun::resource_path(&bucket.name, "").is_err() {
                return Err(StartError::BadBucket { name: bucket.name.clone() });
            }
            world.buckets.insert(bucket.name.clone(), state);
        }
        for one in &config.operators {
            let operator = Operator::new(&*one.name, &one.password).map_err(StartError::Credentials)?;
            let state = OperatorState { operator, rights: one.rights.clone(), blocked: false };
            world.operators.insert(one.name.clone(), state);
        }
        for one in &config.domains {
            let token = one.token.clone().map(TokenKey::new).transpose().map_err(StartError::Credentials)?;
            world.bind(&one.host, &one.bucket, token);
        }
        Ok(world)
    }

    pub(crate) fn bind(&mut self, host: &str, bucket: &str, token: Option<TokenKey>) {
        let domain = Domain { bucket: bucket.to_owned(), token, cache: HashMap::new() };
        self.domains.insert(host.to_ascii_lowercase(), domain);
    }

    /// The name under which a Host header is bound.
    pub(crate) fn bound(&self, host: &str) -> Option<String> {
        let host = host.to_ascii_lowercase();
        let bare = host.rsplit_once(':').map_or(&*host, |(bare, _)| bare);
        [&*host, bare].into_iter().find(|name| self.domains.contains_key(*name)).map(str::to_owned)
    }

    pub(crate) fn record(&mut self, record: RequestRecord) {
        if self.requests.len() == MAX_RECORDS {
            self.requests.pop_front();
        }
        self.requests.push_back(record);
    }

    pub(crate) fn rate(&mut self, delete: bool) -> Result<(), Refusal> {
        let second = Duration::from_secs(1);
        let all = self.faults.requests_per_second.map(|n| (n, &mut self.recent));
        let deletes =
            self.faults.deletes_per_second.filter(|_| delete).map(|n| (n, &mut self.recent_deletes));
        for (limit, seen) in [all, deletes].into_iter().flatten() {
            if count(seen, second, 1) > usize::try_from(limit).unwrap_or(usize::MAX) {
                return Err(Refusal::because(ErrorCode::RATE_LIMITED, "too many requests"));
            }
        }
        Ok(())
    }

    pub(crate) fn purges_allowed(&mut self, urls: usize) -> bool {
        count(&mut self.recent_purges, Duration::from_secs(60), urls) <= PURGES_PER_MINUTE
    }

    pub(crate) fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Refusal> {
        let bucket = self.buckets.get_mut(name).ok_or_else(|| Refusal::new(ErrorCode::BUCKET_NOT_EXIST))?;
        if bucket.blocked {
            Err(Refusal::because(ErrorCode::BUCKET_BLOCKED, "bucket blocked"))
        } else {
            Ok(bucket)
        }
    }
}

fn count(seen: &mut VecDeque<Instant>, window: Duration, add: usize) -> usize {
    let now = Instant::now();
    while seen.front().is_some_and(|first| now.duration_since(*first) >= window) {
        seen.pop_front();
    }
    seen.extend(std::iter::repeat_n(now, add));
    seen.len()
}

pub(crate) fn missing() -> Refusal {
    Refusal::because(ErrorCode::NOT_FOUND, "file or directory not found")
}

impl Bucket {
    pub(crate) fn file(&self, key: &str) -> Result<Arc<File>, Refusal> {
        match self.nodes.get(key) {
            Some(Node::File(file)) => Ok(Arc::clone(file)),
            _ => Err(missing()),
        }
    }

    pub(crate) fn is_folder(&self, key: &str) -> bool {
        key.is_empty() || matches!(self.nodes.get(key), Some(Node::Folder { .. }))
    }

    /// Stores a file and makes the folders on its way.
    pub(crate) fn store(&mut self, key: &str, file: File) -> Result<(), Refusal> {
        if key.contains(['\r', '\n', '\t']) {
            return Err(Refusal::because(
                ErrorCode(40300001),
                "file name contains invalid chars (\\r\\n\\t)",
            ));
        }
        match self.nodes.get(key) {
            Some(Node::Folder { .. }) => {
                return Err(Refusal::because(ErrorCode::FOLDER_EXISTS, "folder already exists"));
            }
            // The documentation wants it deleted first, without naming a code: *unverified*.
            Some(Node::File(old)) if old.resumable && !file.resumable => {
                return Err(Refusal::because(ErrorCode(40600001), "dir not acceptable"));
            }
            _ => {}
        }
        self.make_parents(key, file.modified_unix)?;
        self.nodes.insert(key.to_owned(), Node::File(Arc::new(file)));
        self.touch(key);
        Ok(())
    }

    pub(crate) fn make_folder(&mut self, key: &str, now_unix: u64) -> Result<(), Refusal> {
        match self.nodes.get(key) {
            Some(Node::File(_)) => return Err(Refusal::because(ErrorCode(40600001), "dir not acceptable")),
            // 40600002 is documented, but the SDKs' own tests make the same folder again and expect 200.
            Some(Node::Folder { .. }) => return Ok(()),
            None => {}
        }
        self.make_parents(key, now_unix)?;
        self.nodes.insert(key.to_owned(), Node::Folder { modified_unix: now_unix });
        Ok(())
    }

    fn make_parents(&mut self, key: &str, now_unix: u64) -> Result<(), Refusal> {
        let parents: Vec<&str> = key.match_indices('/').filter_map(|(at, _)| key.get(..at)).collect();
        if parents.iter().any(|parent| matches!(self.nodes.get(*parent), Some(Node::File(_)))) {
            return Err(Refusal::because(ErrorCode(40600001), "dir not acceptable"));
        }
        for parent in parents {
            self.nodes.entry(parent.to_owned()).or_insert(Node::Folder { modified_unix: now_unix });
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &str) -> Result<(), Refusal> {
        match self.nodes.get(key) {
            None => return Err(missing()),
            Some(Node::Folder { .. }) if self.children(key).next().is_some() => {
                return Err(Refusal::because(ErrorCode::DIRECTORY_NOT_EMPTY, "directory not empty"));
            }
            Some(_) => {}
        }
        self.nodes.remove(key);
        self.touch(key);
        Ok(())
    }

    pub(crate) fn touch(&mut self, key: &str) {
        self.changed.insert(key.to_owned(), Instant::now());
    }

    /// Names directly below a folder, in order.
    pub(crate) fn children<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let range = self.nodes.range(prefix.clone()..);
        range
            .take_while({
                let prefix = prefix.clone();
                move |(key, _)| key.starts_with(&prefix)
            })
            .filter_map(move |(key, node)| {
                let name = key.get(prefix.len()..)?;
                (!name.is_empty() && !name.contains('/')).then_some((name, node))
            })
    }

    pub(crate) fn bytes(&self) -> u64 {
        let size = |node: &Node| match node {
            Node::File(file) => u64::try_from(file.data.len()).unwrap_or(u64::MAX),
            Node::Folder { .. } => 0,
        };
        self.nodes.values().map(size).sum()
    }
}

/// Media type by extension, as far as tests need it.
pub(crate) fn media_type(key: &str) -> String {
    let extension = key.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    match extension.as_deref() {
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("gif") => "image/gif",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain",
        Some("html") => "text/html",
        Some("css") => "text/css",
        Some("js") => "application/javascript",
        Some("json") => "application/json",
        Some("pdf") => "application/pdf",
        Some("mp3") => "audio/mpeg",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
    .to_owned()
}
