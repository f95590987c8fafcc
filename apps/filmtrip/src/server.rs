//! Listening, shedding load and stopping without dropping a request.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_http::timeout::TimeoutBody;

use crate::error::ApiError;

/// How long a client may pause within the body of its request.
pub const STALL: Duration = Duration::from_secs(30);
/// How long requests may go on after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(10);

/// Serves a router until SIGTERM or SIGINT, then lets requests and `background` work finish.
///
/// # Errors
/// The address cannot be bound, or accepting fails.
pub async fn run<F: Future<Output = ()>>(
    router: Router,
    address: SocketAddr,
    max_in_flight: usize,
    background: impl FnOnce() -> F,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| std::io::Error::new(e.kind(), format!("PORT/HOST: cannot listen on {address}: {e}")))?;
    let bound = listener.local_addr()?;
    let listener = listener.tap_io(|stream| {
        // Small answers would otherwise wait for the client's delayed acknowledgement.
        if let Err(e) = stream.set_nodelay(true) {
            tracing::warn!("TCP_NODELAY: {e}");
        }
    });
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping: requests in flight have {} s", GRACE.as_secs());
        stop.send_replace(true);
    });

    // Inside of the shedding: who sends a part of a request and then nothing holds no place for ever.
    let router = stall(router, STALL);
    let router = shed(router, max_in_flight);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let wait = |mut stopped: watch::Receiver<bool>| async move {
        // The sender lives as long as the signal task; if it goes, stopping is right too.
        let _gone = stopped.wait_for(|stop| *stop).await.is_err();
    };
    println!("listening on http://{bound}");
    let serving = axum::serve(listener, service).with_graceful_shutdown(wait(stopped.clone()));
    let deadline = async {
        wait(stopped).await;
        tokio::time::sleep(GRACE).await;
    };
    let finish = async {
        serving.await?;
        background().await;
        Ok(())
    };
    tokio::select! {
        result = finish => result,
        () = deadline => {
            tracing::warn!("requests were still running after {} s and are cut off", GRACE.as_secs());
            Ok(())
        }
    }
}

/// Breaks a request off whose body pauses for longer than `limit`. Not one that brings files: it is read in steps with
/// work between them, and the layer's clock goes on while nobody reads. Its steps are timed where they are read.
fn stall(router: Router, limit: Duration) -> Router {
    let timed = move |request: Request, next: Next| async move {
        let files = matches!(request.uri().path(), "/api/photos" | "/admin/upload");
        next.run(if files { request } else { request.map(|body| Body::new(TimeoutBody::new(limit, body))) })
            .await
    };
    router.layer(middleware::from_fn(timed))
}

/// Answers 503 with Retry-After at once when `max` requests are being served. Health is exempt:
/// a busy server is not a broken one.
fn shed(router: Router, max: usize) -> Router {
    let permits = Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
    router.layer(middleware::from_fn_with_state(permits, shed_one))
}

async fn shed_one(State(permits): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/api/health" | "/health") {
        return next.run(request).await;
    }
    let Ok(permit) = permits.try_acquire_owned() else {
        return ApiError::Busy.into_response();
    };
    next.run(request).await.map(|body| Body::new(Counted { body, _permit: permit }))
}

/// A body whose request counts as in flight until the last byte is out.
struct Counted {
    body: Body,
    _permit: OwnedSemaphorePermit,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::post;
    use futures_util::{FutureExt, StreamExt};
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;
    use tower::ServiceExt;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(50);

    /// Reads until it would have to wait, as the reader of forms does, works for longer than the limit, and reads on.
    async fn work(body: Body) -> String {
        let mut pieces = StreamExt::fuse(body.into_data_stream());
        let mut read = String::new();
        while let Some(first) = pieces.next().await {
            let mut next = Some(first);
            while let Some(piece) = next {
                match piece {
                    Ok(piece) => read.push_str(&String::from_utf8_lossy(&piece)),
                    Err(_) => return "broke off".to_owned(),
                }
                next = pieces.next().now_or_never().flatten();
            }
            tokio::time::sleep(4 * LIMIT).await;
        }
        read
    }

    /// What comes of a body whose pieces come `after` the reader waits for them.
    async fn read(path: &str, after: Duration) -> String {
        let router = Router::new().route("/api/photos", post(work)).route("/admin/photos/x", post(work));
        let (send, pieces) = mpsc::channel::<Bytes>(1);
        tokio::spawn(async move {
            for piece in ["one", "two"] {
                // After the reader has begun to wait, which starts the clock.
                tokio::time::sleep(after).await;
                let _the_reader_has_given_up = send.send(Bytes::from(piece)).await.is_err();
            }
        });
        let pieces = futures_util::stream::unfold(pieces, |mut pieces| async move {
            pieces.recv().await.map(|piece| (Ok::<_, std::io::Error>(piece), pieces))
        });
        let request = Request::post(path).body(Body::from_stream(pieces)).expect("request");
        let answer = stall(router, LIMIT).oneshot(request).await.expect("answer");
        let bytes = answer.into_body().collect().await.expect("body").to_bytes();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[tokio::test]
    async fn work_between_two_files_of_a_batch_is_no_stall_of_the_client() {
        assert_eq!(read("/api/photos", LIMIT / 5).await, "onetwo");
    }

    #[tokio::test]
    async fn whoever_sends_a_part_of_a_form_and_then_nothing_is_cut_off() {
        assert_eq!(read("/admin/photos/x", 10 * LIMIT).await, "broke off");
    }
}
