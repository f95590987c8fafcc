//! Callbacks that arrive, and all the ways in which they do not.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
mod common;

use std::time::Duration;

use common::{OPERATOR, Receiver, client, config, jpeg, operator, policy};
use safelight_upyun::{CallbackError, CallbackScheme, CallbackVerifier, FormKey, FormPolicy};
use safelight_upyun_emulator::{CallbackFaults, Emulator, Faults, Forgery, Outcome};
use serde_json::json;

const WAIT: Duration = Duration::from_secs(20);

fn verifier() -> CallbackVerifier {
    CallbackVerifier::new(operator())
}

async fn upload(emulator: &Emulator, form: FormPolicy) {
    let form = form.sign(&operator()).unwrap();
    client(emulator).form_upload(&form, "scan.jpg", jpeg(40, 30)).await.unwrap();
}

fn faults(callbacks: CallbackFaults) -> Faults {
    Faults { callbacks, ..Faults::default() }
}

#[tokio::test]
async fn signed_callback_tells_of_the_upload() {
    let emulator = Emulator::start(config()).await.unwrap();
    let receiver = Receiver::start(verifier()).await;
    upload(&emulator, policy("/照/a.jpg").notify_url(&receiver.url).ext_param("photo 7")).await;
    let records = emulator.settled_callbacks(1, WAIT).await.unwrap();
    assert_eq!((records[0].outcome.clone(), records[0].attempts), (Outcome::Delivered, 1));
    let callback = receiver.seen()[0].clone().unwrap();
    assert_eq!(callback.scheme, CallbackScheme::Hmac);
    let notice = callback.upload.unwrap();
    assert_eq!((notice.code, &*notice.url, notice.ext_param.as_deref()), (200, "/照/a.jpg", Some("photo 7")));
    assert_eq!(notice.image.map(|image| (image.width, image.kind)), Some((40, "JPEG".into())));
}

#[tokio::test]
async fn old_scheme_is_signed_in_the_body_and_no_sign_is_refused() {
    let emulator = Emulator::start(config()).await.unwrap();
    let key = || FormKey::new("emulator-form-key").unwrap();
    let receiver = Receiver::start(verifier().accept_legacy(key())).await;
    let form = policy("/a.jpg").notify_url(&receiver.url).ext_param("x").sign_legacy(&key()).unwrap();
    client(&emulator).form_upload(&form, "scan.jpg", jpeg(40, 30)).await.unwrap();
    emulator.settled_callbacks(1, WAIT).await.unwrap();
    let callback = receiver.seen()[0].clone().unwrap();
    assert_eq!(callback.scheme, CallbackScheme::LegacyMd5);
    assert_eq!(callback.upload.unwrap().image, None);
    emulator.set_faults(faults(CallbackFaults { lose_form_key: true, ..CallbackFaults::default() }));
    client(&emulator).form_upload(&form, "scan.jpg", jpeg(40, 30)).await.unwrap();
    let records = emulator.settled_callbacks(2, WAIT).await.unwrap();
    assert_eq!(records[1].outcome, Outcome::GivenUp);
    assert_eq!(receiver.seen()[1], Err(CallbackError::NoSign));
}

#[tokio::test]
async fn failed_deliveries_are_retried_and_then_given_up() {
    let emulator = Emulator::start(config()).await.unwrap();
    let receiver = Receiver::start(verifier()).await;
    receiver.fail_first(2);
    upload(&emulator, policy("/a.jpg").notify_url(&receiver.url)).await;
    let records = emulator.settled_callbacks(1, WAIT).await.unwrap();
    assert_eq!(
        (records[0].outcome.clone(), records[0].answers.clone()),
        (Outcome::Delivered, vec!["502".to_owned(), "502".to_owned(), "200".to_owned()])
    );
    receiver.fail_first(99);
    upload(&emulator, policy("/b.jpg").notify_url(&receiver.url)).await;
    let records = emulator.settled_callbacks(2, WAIT).await.unwrap();
    assert_eq!((records[1].outcome.clone(), records[1].attempts), (Outcome::GivenUp, 4));
}

#[tokio::test]
async fn callbacks_are_lost_delayed_duplicated_and_reordered() {
    let emulator = Emulator::start(config()).await.unwrap();
    let receiver = Receiver::start(verifier()).await;
    let named = |key: &str| policy(key).notify_url(&receiver.url);
    emulator.set_faults(faults(CallbackFaults { lose_next: 1, ..CallbackFaults::default() }));
    upload(&emulator, named("/lost.jpg")).await;
    assert_eq!(emulator.callbacks()[0].outcome, Outcome::Lost);
    emulator.set_faults(faults(CallbackFaults {
        delay_millis: 400,
        duplicates: 1,
        ..CallbackFaults::default()
    }));
    let started = std::time::Instant::now();
    upload(&emulator, named("/twice.jpg")).await;
    emulator.settled_callbacks(3, WAIT).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));
    emulator.set_faults(faults(CallbackFaults { reorder: 2, ..CallbackFaults::default() }));
    upload(&emulator, named("/first.jpg")).await;
    upload(&emulator, named("/second.jpg")).await;
    emulator.settled_callbacks(5, WAIT).await.unwrap();
    assert_eq!(receiver.accepted_urls(), ["/twice.jpg", "/twice.jpg", "/second.jpg", "/first.jpg"]);
}

#[tokio::test]
async fn every_forgery_is_refused_by_the_verifier() {
    let emulator = Emulator::start(config()).await.unwrap();
    let receiver = Receiver::start(verifier()).await;
    let fields = json!({ "code": 200, "message": "ok", "url": "/evil.jpg", "time": 1478701618 });
    for forgery in Forgery::ALL {
        emulator.forge_callback(&receiver.url, OPERATOR, forgery, fields.as_object().unwrap()).await;
    }
    let refusals: Vec<CallbackError> = receiver.seen().into_iter().map(Result::unwrap_err).collect();
    assert!(matches!(refusals[0], CallbackError::BadSignature));
    assert!(matches!(refusals[1], CallbackError::BodyChanged));
    assert!(matches!(refusals[2], CallbackError::OutsideWindow { .. }));
    assert!(matches!(refusals[3], CallbackError::WrongOperator { .. }));
    assert!(matches!(refusals[4], CallbackError::Unsigned));
    assert!(matches!(refusals[5], CallbackError::NoSign));
    assert_eq!(refusals.len(), Forgery::ALL.len());
    let forge = Some(Forgery::TamperedBody);
    emulator.set_faults(faults(CallbackFaults { forge, ..CallbackFaults::default() }));
    upload(&emulator, policy("/a.jpg").notify_url(&receiver.url)).await;
    emulator.settled_callbacks(7, WAIT).await.unwrap();
    assert_eq!(receiver.accepted_urls(), [] as [&str; 0]);
}

#[tokio::test]
async fn callbacks_off_this_machine_are_refused_unless_mapped() {
    let mut config = config();
    let receiver = Receiver::start(verifier()).await;
    let address = receiver.url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    config.callback.hosts.insert("photos.example.com".into(), address.parse().unwrap());
    let port = address.rsplit(':').next().unwrap();
    let emulator = Emulator::start(config).await.unwrap();
    upload(&emulator, policy("/a.jpg").notify_url("http://192.0.2.7/hook")).await;
    let mapped = format!("http://photos.example.com:{port}/api/storage/callback");
    upload(&emulator, policy("/b.jpg").notify_url(mapped)).await;
    let records = emulator.settled_callbacks(2, WAIT).await.unwrap();
    assert_eq!(
        (records[0].outcome.clone(), records[1].outcome.clone()),
        (Outcome::Refused, Outcome::Delivered)
    );
    assert_eq!(receiver.accepted_urls(), ["/b.jpg"]);
}

#[tokio::test]
async fn tasks_report_as_signed_json() {
    let emulator = Emulator::start(config()).await.unwrap();
    let receiver = Receiver::start(verifier()).await;
    let apps = json!([
        { "name": "thumb", "x-gmkerl-thumb": "/fw/20", "save_as": "/small.jpg" },
        { "name": "naga", "type": "video", "avopts": "/f/mp3" },
    ]);
    upload(&emulator, policy("/a.jpg").notify_url(&receiver.url).set("apps", apps)).await;
    emulator.settled_callbacks(3, WAIT).await.unwrap();
    let mut tasks: Vec<_> = receiver.seen().into_iter().filter_map(|seen| seen.unwrap().task).collect();
    tasks.sort_by_key(|task| task.status_code);
    assert_eq!(tasks.iter().map(|task| task.status_code).collect::<Vec<_>>(), [Some(200), Some(501)]);
    assert_eq!(common::size(&emulator.file("photos", "/small.jpg").unwrap()), (20, 15));
}
