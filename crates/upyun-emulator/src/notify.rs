//! Callbacks: built, signed, delivered with retries, or made to go wrong.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use safelight_upyun::{Operator, ToSign, content_md5, format_date, legacy};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::faults::Forgery;
use crate::form;
use crate::image;
use crate::server::Shared;
use crate::world::{File, media_type};

/// A notification to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    url: String,
    /// Signs in the new scheme; in the old one the body is signed already.
    operator: Option<String>,
    body: String,
    content_type: &'static str,
}

impl Notice {
    pub(crate) fn form(url: &str, operator: Option<&str>, answer: &Map<String, Value>) -> Self {
        Self {
            url: url.to_owned(),
            operator: operator.map(str::to_owned),
            body: urlencoded(answer),
            content_type: "application/x-www-form-urlencoded;charset=utf-8",
        }
    }

    fn json(url: &str, operator: Option<&str>, body: &Value) -> Self {
        Self {
            url: url.to_owned(),
            operator: operator.map(str::to_owned),
            body: body.to_string(),
            content_type: "application/json",
        }
    }
}

/// What became of a callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Not delivered yet.
    Pending,
    /// The receiver answered 2xx.
    Delivered,
    /// All attempts failed.
    GivenUp,
    /// Lost on purpose.
    Lost,
    /// The notify URL is none, or points off this machine.
    Refused,
}

/// One callback, or one copy of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallbackRecord {
    /// Counts from 0.
    pub id: usize,
    /// Where to.
    pub url: String,
    /// What it says, before forging.
    pub body: String,
    /// How it was forged.
    pub forgery: Option<Forgery>,
    /// Deliveries tried.
    pub attempts: u32,
    /// Status or error of each attempt.
    pub answers: Vec<String>,
    /// What became of it.
    pub outcome: Outcome,
}

#[derive(Default)]
pub(crate) struct CallbackLog {
    records: Mutex<Vec<CallbackRecord>>,
    held: Mutex<Vec<Notice>>,
    changed: Notify,
}

impl CallbackLog {
    pub(crate) fn all(&self) -> Vec<CallbackRecord> {
        self.lock().clone()
    }

    /// Waits until `n` callbacks have an outcome.
    pub(crate) async fn settled(&self, n: usize, timeout: Duration) -> Option<Vec<CallbackRecord>> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                let all = self.all();
                if all.iter().filter(|record| record.outcome != Outcome::Pending).count() >= n {
                    return all;
                }
                changed.await;
            }
        };
        tokio::time::timeout(timeout, wait).await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<CallbackRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, notice: &Notice, forgery: Option<Forgery>) -> usize {
        let mut records = self.lock();
        let id = records.len();
        records.push(CallbackRecord {
            id,
            url: notice.url.clone(),
            body: notice.body.clone(),
            forgery,
            attempts: 0,
            answers: Vec::new(),
            outcome: Outcome::Pending,
        });
        id
    }

    fn change(&self, id: usize, change: impl FnOnce(&mut CallbackRecord)) {
        if let Some(record) = self.lock().get_mut(id) {
            change(record);
        }
        self.changed.notify_waiters();
    }
}

/// Sends a notification later, as the faults of this moment say.
pub(crate) fn schedule(shared: &Arc<Shared>, notice: Notice) {
    let faults = {
        let mut world = shared.world();
        let faults = &mut world.faults.callbacks;
        let before = faults.clone();
        faults.lose_next = faults.lose_next.saturating_sub(1);
        before
    };
    if faults.lose_next > 0 {
        let id = shared.callbacks.open(&notice, None);
        shared.callbacks.change(id, |record| record.outcome = Outcome::Lost);
        return;
    }
    let batch = {
        let mut held = shared.callbacks.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.push(notice);
        if held.len() < faults.reorder.max(1) {
            return;
        }
        let mut batch = std::mem::take(&mut *held);
        batch.reverse();
        batch
    };
    let delay = Duration::from_millis(faults.delay_millis);
    let mut copies = Vec::new();
    for notice in batch {
        for _ in 0..=faults.duplicates {
            let id = shared.callbacks.open(&notice, faults.forge);
            copies.push((id, notice.clone()));
        }
    }
    let in_order = faults.reorder > 1;
    let worker = Arc::clone(shared);
    shared.spawn(async move {
        tokio::time::sleep(delay).await;
        for (id, notice) in copies {
            if in_order {
                // One after the other, or the order would be anybody's guess.
                deliver(&worker, id, &notice, faults.forge).await;
            } else {
                let shared = Arc::clone(&worker);
                worker.spawn(async move { deliver(&shared, id, &notice, faults.forge).await });
            }
        }
    });
}

/// Sends one forged notification right away.
pub(crate) async fn forge(
    shared: &Arc<Shared>,
    url: &str,
    operator: &str,
    forgery: Forgery,
    fields: &Map<String, Value>,
) {
    let notice = Notice::form(url, Some(operator), fields);
    let id = shared.callbacks.open(&notice, Some(forgery));
    attempt(shared, id, &notice, Some(forgery)).await;
    shared.callbacks.change(id, |record| {
        if record.outcome == Outcome::Pending {
            record.outcome = Outcome::GivenUp;
        }
    });
}

async fn deliver(shared: &Arc<Shared>, id: usize, notice: &Notice, forgery: Option<Forgery>) {
    let mut delays = shared.config.callback.retry_delays.iter();
    loop {
        if attempt(shared, id, notice, forgery).await {
            return;
        }
        match delays.next() {
            Some(delay) => tokio::time::sleep(*delay).await,
            None => break,
        }
    }
    shared.callbacks.change(id, |record| record.outcome = Outcome::GivenUp);
}

/// True when there is nothing left to do.
async fn attempt(shared: &Arc<Shared>, id: usize, notice: &Notice, forgery: Option<Forgery>) -> bool {
    let Some(url) = reqwest::Url::parse(&notice.url).ok().filter(|url| allowed(shared, url)) else {
        shared.callbacks.change(id, |record| {
            record.outcome = Outcome::Refused;
            record.answers.push("the notify URL does not point to this machine".into());
        });
        return true;
    };
    let request = signed(shared, url, notice, forgery).timeout(shared.config.callback.timeout);
    let answer = request.send().await;
    // What counts as success is unverified; 2xx is the common reading.
    let delivered = answer.as_ref().is_ok_and(|response| response.status().is_success());
    let said = match &answer {
        Ok(response) => response.status().as_u16().to_string(),
        Err(error) => error.to_string(),
    };
    shared.callbacks.change(id, |record| {
        record.attempts += 1;
        record.answers.push(said);
        if delivered {
            record.outcome = Outcome::Delivered;
        }
    });
    delivered
}

fn allowed(shared: &Shared, url: &reqwest::Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let bare = host.trim_matches(['[', ']']);
    let loopback = bare.parse::<IpAddr>().map_or(bare == "localhost", |ip| ip.is_loopback());
    loopback || shared.config.callback.allow_any_host || shared.config.callback.hosts.contains_key(host)
}

/// The request, with a fresh date: every attempt is signed anew (unverified for the real service).
fn signed(
    shared: &Shared,
    url: reqwest::Url,
    notice: &Notice,
    forgery: Option<Forgery>,
) -> reqwest::RequestBuilder {
    let path = url.path().to_owned();
    let mut now = shared.now();
    if forgery == Some(Forgery::StaleDate) {
        now = now.checked_sub(Duration::from_secs(7200)).unwrap_or(now);
    }
    let (date, md5) = (format_date(now), content_md5(notice.body.as_bytes()));
    let body = match forgery {
        Some(Forgery::TamperedBody) => notice.body.replacen("url=", "url=%2Fforged", 1) + "&forged=1",
        Some(Forgery::NoSign) => no_sign(&notice.body),
        _ => notice.body.clone(),
    };
    let request = shared.http.post(url).header("content-type", notice.content_type).header("date", &date);
    let signer = match forgery {
        Some(Forgery::Unsigned | Forgery::NoSign) => None,
        Some(Forgery::WrongOperator) => Operator::new("mallory", "mallory").ok(),
        Some(Forgery::BadSignature) => {
            notice.operator.as_deref().and_then(|name| Operator::new(name, "not the password").ok())
        }
        _ => notice
            .operator
            .as_deref()
            .and_then(|name| shared.world().operators.get(name).map(|state| state.operator.clone())),
    };
    let request = match signer {
        Some(operator) => {
            let what = ToSign::new("POST", &path).date(&date).content_md5(&md5);
            request.header("authorization", operator.authorization(&what)).header("content-md5", md5)
        }
        None => request,
    };
    request.body(body)
}

fn no_sign(body: &str) -> String {
    let field = |name: &str| {
        let raw = body.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        percent_encoding::percent_decode_str(raw.unwrap_or_default()).decode_utf8_lossy().into_owned()
    };
    let kept: Vec<&str> = body.split('&').filter(|pair| !pair.starts_with("sign=")).collect();
    let ext_param = Some(field("ext-param")).filter(|text| !text.is_empty());
    let (code, message, url, time) = (field("code"), field("message"), field("url"), field("time"));
    let digest = legacy::callback_no_sign(&code, &message, &url, &time, ext_param.as_deref());
    format!("{}&no-sign={digest}", kept.join("&"))
}

/// A JSON value as a form carries it.
pub(crate) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn urlencoded(fields: &Map<String, Value>) -> String {
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", name, form::encode(&plain(value))));
    pairs.collect::<Vec<_>>().join("&")
}

/// Runs the policy's `apps` and returns their notifications. Only `thumb` is emulated; the others get a task id and a
/// notification that says so.
pub(crate) fn run_apps(
    shared: &Arc<Shared>,
    bucket: &str,
    policy: &Map<String, Value>,
    operator: Option<&str>,
    data: &Bytes,
    answer: &mut Map<String, Value>,
) -> Vec<Notice> {
    let Some(apps) = policy.get("apps").and_then(Value::as_array) else { return Vec::new() };
    let mut ids = Vec::new();
    let mut notices = Vec::new();
    for app in apps {
        let id = form::task_id();
        let text = |name: &str| app.get(name).and_then(Value::as_str);
        let result = if text("name") == Some("thumb") {
            thumb(shared, bucket, data, text("x-gmkerl-thumb").unwrap_or_default(), text("save_as"))
        } else {
            Err((501, "the emulator runs tasks named thumb only".to_owned()))
        };
        let mut body = match result {
            Ok(info) => json!({ "status_code": 200, "imginfo": [info] }),
            Err((status, error)) => json!({ "status_code": status, "error": error }),
        };
        if let Some(body) = body.as_object_mut() {
            body.insert("task_id".into(), id.clone().into());
            body.insert("service".into(), bucket.into());
        }
        let to = text("notify_url").or_else(|| policy.get("notify-url").and_then(Value::as_str));
        notices.extend(to.map(|to| Notice::json(to, operator, &body)));
        ids.push(Value::from(id));
    }
    answer.insert("task_ids".into(), Value::Array(ids));
    notices
}

fn thumb(
    shared: &Arc<Shared>,
    bucket: &str,
    data: &Bytes,
    parameters: &str,
    save_as: Option<&str>,
) -> Result<Value, (u16, String)> {
    let made = image::process(data, parameters).map_err(|refusal| (400, format!("{refusal:?}")))?;
    let facts = image::facts(&made.data).ok_or((400, "the result is no image".to_owned()))?;
    let path = save_as.unwrap_or_default();
    if !path.is_empty() {
        let key = path.trim_matches('/');
        let file = File::new(made.data, media_type(key), crate::server::unix(SystemTime::now()));
        let stored = shared.world().bucket(bucket).and_then(|bucket| bucket.store(key, file));
        stored.map_err(|refusal| (refusal.status.as_u16(), refusal.message))?;
    }
    let info: BTreeMap<&str, Value> = BTreeMap::from([
        ("path", path.into()),
        ("type", facts.kind().into()),
        ("width", facts.width.into()),
        ("height", facts.height.into()),
        ("frames", 1.into()),
    ]);
    Ok(json!(info))
}
