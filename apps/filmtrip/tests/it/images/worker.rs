//! The isolated process: the same result, and a decoder's bad end is one upload's refusal.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use filmtrip::images::{Format, Header, ImageError, Options, Processed, inspect, process, worker};
use image::ImageFormat;
use tempfile::{NamedTempFile, TempDir};

use super::super::support::{ADMIN, Site, jpeg};
use super::files::{MAX_PIXELS, encoded, on_disk, orientation, png, quarters, with_exif};
use super::limits::scans;

const PROGRAM: &str = env!("CARGO_BIN_EXE_filmtrip");
const LONG: Duration = Duration::from_secs(60);

fn isolated(file: &NamedTempFile, header: Header, timeout: Duration) -> Result<Processed, ImageError> {
    let scratch = tempfile::tempdir().expect("folder");
    let result = worker::process_with(
        OsStr::new(PROGRAM),
        file.path(),
        header,
        &Options::default(),
        scratch.path(),
        timeout,
    );
    let left = std::fs::read_dir(scratch.path()).expect("folder").count();
    assert_eq!(left, 0, "something stayed in the scratch folder");
    result
}

/// This process decodes as well as before.
fn assert_well() {
    let file = on_disk(&encoded(&quarters(300, 200), ImageFormat::Jpeg));
    let header = inspect(file.path(), MAX_PIXELS).expect("inspects");
    assert_eq!(isolated(&file, header, LONG).expect("processes").sizes.large, (300, 200));
}

#[test]
fn the_isolated_result_is_that_of_this_process() {
    let dir = tempfile::tempdir().expect("folder");
    let mark = dir.path().join("mark.png");
    image::RgbaImage::from_pixel(50, 50, image::Rgba([255, 255, 255, 128])).save(&mark).expect("writes");
    let file = on_disk(&with_exif(&encoded(&quarters(2200, 1400), ImageFormat::Jpeg), &orientation(6)));
    let header = inspect(file.path(), MAX_PIXELS).expect("inspects");
    for options in [Options::default(), Options { watermark: Some(mark), webp: true }] {
        let here = process(file.path(), header, &options).expect("processes");
        let program = OsStr::new(PROGRAM);
        let there = worker::process_with(program, file.path(), header, &options, dir.path(), LONG);
        assert!(there.expect("processes") == here, "another result");
    }
}

#[test]
fn errors_come_back_as_what_they_are() {
    let good = encoded(&quarters(300, 200), ImageFormat::Jpeg);
    let header = inspect(on_disk(&good).path(), MAX_PIXELS).expect("inspects");
    let broken = isolated(&on_disk(&good[..good.len() / 2]), header, LONG);
    assert!(matches!(broken, Err(ImageError::Broken(_))), "{broken:?}");
    let expensive = on_disk(&scans(800, 800, 120, 0));
    let header = inspect(expensive.path(), MAX_PIXELS).expect("inspects");
    let expensive = isolated(&expensive, header, LONG);
    assert!(matches!(expensive, Err(ImageError::TooExpensive(_))), "{expensive:?}");
    let gone = on_disk(&good);
    std::fs::remove_file(gone.path()).expect("removes");
    let gone = isolated(&gone, header, LONG);
    assert!(matches!(gone, Err(ImageError::Io(_))), "{gone:?}");
}

#[test]
fn a_decoder_that_never_ends_is_killed_in_time() {
    // Ninety passes over 144 megapixels, in a file long enough to be believed.
    let file = on_disk(&scans(12_000, 12_000, 90, 100_000));
    let header = inspect(file.path(), MAX_PIXELS).expect("inspects");
    let late = isolated(&file, header, Duration::from_millis(50));
    assert!(matches!(late, Err(ImageError::TimedOut { .. })), "{late:?}");
    assert_well();
}

#[test]
fn a_decoder_that_wants_too_much_memory_ends_alone() {
    // Headers that lie about their needs: 588 MB at once in Rust, 400 MB in the C library.
    let interlaced = on_disk(&png([14_000, 14_000], [8, 2, 1], &[(b"IDAT", vec![0; 100])]));
    let lie = Header { format: Format::Png, width: 14_000, height: 14_000, memory: 0 };
    let progressive = on_disk(&scans(14_000, 14_000, 3, 0));
    for (file, header) in [(interlaced, lie), (progressive, Header { format: Format::Jpeg, ..lie })] {
        let refused = isolated(&file, header, LONG);
        assert!(matches!(refused, Err(ImageError::TooExpensive(_))), "{refused:?}");
    }
    assert_well();
}

/// A program in place of the worker.
fn script(dir: &TempDir, body: &str) -> PathBuf {
    let path = dir.path().join("worker");
    let mut file = std::fs::File::create(&path).expect("creates");
    writeln!(file, "#!/bin/sh\n{body}").expect("writes");
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).expect("executable");
    path
}

fn with_script(body: &str) -> ImageError {
    let dir = tempfile::tempdir().expect("folder");
    let program = script(&dir, body);
    let header = Header { format: Format::Jpeg, width: 1, height: 1, memory: 0 };
    worker::process_with(program.as_os_str(), Path::new("x"), header, &Options::default(), dir.path(), LONG)
        .expect_err("no worker")
}

#[test]
fn a_decoder_that_crashes_or_babbles_is_a_crash_and_no_more() {
    for body in [
        "kill -SEGV $$",
        "exit 0",
        "exit 101",
        "echo thread main panicked >&2; exit 101",
        "echo '{\"Done\":1}'; echo end",
        "cat >/dev/null; printf '{}\\nend\\n'",
        "exec 1>&-; exec 2>&-; exit 3",
    ] {
        let error = with_script(body);
        assert!(matches!(error, ImageError::Crashed(_)), "{body}: {error:?}");
    }
    let panicked = with_script("echo 'index out of bounds' >&2; exit 101").to_string();
    assert!(panicked.contains("index out of bounds"), "{panicked}");
    let killed = with_script("kill -KILL $$");
    assert!(matches!(killed, ImageError::TooExpensive(_)), "{killed:?}");
}

#[test]
fn the_worker_gets_no_environment_and_no_arguments_but_its_name() {
    let said = with_script("/usr/bin/env >&2; echo \"args $*\" >&2; exit 9").to_string();
    // What a shell sets by itself.
    assert!(said.contains("PWD=") || said.contains("_=") || said.contains("args image-worker"), "{said}");
    let said = with_script("test -z \"$HOME$CARGO_MANIFEST_DIR\" && echo bare $# $1 >&2; exit 9").to_string();
    assert!(said.contains("bare 1 image-worker"), "{said}");
}

#[test]
fn a_bomb_costs_one_upload_and_the_server_goes_on() {
    let site = Site::new();
    let app = site.serve();
    let admin = app.login(ADMIN);
    let reply = admin.upload(&[], &[&scans(800, 800, 120, 0), &jpeg(1)]);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let body = reply.body_json();
    assert_eq!(body["refused"][0]["code"], "bad_image");
    assert_eq!(body["photos"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_command_is_not_in_the_help_and_refuses_nonsense() {
    let site = Site::empty();
    assert!(!site.ok(&["--help"]).contains(worker::COMMAND));
    let output = site.run(&[worker::COMMAND], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
}
