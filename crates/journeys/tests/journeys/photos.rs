//! A journey as a photo service has it: sign in, upload, wait for the thumbnail, look at it, delete, sign out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Multipart, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use safelight_journeys::{Journey, run};
use serde_json::json;

use crate::support::{options, serve};

#[derive(Clone, Default)]
struct Photos(Arc<Mutex<BTreeMap<String, Photo>>>);

#[derive(Clone, Default)]
struct Photo {
    title: String,
    data: Vec<u8>,
    asked: u32,
}

fn signed_in(headers: &HeaderMap) -> Result<(), StatusCode> {
    let has = |name: &str, part: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains(part))
    };
    (has("cookie", "sid=s-1") && has("x-csrf", "csrf-77")).then_some(()).ok_or(StatusCode::UNAUTHORIZED)
}

async fn login(axum::Form(form): axum::Form<BTreeMap<String, String>>) -> impl IntoResponse {
    match form.get("password").is_some_and(|password| password == "correct horse") {
        true => Ok((
            [("set-cookie", "sid=s-1; Path=/; HttpOnly; SameSite=Lax")],
            axum::Json(json!({"csrf": "csrf-77"})),
        )),
        false => Err(StatusCode::FORBIDDEN),
    }
}

async fn upload(
    State(photos): State<Photos>,
    headers: HeaderMap,
    mut form: Multipart,
) -> Result<impl IntoResponse, StatusCode> {
    signed_in(&headers)?;
    let mut photo = Photo::default();
    while let Some(field) = form.next_field().await.map_err(|_| StatusCode::BAD_REQUEST)? {
        match (field.name(), field.content_type()) {
            (Some("title"), _) => photo.title = field.text().await.unwrap(),
            (Some("image"), Some("image/jpeg")) => photo.data = field.bytes().await.unwrap().to_vec(),
            _ => return Err(StatusCode::UNPROCESSABLE_ENTITY),
        }
    }
    let answer = json!({"id": "p-1", "title": photo.title, "bytes": photo.data.len()});
    photos.0.lock().unwrap().insert("p-1".to_owned(), photo);
    Ok((StatusCode::CREATED, axum::Json(answer)))
}

/// Made in the background: not there for the first two times.
async fn thumbnail(
    State(photos): State<Photos>,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, StatusCode> {
    let mut photos = photos.0.lock().unwrap();
    let photo = photos.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    photo.asked += 1;
    if photo.asked < 3 {
        return Err(StatusCode::NOT_FOUND);
    }
    Ok(([("content-type", "image/jpeg")], photo.data[..4].to_vec()))
}

async fn remove(
    State(photos): State<Photos>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<StatusCode, StatusCode> {
    signed_in(&headers)?;
    photos.0.lock().unwrap().remove(&id).map(|_| StatusCode::NO_CONTENT).ok_or(StatusCode::NOT_FOUND)
}

fn app() -> Router {
    Router::new()
        .route("/login", post(login))
        .route("/photos", post(upload))
        .route("/photos/{id}/thumbnail", get(thumbnail))
        .route("/photos/{id}", axum::routing::delete(remove))
        .with_state(Photos::default())
}

const JOURNEY: &str = r#"# Sign in
POST {{base}}/login
[Form]
user: {{user}}
password: {{password}}
HTTP 200
[Captures]
csrf: jsonpath "$.csrf" redact
[Asserts]
cookie "sid[HttpOnly]" exists
cookie "sid[SameSite]" == "Lax"

# Upload a photo
POST {{base}}/photos
X-Csrf: {{csrf}}
[Multipart]
title: {{title}}
image: file,photos/sea.jpg;
HTTP 201
[Captures]
id: jsonpath "$.id"
[Asserts]
jsonpath "$.title" == "{{title}}"
jsonpath "$.bytes" == 6

# The thumbnail is made in the background
GET {{base}}/photos/{{id}}/thumbnail
[Options]
retry: 10
retry-interval: 10ms
HTTP 200
Content-Type: image/jpeg
[Asserts]
bytes startsWith hex,ffd8ff;
sha256 toHex == "32b6d6bc4b56d8e1dce4b49ae0b4da9a5a7a0e7d8a0c1bd1a4a3f6c0cd6f3e0a"

# Clean up
DELETE {{base}}/photos/{{id}}
X-Csrf: {{csrf}}
HTTP 204

GET {{base}}/photos/{{id}}/thumbnail
HTTP 404
"#;

#[tokio::test]
async fn login_upload_thumbnail_and_delete_work_as_one_journey() {
    let address = serve(app()).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("photos")).unwrap();
    std::fs::write(folder.path().join("photos/sea.jpg"), [0xff, 0xd8, 0xff, 0xe0, 0, 1]).unwrap();
    let digest = {
        use sha2::Digest as _;
        sha2::Sha256::digest([0xff, 0xd8, 0xff, 0xe0])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let path = folder.path().join("core.hurl");
    std::fs::write(
        &path,
        JOURNEY.replace("32b6d6bc4b56d8e1dce4b49ae0b4da9a5a7a0e7d8a0c1bd1a4a3f6c0cd6f3e0a", &digest),
    )
    .unwrap();
    let journey = Journey::load(&path).unwrap();
    let mut options = options(address);
    options.variables.insert("user".to_owned(), "ada@example.com".into());
    options.variables.insert("title".to_owned(), "海 & \"sea\"".into());
    options.secrets.insert("password".to_owned(), "correct horse".into());

    let outcome = run(&journey, &options).await;
    assert_eq!(outcome.failure.as_ref().map(ToString::to_string), None);
    assert_eq!(outcome.steps.iter().map(|step| step.attempts).collect::<Vec<_>>(), [1, 1, 3, 1, 1]);
    assert_eq!(outcome.captures["id"], "p-1");
    assert_eq!(outcome.captures["csrf"], "***");
    let shown = serde_json::to_string(&outcome).unwrap();
    assert!(!shown.contains("csrf-77") && !shown.contains("correct"), "{shown}");

    // The same journey with a wrong password stops at its first step and says what it saw.
    options.secrets.insert("password".to_owned(), "wrong".into());
    let outcome = run(&journey, &options).await;
    let failure = outcome.failure.unwrap();
    assert_eq!((failure.step, failure.line, outcome.steps.len()), (1, 6, 1));
    assert_eq!(failure.actual.as_deref(), Some("status 403"));
}
