//! Apache OpenDAL's Upyun service against the emulator: a third client that nobody here wrote.
//!
//! Upstream has no live test of it, so where it disagrees with the documentation the documentation is followed, and
//! the disagreement is pinned down here.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
mod common;

use std::collections::BTreeMap;

use common::{BUCKET, OPERATOR, PASSWORD, config};
use futures_util::TryStreamExt;
use opendal::{
    Buffer, EntryMode, Error, ErrorKind, HttpBody, HttpTransport, HttpTransporter, OperationContext,
    Operator, services,
};
use safelight_upyun_emulator::{Emulator, Faults, Outage};

const MIB: usize = 1024 * 1024;

/// The service's endpoint is fixed to `https://v0.api.upyun.com`; this sends what it would get to the emulator. Path,
/// headers and body stay as OpenDAL made and signed them.
struct ToEmulator {
    endpoint: String,
    client: reqwest::Client,
}

fn broken(error: &reqwest::Error) -> Error {
    Error::new(ErrorKind::Unexpected, error.to_string()).set_temporary()
}

impl HttpTransport for ToEmulator {
    async fn fetch(&self, request: http::Request<Buffer>) -> Result<http::Response<HttpBody>, Error> {
        assert_eq!(request.uri().authority().unwrap(), "v0.api.upyun.com");
        let (parts, body) = request.into_parts();
        let url = format!("{}{}", self.endpoint, parts.uri.path_and_query().unwrap());
        let mut sent = self.client.request(parts.method, url).headers(parts.headers);
        if !body.is_empty() {
            sent = sent.body(body.to_bytes());
        }
        let answer = sent.send().await.map_err(|e| broken(&e))?;
        let mut response = http::Response::builder().status(answer.status());
        *response.headers_mut().unwrap() = answer.headers().clone();
        let length = answer.content_length();
        let stream = answer.bytes_stream().map_ok(Buffer::from).map_err(|e| broken(&e));
        Ok(response.body(HttpBody::new(stream, length)).unwrap())
    }
}

fn rooted(emulator: &Emulator, root: &str, password: &str) -> Operator {
    let builder = services::Upyun::default().root(root).bucket(BUCKET).operator(OPERATOR).password(password);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let transport = ToEmulator { endpoint: emulator.api_endpoint(), client };
    let context = OperationContext::new().with_http_transport(HttpTransporter::new(transport));
    Operator::new(builder).unwrap().with_context(context)
}

fn operator(emulator: &Emulator) -> Operator {
    rooted(emulator, "/", PASSWORD)
}

async fn read(op: &Operator, path: &str) -> Vec<u8> {
    op.read(path).await.unwrap().to_vec()
}

fn bytes(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8 ^ seed).collect()
}

#[tokio::test]
async fn files_are_written_read_in_ranges_described_and_deleted() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = operator(&emulator);
    let data = bytes(100_000, 7);
    for path in ["plain.bin", "胶片/第一卷/a b.jpg", "odd/+&=;,@!'()*~[]^%.txt"] {
        op.write(path, data.clone()).await.unwrap();
        assert_eq!(emulator.file(BUCKET, path).unwrap(), data, "{path} as stored");
        assert_eq!(read(&op, path).await, data, "{path} as read");
        for range in [0..1, 0..100_000, 99_999..100_000, 1_000..60_001] {
            let part = op.read_with(path).range(range.start as u64..range.end as u64).await.unwrap();
            assert_eq!(part.to_vec(), data[range.clone()], "{path} {range:?}");
        }
        let tail = op.read_with(path).range(99_000..).await.unwrap();
        assert_eq!(tail.to_vec(), data[99_000..], "{path} to its end");
        let meta = op.stat(path).await.unwrap();
        assert_eq!((meta.mode(), meta.content_length()), (EntryMode::FILE, 100_000), "{path}");
        assert_eq!(meta.content_md5(), Some(safelight_upyun::content_md5(&data).as_str()), "{path}");
        op.delete(path).await.unwrap();
        assert!(!op.exists(path).await.unwrap(), "{path}");
        assert_eq!(emulator.file(BUCKET, path), None, "{path}");
    }
}

#[tokio::test]
async fn empty_files_types_and_cache_rules_are_kept() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = operator(&emulator);
    op.write("empty", "").await.unwrap();
    assert_eq!(read(&op, "empty").await, b"");
    assert_eq!(op.stat("empty").await.unwrap().content_length(), 0);
    op.write_with("note", "hello").content_type("text/x-note").cache_control("max-age=60").await.unwrap();
    let meta = op.stat("note").await.unwrap();
    assert_eq!((meta.content_type(), meta.cache_control()), (Some("text/x-note"), Some("max-age=60")));
    op.write("note", "again").await.unwrap();
    assert_eq!(read(&op, "note").await, b"again");
}

#[tokio::test]
async fn what_is_missing_is_told() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = operator(&emulator);
    assert_eq!(op.stat("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(op.read("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(op.copy("missing", "to").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(op.rename("missing", "to").await.unwrap_err().kind(), ErrorKind::NotFound);
    op.delete("missing").await.unwrap();
    assert!(op.list("missing/").await.unwrap().is_empty());
}

#[tokio::test]
async fn folders_are_made_listed_in_pages_and_recursively() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = operator(&emulator);
    op.create_dir("roll/contact sheets/").await.unwrap();
    op.create_dir("roll/contact sheets/").await.unwrap();
    assert_eq!(op.stat("roll/contact sheets/").await.unwrap().mode(), EntryMode::DIR);
    for n in 0..7 {
        op.write(&format!("roll/{n}.txt"), vec![b'x'; n]).await.unwrap();
    }
    op.write("roll/深/处/file.txt", "deep").await.unwrap();
    let before = emulator.requests().len();
    let list = op.list_with("roll/").limit(3).await.unwrap();
    assert_eq!(emulator.requests().len() - before, 3, "nine entries in pages of three");
    let sizes: BTreeMap<&str, Option<u64>> = list
        .iter()
        .filter(|entry| entry.path() != "roll/")
        .map(|entry| {
            let meta = entry.metadata();
            (entry.path(), (meta.mode() == EntryMode::FILE).then(|| meta.content_length()))
        })
        .collect();
    let mut expected: BTreeMap<String, Option<u64>> =
        (0..7).map(|n| (format!("roll/{n}.txt"), Some(n))).collect();
    expected.extend([("roll/contact sheets/".to_owned(), None), ("roll/深/".to_owned(), None)]);
    assert_eq!(sizes, expected.iter().map(|(path, size)| (path.as_str(), *size)).collect());

    let all = op.list_with("roll/").recursive(true).await.unwrap();
    let files: Vec<&str> =
        all.iter().filter(|e| e.metadata().mode() == EntryMode::FILE).map(|e| e.path()).collect();
    assert_eq!(files.len(), 8, "{files:?}");
    assert!(files.contains(&"roll/深/处/file.txt"), "{files:?}");
    let empty = op.list("roll/contact sheets/").await.unwrap();
    assert_eq!(empty.iter().filter(|entry| entry.path() != "roll/contact sheets/").count(), 0);

    // A folder that is not empty stays: 403. OpenDAL's own recursion begins at the top and ends there.
    for full in ["roll/深/", "roll/"] {
        assert_eq!(op.delete(full).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    let refused = op.delete_with("roll/").recursive(true).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{refused}");
    let folders = ["roll/深/处/", "roll/深/", "roll/contact sheets/"];
    for path in files.into_iter().chain(folders) {
        op.delete(path).await.unwrap();
    }
    op.delete("roll/").await.unwrap();
    assert!(!op.exists("roll/").await.unwrap());
    assert!(op.list("/").await.unwrap().iter().all(|entry| entry.path() == "/"));
}

#[tokio::test]
async fn files_are_copied_and_renamed_whatever_their_names() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = operator(&emulator);
    op.write("照片/原 1.jpg", "frame").await.unwrap();
    op.copy("照片/原 1.jpg", "copies/副本.jpg").await.unwrap();
    assert_eq!(
        (read(&op, "照片/原 1.jpg").await, read(&op, "copies/副本.jpg").await),
        (b"frame".to_vec(), b"frame".to_vec())
    );
    op.rename("copies/副本.jpg", "moved.jpg").await.unwrap();
    assert_eq!(emulator.file(BUCKET, "copies/副本.jpg"), None);
    assert_eq!(read(&op, "moved.jpg").await, b"frame");
    // OpenDAL sends the source as it is, the Go SDK encodes it. Both cannot be meant when it looks like an escape; the
    // emulator decodes. Other percent signs are only themselves.
    for name in ["100%41.txt", "100A.txt", "100%.txt"] {
        op.write(name, name).await.unwrap();
    }
    op.copy("100%.txt", "whole.txt").await.unwrap();
    op.copy("100%41.txt", "decoded.txt").await.unwrap();
    assert_eq!(read(&op, "whole.txt").await, b"100%.txt");
    assert_eq!(read(&op, "decoded.txt").await, b"100A.txt");
}

#[tokio::test]
async fn parts_arrive_in_any_order_and_become_one_file() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = operator(&emulator);
    let data = bytes(5 * MIB + 12_345, 3);
    for (concurrent, path) in [(1, "parts/one by one.bin"), (4, "parts/together.bin")] {
        // The documentation's 201 for a new file is an error to OpenDAL, which knows 204 only; so it is there already.
        op.write(path, "older").await.unwrap();
        let mut writer = op.writer_with(path).chunk(MIB).concurrent(concurrent).await.unwrap();
        for piece in data.chunks(300_000) {
            writer.write(piece.to_vec()).await.unwrap();
        }
        writer.close().await.unwrap();
        assert_eq!(emulator.file(BUCKET, path).unwrap(), data, "{path}");
        assert_eq!(read(&op, path).await, data, "{path}");
    }
    let stages = emulator.requests().iter().filter(|request| request.status == 204).count();
    assert_eq!(stages, 2 * (1 + 6 + 1), "initiate, six parts, complete");
}

#[tokio::test]
async fn completing_a_new_file_answers_201_which_opendal_takes_for_a_failure() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = operator(&emulator);
    let data = bytes(2 * MIB + 1, 9);
    let mut writer = op.writer_with("new.bin").chunk(MIB).await.unwrap();
    writer.write(data.clone()).await.unwrap();
    let error = writer.close().await.unwrap_err();
    assert!(error.to_string().contains("status: 201"), "{error}");
    assert_eq!(emulator.file(BUCKET, "new.bin").unwrap(), data, "it is stored all the same");
}

#[tokio::test]
async fn a_root_folder_confines_the_client() {
    let emulator = Emulator::start(config()).await.unwrap();
    let op = rooted(&emulator, "/站点/a", PASSWORD);
    op.write("x/y.txt", "1").await.unwrap();
    op.copy("x/y.txt", "z.txt").await.unwrap();
    assert_eq!(emulator.file(BUCKET, "站点/a/z.txt").unwrap(), b"1");
    op.create_dir("made/").await.unwrap();
    assert!(op.exists("made/").await.unwrap());
    assert!(operator(&emulator).exists("站点/a/made/").await.unwrap());
}

#[tokio::test]
async fn wrong_passwords_and_outages_are_errors_with_their_codes() {
    let emulator = Emulator::start(config()).await.unwrap();
    operator(&emulator).write("a", "1").await.unwrap();
    let stranger = rooted(&emulator, "/", "wrong");
    let refused = stranger.read("a").await.unwrap_err();
    assert!(refused.to_string().contains("40100005"), "{refused}");
    assert!(!refused.is_temporary());
    for refused in [
        stranger.write("b", "2").await.map(drop),
        stranger.stat("a").await.map(drop),
        stranger.delete("a").await,
        stranger.list("/").await.map(drop),
        stranger.copy("a", "b").await.map(drop),
        stranger.create_dir("c/").await,
    ] {
        assert!(refused.unwrap_err().to_string().contains("401"));
    }
    assert_eq!((emulator.file(BUCKET, "a").unwrap(), emulator.file(BUCKET, "b")), (b"1".to_vec(), None));
    let failing = Outage { fail_status: Some(503), fail_next: Some(1), ..Outage::default() };
    emulator.set_faults(Faults { api: failing, ..Faults::default() });
    let op = operator(&emulator);
    assert!(op.read("a").await.unwrap_err().is_temporary());
    assert_eq!(read(&op, "a").await, b"1");
}
