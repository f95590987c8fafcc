//! Traffic as users make it: page views and API reads on connections that stay open, on fresh ones, uploads, and slow
//! readers and writers. Every answer is counted; what fails is kept with its time and reason.

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// Whom to visit, and how hard.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the proxy is.
    pub addr: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// Pages and API paths that must answer 2xx or 3xx.
    pub paths: Vec<String>,
    /// Visitors on connections that stay open.
    pub keep_alive: usize,
    /// Visitors who open a connection for each request.
    pub fresh: usize,
    /// Visitors who send and read slowly.
    pub slow: usize,
    /// E-mail and password of an account that uploads, with the photo.
    pub upload: Option<Upload>,
    /// Visitors who upload with it.
    pub uploaders: usize,
    /// Pause of each visitor between two requests.
    pub pause: Duration,
}

/// Who uploads what.
#[derive(Clone)]
pub struct Upload {
    /// Account.
    pub email: String,
    /// Its password.
    pub password: String,
    /// A JPEG.
    pub photo: Vec<u8>,
    /// Pause between two uploads.
    pub every: Duration,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("email", &self.email).finish_non_exhaustive()
    }
}

/// What came of the requests under one mark.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Requests sent.
    pub sent: u64,
    /// Requests that failed: no answer, a broken one, 404, 421, or a status of 500 and above.
    pub failed: u64,
    /// Kinds of visitor: sent and failed.
    pub kinds: BTreeMap<&'static str, (u64, u64)>,
    /// The first failures, in words.
    pub samples: Vec<String>,
}

/// Traffic that runs until it is stopped.
pub struct Traffic {
    stop: Arc<AtomicBool>,
    crowd_stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    visitors: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    marks: Mutex<Vec<(String, Counts)>>,
}

impl Shared {
    fn count(&self, kind: &'static str, result: Result<(), String>) {
        let mut marks = self.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some((_, c)) = marks.last_mut() else { return };
        let of_kind = c.kinds.entry(kind).or_default();
        c.sent += 1;
        of_kind.0 += 1;
        if let Err(why) = result {
            c.failed += 1;
            of_kind.1 += 1;
            if c.samples.len() < 20 {
                c.samples.push(format!("{kind}: {why}"));
            }
        }
    }
}

impl Traffic {
    /// Starts all visitors; counts go under `mark`.
    #[must_use]
    pub fn start(plan: Plan, mark: &str) -> Self {
        let mut t = Self {
            stop: Arc::default(),
            crowd_stop: Arc::default(),
            shared: Arc::default(),
            visitors: JoinSet::new(),
        };
        t.mark(mark);
        let stop = t.stop.clone();
        t.visit(plan, &stop);
        t
    }

    fn visit(&mut self, plan: Plan, stop: &Arc<AtomicBool>) {
        let plan = Arc::new(plan);
        for i in 0..plan.keep_alive {
            self.visitors.spawn(keep_alive(plan.clone(), self.shared.clone(), stop.clone(), i));
        }
        for i in 0..plan.fresh {
            self.visitors.spawn(fresh(plan.clone(), self.shared.clone(), stop.clone(), i));
        }
        for _ in 0..plan.slow {
            self.visitors.spawn(slow(plan.clone(), self.shared.clone(), stop.clone()));
        }
        for u in plan.upload.iter().cycle().take(plan.uploaders * usize::from(plan.upload.is_some())) {
            self.visitors.spawn(uploads(plan.clone(), u.clone(), self.shared.clone(), stop.clone()));
        }
    }

    /// Many more visitors come, until [`Traffic::disperse`].
    pub fn crowd(&mut self, plan: Plan) {
        self.crowd_stop = Arc::default();
        let stop = self.crowd_stop.clone();
        self.visit(plan, &stop);
    }

    /// The crowd leaves.
    pub fn disperse(&self) {
        self.crowd_stop.store(true, Ordering::SeqCst);
    }

    /// From here on counts go under another mark.
    pub fn mark(&self, name: &str) {
        let mut marks = self.shared.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        marks.push((name.to_owned(), Counts::default()));
    }

    /// The counts so far.
    #[must_use]
    pub fn counts(&self) -> Vec<(String, Counts)> {
        self.shared.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Lets every visitor finish what it is doing; then the counts.
    pub async fn finish(mut self) -> Vec<(String, Counts)> {
        self.disperse();
        self.stop.store(true, Ordering::SeqCst);
        while self.visitors.join_next().await.is_some() {}
        self.counts()
    }
}

/// A page that has gone is a failure like a broken one: that is what a lost route looks like.
fn judge(status: StatusCode) -> Result<(), String> {
    let lost = [StatusCode::MISDIRECTED_REQUEST, StatusCode::NOT_FOUND].contains(&status);
    if status.is_server_error() || lost { Err(status.to_string()) } else { Ok(()) }
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(addr: SocketAddr) -> Result<Sender, String> {
    let tcp = TcpStream::connect(addr).await.map_err(|e| format!("connect: {e}"))?;
    let (sender, connection) = handshake(TokioIo::new(tcp)).await.map_err(|e| format!("handshake: {e}"))?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn get(sender: &mut Sender, host: &str, path: &str) -> Result<StatusCode, String> {
    let request = Request::get(path)
        .header("host", host)
        .header("accept-language", "en")
        .body(Full::default())
        .map_err(|e| e.to_string())?;
    let exchange = async {
        sender.ready().await.map_err(|e| format!("ready: {e}"))?;
        let response = sender.send_request(request).await.map_err(|e| format!("send: {e}"))?;
        let status = response.status();
        response.into_body().collect().await.map_err(|e| format!("body: {e}"))?;
        Ok(status)
    };
    tokio::time::timeout(Duration::from_secs(60), exchange)
        .await
        .map_err(|_| "no answer in 60 s".to_owned())?
}

async fn keep_alive(plan: Arc<Plan>, shared: Arc<Shared>, stop: Arc<AtomicBool>, i: usize) {
    let mut sender: Option<Sender> = None;
    let mut n = i;
    while !stop.load(Ordering::SeqCst) {
        let path = &plan.paths[n % plan.paths.len()];
        n += 1;
        // A connection that the server closed between two requests is no failure: a browser opens another too.
        let mut open = match sender.take().filter(|s| !s.is_closed()) {
            Some(s) => s,
            None => match connect(plan.addr).await {
                Ok(s) => s,
                Err(e) => {
                    shared.count("keep-alive", Err(e));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
        };
        let result = get(&mut open, &plan.host, path).await;
        if result.is_ok() {
            sender = Some(open);
        }
        shared.count("keep-alive", result.and_then(judge).map_err(|e| format!("{path}: {e}")));
        tokio::time::sleep(plan.pause).await;
    }
}

async fn fresh(plan: Arc<Plan>, shared: Arc<Shared>, stop: Arc<AtomicBool>, i: usize) {
    let mut n = i;
    while !stop.load(Ordering::SeqCst) {
        let path = &plan.paths[n % plan.paths.len()];
        n += 1;
        let result = match connect(plan.addr).await {
            Ok(mut s) => get(&mut s, &plan.host, path).await,
            Err(e) => Err(e),
        };
        shared.count("fresh", result.and_then(judge).map_err(|e| format!("{path}: {e}")));
        tokio::time::sleep(plan.pause).await;
    }
}

/// Sends its request a few bytes at a time and reads the answer the same way.
async fn slow(plan: Arc<Plan>, shared: Arc<Shared>, stop: Arc<AtomicBool>) {
    let mut n = 0;
    while !stop.load(Ordering::SeqCst) {
        let path = &plan.paths[n % plan.paths.len()];
        n += 1;
        shared.count("slow", slow_once(&plan, path).await.map_err(|e| format!("{path}: {e}")));
        tokio::time::sleep(plan.pause).await;
    }
}

async fn slow_once(plan: &Plan, path: &str) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    let mut tcp = TcpStream::connect(plan.addr).await.map_err(io)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", plan.host);
    for part in request.as_bytes().chunks(12) {
        tcp.write_all(part).await.map_err(io)?;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let mut answer = Vec::new();
    let mut buf = vec![0; 2048];
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let n = tcp.read(&mut buf).await.map_err(io)?;
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&buf[..n]);
        if Instant::now() > until {
            return Err("still sending after 60 s".to_owned());
        }
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    let head = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
    let status: u16 =
        head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(format!("no status in {head:?}"))?;
    judge(StatusCode::from_u16(status).map_err(|e| e.to_string())?)
}

/// Logs in, then uploads and deletes a photo again and again, as an editor does.
async fn uploads(plan: Arc<Plan>, upload: Upload, shared: Arc<Shared>, stop: Arc<AtomicBool>) {
    let mut session: Option<(String, String)> = None;
    while !stop.load(Ordering::SeqCst) {
        let result = async {
            let mut sender = connect(plan.addr).await?;
            if session.is_none() {
                session = Some(login(&mut sender, &plan.host, &upload).await?);
            }
            let Some((cookie, csrf)) = &session else { return Ok(()) };
            upload_once(&mut sender, &plan.host, cookie, csrf, &upload.photo).await
        }
        .await;
        // Only a refused session is renewed: an editor does not log in again because a page was busy.
        if result.as_ref().is_err_and(|e| e.contains("401") || e.contains("403")) {
            session = None;
        }
        shared.count("upload", result);
        // In small pieces, so that the end is not waited for.
        let until = Instant::now() + upload.every;
        while Instant::now() < until && !stop.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn send(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Option<String>, Bytes), String> {
    let exchange = async {
        sender.ready().await.map_err(|e| format!("ready: {e}"))?;
        let response = sender.send_request(request).await.map_err(|e| format!("send: {e}"))?;
        let status = response.status();
        let cookie = response
            .headers()
            .get("set-cookie")
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split(';').next())
            .map(str::to_owned);
        let body = response.into_body().collect().await.map_err(|e| format!("body: {e}"))?.to_bytes();
        Ok((status, cookie, body))
    };
    tokio::time::timeout(Duration::from_secs(60), exchange)
        .await
        .map_err(|_| "no answer in 60 s".to_owned())?
}

async fn login(sender: &mut Sender, host: &str, u: &Upload) -> Result<(String, String), String> {
    let body = serde_json::json!({"email": u.email, "password": u.password}).to_string();
    let request = Request::post("/api/auth/login")
        .header("host", host)
        .header("content-type", "application/json")
        .body(Full::from(body))
        .map_err(|e| e.to_string())?;
    let (status, cookie, body) = send(sender, request).await?;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    match (cookie, json["csrf_token"].as_str()) {
        (Some(c), Some(t)) if status.is_success() => Ok((c, t.to_owned())),
        _ => Err(format!("login: {status}")),
    }
}

async fn upload_once(
    sender: &mut Sender,
    host: &str,
    cookie: &str,
    csrf: &str,
    photo: &[u8],
) -> Result<(), String> {
    let mut body = b"--frame\r\ncontent-disposition: form-data; name=\"visibility\"\r\n\r\npublic\r\n--frame\r\ncontent-disposition: form-data; name=\"keep_duplicate\"\r\n\r\ntrue\r\n--frame\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\ncontent-type: image/jpeg\r\n\r\n".to_vec();
    body.extend_from_slice(photo);
    body.extend_from_slice(b"\r\n--frame--\r\n");
    let request = Request::post("/api/photos")
        .header("host", host)
        .header("cookie", cookie)
        .header("x-csrf-token", csrf)
        .header("content-type", "multipart/form-data; boundary=frame")
        .body(Full::from(body))
        .map_err(|e| e.to_string())?;
    let (status, _, body) = send(sender, request).await?;
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let key = json["photos"][0]["key"].as_str().ok_or(format!("upload: {status}"))?.to_owned();
    let request = Request::delete(format!("/api/photos/{key}?forever=true"))
        .header("host", host)
        .header("cookie", cookie)
        .header("x-csrf-token", csrf)
        .body(Full::default())
        .map_err(|e| e.to_string())?;
    let (status, ..) = send(sender, request).await?;
    if status.is_success() { Ok(()) } else { Err(format!("delete: {status}")) }
}
