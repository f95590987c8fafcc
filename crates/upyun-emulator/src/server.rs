//! What all handlers share, and the way every answer goes out: faults, records, headers.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use safelight_upyun::ErrorCode;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::faults::Outage;
use crate::image::{self, ImageRefusal};
use crate::notify::CallbackLog;
use crate::refusal::{Refusal, random_hex};
use crate::world::{RequestRecord, World};
use crate::{cdn, rest};

/// Enough for half a body to leave.
const CUT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) http: reqwest::Client,
    pub(crate) callbacks: CallbackLog,
    world: Mutex<World>,
    tasks: Mutex<JoinSet<()>>,
}

impl Shared {
    pub(crate) fn new(config: Config, world: World, http: reqwest::Client) -> Self {
        Self {
            config,
            http,
            callbacks: CallbackLog::default(),
            world: Mutex::new(world),
            tasks: Mutex::new(JoinSet::new()),
        }
    }

    /// The state. A panic in one request must not fail all later ones.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service's clock, which may be wrong on purpose.
    pub(crate) fn now(&self) -> SystemTime {
        let offset = self.world().faults.clock_offset_seconds;
        let now = SystemTime::now();
        let distance = Duration::from_secs(offset.unsigned_abs());
        let shifted = if offset < 0 { now.checked_sub(distance) } else { now.checked_add(distance) };
        shifted.unwrap_or(now)
    }

    /// Runs something until it ends or the emulator stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(crate) fn stop(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// `x-gmkerl-thumb`: parameters or a style's name, applied before a file is stored. Blocks.
    pub(crate) fn preprocess(&self, bucket: &str, data: &Bytes, thumb: &str) -> Result<Bytes, Refusal> {
        let parameters = if thumb.starts_with('/') {
            thumb.to_owned()
        } else {
            let (style, rest) = thumb.split_once('/').unwrap_or((thumb, ""));
            let found = self.world().bucket(bucket)?.styles.get(style).cloned();
            let no_style = || Refusal::because(ErrorCode::NO_SUCH_STYLE, "no thumb setting found for bucket");
            format!("{}/{rest}", found.ok_or_else(no_style)?)
        };
        image::process(data, &parameters).map(|made| made.data).map_err(|refusal| match refusal {
            ImageRefusal::BadParameter(which) => {
                Refusal::because(ErrorCode(40011001), &format!("invalid x-gmkerl-thumb: {which}"))
            }
            ImageRefusal::NotAnImage => Refusal::because(ErrorCode::NOT_AN_IMAGE, "not an image"),
            ImageRefusal::SideTooLong | ImageRefusal::TooManyPixels => {
                Refusal::because(ErrorCode(40300021), "image limit exceeded")
            }
        })
    }
}

pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listener {
    Api,
    Cdn,
}

pub(crate) fn api(shared: &Arc<Shared>) -> Router {
    router(shared, Listener::Api)
}

pub(crate) fn cdn(shared: &Arc<Shared>) -> Router {
    router(shared, Listener::Cdn)
}

fn router(shared: &Arc<Shared>, listener: Listener) -> Router {
    let limit = DefaultBodyLimit::max(shared.config.max_request_bytes);
    let serve = move |State(shared): State<Arc<Shared>>, request: Request| serve(shared, listener, request);
    Router::new().fallback(serve).layer(limit).with_state(Arc::clone(shared))
}

fn outage(world: &mut World, listener: Listener) -> &mut Outage {
    match listener {
        Listener::Api => &mut world.faults.api,
        Listener::Cdn => &mut world.faults.cdn,
    }
}

async fn serve(shared: Arc<Shared>, listener: Listener, request: Request) -> Response {
    let mut record = RequestRecord {
        listener: if listener == Listener::Api { "api" } else { "cdn" },
        method: request.method().to_string(),
        host: host(&request),
        target: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
        status: 0,
    };
    let (delay, failure, cut) = {
        let mut world = shared.world();
        let purge = listener == Listener::Api && request.uri().path().trim_end_matches('/') == "/purge";
        let outage = outage(&mut world, listener);
        let (delay, failure, cut) = (outage.delay_millis, outage.strike(), outage.cut_bodies);
        if purge {
            let purge = &mut world.faults.purge;
            (delay + purge.delay_millis, failure.or_else(|| purge.strike()), cut || purge.cut_bodies)
        } else {
            (delay, failure, cut)
        }
    };
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let is_head = request.method() == Method::HEAD;
    let mut response = match (failure, listener) {
        (Some(status), _) => Refusal::outage(status).into_response(),
        (None, Listener::Api) => rest::handle(&shared, request).await,
        (None, Listener::Cdn) => cdn::handle(&shared, request).await,
    };
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&random_hex()) {
        headers.entry("x-request-id").or_insert(id);
    }
    // The exact headers of the real endpoint are unverified; pages do post forms to it from other origins.
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS"),
        ("access-control-allow-headers", "*, Authorization"),
        ("access-control-expose-headers", "*"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if cut && !is_head {
        response = cut_in_half(response).await;
    }
    record.status = response.status().as_u16();
    shared.world().record(record);
    response
}

pub(crate) fn host(request: &Request) -> String {
    let header = request.headers().get("host").and_then(|value| value.to_str().ok());
    header.or_else(|| request.uri().authority().map(|a| a.as_str())).unwrap_or_default().to_owned()
}

/// The whole length is announced, half of it is sent, and the connection breaks.
async fn cut_in_half(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    if whole.is_empty() {
        return Response::from_parts(parts, Body::empty());
    }
    parts.headers.insert("content-length", HeaderValue::from(whole.len()));
    let half = whole.slice(..whole.len() / 2);
    let pieces = stream::once(async { Ok(half) }).chain(stream::once(async {
        // Without a pause the connection would break before the first half is on its way.
        tokio::time::sleep(CUT_PAUSE).await;
        Err(std::io::Error::other("cut on purpose"))
    }));
    Response::from_parts(parts, Body::from_stream(pieces))
}
