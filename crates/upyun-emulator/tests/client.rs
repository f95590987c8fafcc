//! Our own client against the emulator.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]
mod common;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use common::{BUCKET, OPERATOR, client, config, jpeg, operator, policy, size};
use futures_util::{StreamExt, stream};
use safelight_upyun::{
    Body, Client, CopyOptions, Delete, EntryKind, Error, ErrorCode, FormKey, ListOptions, MetadataChange,
    Operator, Order, PutOptions, ResumableOptions, content_md5,
};
use safelight_upyun_emulator::{Emulator, Faults, OperatorChange, Outage, Rights};

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> Option<ErrorCode> {
    result.unwrap_err().api().unwrap().code
}

#[tokio::test]
async fn files_are_put_read_described_and_deleted() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let picture = jpeg(500, 333);
    let options = PutOptions {
        content_md5: Some(content_md5(&picture)),
        meta: BTreeMap::from([("roll".into(), "7".into())]),
        ..PutOptions::default()
    };
    let made = client.put("/照片/旅行 1.jpg", picture.clone(), &options).await.unwrap();
    assert_eq!((made.width, made.height, made.image_type.as_deref()), (Some(500), Some(333), Some("JPEG")));
    let info = client.head("/照片/旅行 1.jpg").await.unwrap();
    assert_eq!((info.is_folder, info.size), (false, picture.len() as u64));
    assert_eq!((info.content_md5.unwrap(), &*info.meta["roll"]), (content_md5(&picture), "7"));
    assert_eq!(client.get("照片/旅行 1.jpg").await.unwrap().bytes(1 << 20).await.unwrap(), picture);
    assert!(client.get("照片/旅行 1.jpg").await.unwrap().bytes(10).await.is_err());
    let pieces: Vec<_> = client.get("照片/旅行 1.jpg").await.unwrap().into_stream().collect().await;
    assert_eq!(pieces.into_iter().map(|piece| piece.unwrap().len()).sum::<usize>(), picture.len());
    assert_eq!(client.usage().await.unwrap(), picture.len() as u64);
    assert_eq!(code(client.delete("照片", Delete::Now).await), Some(ErrorCode::DIRECTORY_NOT_EMPTY));
    client.delete("照片/旅行 1.jpg", Delete::Now).await.unwrap();
    client.delete("照片", Delete::Now).await.unwrap();
    assert!(client.head("照片").await.unwrap_err().is_not_found());
    assert!(client.head("/").await.unwrap().is_folder);
}

#[tokio::test]
async fn streams_are_put_with_their_length() {
    let emulator = Emulator::start(config()).await.unwrap();
    let pieces = ["one ", "two ", "three"].map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::from(piece)));
    let body = Body::stream(stream::iter(pieces), 13);
    client(&emulator).put("/stream.txt", body, &PutOptions::default()).await.unwrap();
    assert_eq!(emulator.file(BUCKET, "stream.txt").unwrap(), b"one two three");
}

#[tokio::test]
async fn folders_are_listed_page_by_page_in_both_orders() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    for n in 0..5 {
        client.put(&format!("/roll/{n}.txt"), "x", &PutOptions::default()).await.unwrap();
    }
    client.create_folder("/roll/contact sheet").await.unwrap();
    client.create_folder("/roll/contact sheet").await.unwrap();
    let all = client.list_all("/roll", 100).await.unwrap();
    let names: Vec<&str> = all.iter().map(|entry| &*entry.name).collect();
    assert_eq!(names, ["0.txt", "1.txt", "2.txt", "3.txt", "4.txt", "contact sheet"]);
    assert_eq!((all[5].kind, all[0].content_type.as_deref()), (EntryKind::Folder, Some("text/plain")));
    let mut options = ListOptions { limit: Some(4), order: Order::Descending, cursor: None };
    let first = client.list("/roll/", &options).await.unwrap();
    options.cursor = first.next;
    let second = client.list("/roll/", &options).await.unwrap();
    assert_eq!((first.entries.len(), &*second.entries[0].name, second.next), (4, "1.txt", None));
    assert!(client.list("/missing", &ListOptions::default()).await.unwrap_err().is_not_found());
    assert!(client.list_all("/roll", 2).await.is_err());
}

#[tokio::test]
async fn files_are_copied_renamed_and_annotated() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    client.put("/a 1.txt", "a", &PutOptions::default()).await.unwrap();
    client.copy("/a 1.txt", "/照/b.txt", &CopyOptions::default()).await.unwrap();
    client.rename("/照/b.txt", "/c.txt", &CopyOptions::default()).await.unwrap();
    assert_eq!(emulator.file(BUCKET, "照/b.txt"), None);
    let missing = client.copy("/missing", "/d.txt", &CopyOptions::default()).await;
    assert!(missing.unwrap_err().is_not_found());
    let meta = |name: &str| BTreeMap::from([(name.to_owned(), "1".to_owned())]);
    client.update_metadata("/c.txt", MetadataChange::Merge, &meta("roll"), false).await.unwrap();
    client.update_metadata("/c.txt", MetadataChange::Merge, &meta("frame"), true).await.unwrap();
    client.update_metadata("/c.txt", MetadataChange::Delete, &meta("roll"), false).await.unwrap();
    assert_eq!(client.head("/c.txt").await.unwrap().meta, meta("frame"));
    client.update_metadata("/c.txt", MetadataChange::Replace, &meta("film"), false).await.unwrap();
    assert_eq!(client.head("/c.txt").await.unwrap().meta, meta("film"));
}

#[tokio::test]
async fn resumable_uploads_arrive_whole_and_refuse_parts_out_of_turn() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let data: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
    let total = data.len() as u64;
    let options = ResumableOptions { whole_md5: Some(content_md5(&data)), ..ResumableOptions::default() };
    let mut upload = client.multi_initiate("/large.bin", total, &options).await.unwrap();
    client.put_resumable(&mut upload, &mut &data[..]).await.unwrap();
    assert_eq!(emulator.file(BUCKET, "large.bin").unwrap(), data);
    // Documented: such a file has to be deleted before another method overwrites it.
    assert!(client.put("/large.bin", "x", &PutOptions::default()).await.is_err());
    let upload = client.multi_initiate("/other.bin", total, &ResumableOptions::default()).await.unwrap();
    assert_eq!((upload.parts(), upload.next_part), (3, 0));
    assert_eq!(code(client.multi_part(&upload, 1, "x").await), Some(ErrorCode::PART_ID_ERROR));
    let next = client.multi_part(&upload, 0, data[..1 << 20].to_vec()).await.unwrap();
    assert_eq!(next.next_part, Some(1));
    assert!(client.multi_complete(&upload).await.is_err());
    client.multi_cancel(&upload).await.unwrap();
    assert!(client.multi_part(&upload, 1, "x").await.is_err());
    let odd = ResumableOptions { part_bytes: 1000, ..ResumableOptions::default() };
    assert!(matches!(client.multi_initiate("/x", 1, &odd).await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn a_resumable_upload_is_picked_up_where_it_broke_off() {
    let emulator = Emulator::start(config()).await.unwrap();
    let first = client(&emulator);
    let data: Vec<u8> = (0..3_500_000_u32).map(|n| (n % 251) as u8).collect();
    let options = ResumableOptions { whole_md5: Some(content_md5(&data)), ..ResumableOptions::default() };
    let mut upload = first.multi_initiate("/scan.bin", data.len() as u64, &options).await.unwrap();
    // What is read from ends within the second part.
    let broken = first.put_resumable(&mut upload, &mut &data[..1_500_000]).await.unwrap_err();
    assert!(matches!(broken, Error::Source(_)), "{broken}");
    assert_eq!((upload.next_part, upload.offset()), (1, 1 << 20));
    // Stored, and another part arrives whose answer is lost.
    let stored = serde_json::to_string(&upload).unwrap();
    first.multi_part(&upload, 1, data[1 << 20..2 << 20].to_vec()).await.unwrap();
    let second = client(&emulator);
    let mut upload = serde_json::from_str(&stored).unwrap();
    second.multi_status(&mut upload).await.unwrap();
    assert_eq!((upload.next_part, upload.parts()), (2, 4));
    let rest = data[usize::try_from(upload.offset()).unwrap()..].to_vec();
    // The store fails in between, and answers again.
    emulator.set_faults(Faults { api: failing(503, 1), ..Faults::default() });
    assert!(second.put_resumable(&mut upload, &mut &rest[..]).await.unwrap_err().is_retryable());
    second.multi_status(&mut upload).await.unwrap();
    second.put_resumable(&mut upload, &mut &rest[..]).await.unwrap();
    assert_eq!(emulator.file(BUCKET, "scan.bin").unwrap(), data);
    assert!(second.multi_status(&mut upload).await.unwrap_err().is_not_found(), "it is complete");
    // Another upload to the same name is not this one.
    second.multi_initiate("/scan.bin", 1, &ResumableOptions::default()).await.unwrap();
    assert!(matches!(second.multi_status(&mut upload).await, Err(Error::Answer { .. })));
}

fn failing(status: u16, times: u32) -> Outage {
    Outage { fail_status: Some(status), fail_next: Some(times), ..Outage::default() }
}

#[tokio::test]
async fn a_part_of_a_file_is_read() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    client.put("/a.txt", "0123456789", &PutOptions::default()).await.unwrap();
    for (first, last, expected) in [(2, Some(4), "234"), (7, None, "789"), (0, Some(99), "0123456789")] {
        let part = client.get_range("/a.txt", first, last).await.unwrap();
        assert_eq!(part.info.size, expected.len() as u64);
        assert_eq!(part.bytes(100).await.unwrap(), expected.as_bytes());
    }
    assert!(client.get_range("/none.txt", 0, None).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn forms_are_accepted_in_both_schemes() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let form =
        policy("/{year}/{filemd5}{.suffix}").ext_param("roll 7").date(SystemTime::now()).sign(&operator());
    let picture = jpeg(40, 30);
    let answer = client.form_upload(&form.unwrap(), "scan.jpg", picture.clone()).await.unwrap();
    assert!(answer.url.ends_with(&format!("/{}.jpg", content_md5(&picture))), "{}", answer.url);
    assert_eq!(
        (answer.code, answer.image_width, answer.ext_param.as_deref()),
        (200, Some(40), Some("roll 7"))
    );
    assert!(!answer.other.contains_key("sign"));
    assert_eq!(emulator.file(BUCKET, &answer.url).unwrap(), picture);
    let old = policy("/old.jpg").sign_legacy(&FormKey::new("emulator-form-key").unwrap()).unwrap();
    let answer = client.form_upload(&old, "scan.jpg", picture).await.unwrap();
    assert!(answer.other.contains_key("sign"), "the old scheme signs its answer");
}

#[tokio::test]
async fn wrong_credentials_clock_and_rights_are_told_apart() {
    let emulator = Emulator::start(config()).await.unwrap();
    let build = |bucket: &str, operator: Operator| {
        Client::builder(bucket, operator).endpoint(emulator.api_endpoint())
    };
    let stranger = build(BUCKET, Operator::new("stranger", "x").unwrap()).build().unwrap();
    assert_eq!(code(stranger.usage().await), Some(ErrorCode::USER_NOT_EXISTS));
    let wrong = build(BUCKET, Operator::new(OPERATOR, "x").unwrap()).build().unwrap();
    assert_eq!(code(wrong.usage().await), Some(ErrorCode::SIGNATURE_ERROR));
    let nowhere = build("nowhere", operator()).build().unwrap();
    assert_eq!(code(nowhere.usage().await), Some(ErrorCode::BUCKET_NOT_EXIST));
    let slow =
        build(BUCKET, operator()).clock(|| SystemTime::now() - Duration::from_secs(1860)).build().unwrap();
    assert_eq!(code(slow.usage().await), Some(ErrorCode::DATE_OFFSET));
    emulator.set_faults(Faults { clock_offset_seconds: -1860, ..Faults::default() });
    slow.usage().await.unwrap();
    assert_eq!(code(client(&emulator).usage().await), Some(ErrorCode::DATE_OFFSET));
    emulator.set_faults(Faults::default());

    let read_only = Rights { read: true, write: false, delete: false };
    let change =
        OperatorChange { rights: Some([(BUCKET.into(), read_only)].into()), ..OperatorChange::default() };
    emulator.change_operator(OPERATOR, change).unwrap();
    let reader = client(&emulator);
    reader.usage().await.unwrap();
    assert_eq!(code(reader.put("/a", "a", &PutOptions::default()).await), Some(ErrorCode::NEED_PERMISSION));
    assert_eq!(code(reader.delete("/a", Delete::Now).await), Some(ErrorCode::NO_DELETE_RIGHT));
    emulator.revoke_operator(OPERATOR);
    assert_eq!(code(reader.usage().await), Some(ErrorCode::USER_NOT_EXISTS));
}

#[tokio::test]
async fn outages_and_rate_limits_are_retryable_errors() {
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    let failing = Outage { fail_status: Some(503), fail_next: Some(1), ..Outage::default() };
    emulator.set_faults(Faults { api: failing, ..Faults::default() });
    assert!(client.usage().await.unwrap_err().is_retryable());
    client.usage().await.unwrap();
    emulator
        .set_faults(Faults { api: Outage { cut_bodies: true, ..Outage::default() }, ..Faults::default() });
    assert!(matches!(client.usage().await, Err(Error::Transport { .. })));
    emulator.set_faults(Faults { deletes_per_second: Some(1), ..Faults::default() });
    for name in ["/a", "/b", "/c"] {
        client.put(name, "x", &PutOptions::default()).await.unwrap();
    }
    client.delete("/a", Delete::Now).await.unwrap();
    let limited = client.delete("/b", Delete::Now).await.unwrap_err();
    assert_eq!((limited.is_retryable(), limited.api().unwrap().status), (true, 429));
    client.delete("/c", Delete::Later).await.unwrap();
}

#[tokio::test]
async fn endpoints_and_keys_that_cannot_be_signed_are_refused_before_sending() {
    for endpoint in ["ftp://example.com", "https://", "https://example.com/path", "example.com"] {
        assert!(Client::builder(BUCKET, operator()).endpoint(endpoint).build().is_err(), "{endpoint}");
    }
    let emulator = Emulator::start(config()).await.unwrap();
    let client = client(&emulator);
    assert!(matches!(client.head("../other").await, Err(Error::Key(_))));
    assert!(matches!(client.delete("/", Delete::Now).await, Err(Error::Key(_))));
    let meta = BTreeMap::from([("a\nb".into(), "1".into())]);
    let bad = PutOptions { meta, ..PutOptions::default() };
    assert!(matches!(client.put("/a", "a", &bad).await, Err(Error::Invalid { .. })));
    assert_eq!(emulator.requests(), []);
    assert_eq!(size(&jpeg(4, 3)), (4, 3));
}
