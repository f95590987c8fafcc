//! Decoding in a process of its own: the same program, called with one hidden word, with no environment,
//! with limits it sets on itself before it reads a byte of the image, and killed when it takes too long.
//! The request goes in by standard input, the result comes back by standard output.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};

use super::{Exif, Header, ImageError, Options, Processed, Sizes};

/// The hidden word on the command line.
pub const COMMAND: &str = "image-worker";

/// Beyond what decoding declares: the variants, the encoders and the program itself, in bytes.
const SLACK: u64 = 256 << 20;
/// Most bytes of a result that are taken: six files of at most 2048 x 2048 pixels are far below.
const MAX_RESULT: u64 = 64 << 20;
/// How much of what a dying process says is kept.
const MAX_LAST_WORDS: u64 = 2048;

#[derive(Serialize, Deserialize)]
struct Request {
    path: PathBuf,
    header: Header,
    options: Options,
    cpu_seconds: u64,
    memory: u64,
}

/// First line of the answer; the files follow in order, each as long as said.
#[derive(Serialize, Deserialize)]
enum Answer {
    Done { width: u32, height: u32, sizes: Sizes, thumbhash: Vec<u8>, exif: Box<Exif>, files: Vec<usize> },
    Broken(String),
    TooExpensive(String),
    Watermark(String),
    Io(String),
}

/// Like [`super::process`], in a child process of the same program. Blocks until the result is there.
/// `scratch` is the child's working folder; nothing is left in it.
///
/// # Errors
/// As in-process, and when the child took too long, too much memory, or crashed.
pub fn process(
    path: &Path,
    header: Header,
    options: &Options,
    scratch: &Path,
    timeout: Duration,
) -> Result<Processed, ImageError> {
    process_with(own_program().as_ref(), path, header, options, scratch, timeout)
}

/// Like [`process`] with a given `filmtrip` program, for programs that are not it.
///
/// # Errors
/// Those of [`process`].
pub fn process_with(
    program: &OsStr,
    path: &Path,
    header: Header,
    options: &Options,
    scratch: &Path,
    timeout: Duration,
) -> Result<Processed, ImageError> {
    let deadline = Instant::now() + timeout;
    let request = Request {
        path: std::path::absolute(path)?,
        header,
        options: Options {
            watermark: options.watermark.as_deref().map(std::path::absolute).transpose()?,
            ..options.clone()
        },
        cpu_seconds: timeout.as_secs().max(1),
        memory: header.memory + SLACK,
    };
    let mut child = Command::new(program)
        .arg(COMMAND)
        .env_clear()
        .current_dir(scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let result = talk(&mut child, &request, deadline);
    // Whatever came of it, nothing of this upload runs on.
    let killed = child.kill();
    let status = child.wait()?;
    let (answer, last_words) = match result {
        Ok(both) => both,
        Err(Late) => return Err(ImageError::TimedOut { seconds: timeout.as_secs() }),
    };
    killed?;
    read_answer(&answer).unwrap_or_else(|| Err(post_mortem(status, &last_words, timeout)))
}

/// The file this process runs, even when an upgrade has replaced or removed it meanwhile.
fn own_program() -> PathBuf {
    if cfg!(target_os = "linux") {
        return PathBuf::from("/proc/self/exe");
    }
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("filmtrip"))
}

struct Late;

/// Sends the request and takes everything the child says, until it ends or the time is up.
fn talk(child: &mut Child, request: &Request, deadline: Instant) -> Result<(Vec<u8>, String), Late> {
    if let (Some(mut stdin), Ok(text)) = (child.stdin.take(), serde_json::to_vec(request)) {
        // A child that died before it read says so by its status.
        drop(stdin.write_all(&text));
    }
    let answer = drain(child.stdout.take(), MAX_RESULT);
    let last_words = drain(child.stderr.take(), MAX_LAST_WORDS);
    let left = || deadline.saturating_duration_since(Instant::now());
    let answer = answer.recv_timeout(left()).map_err(|_| Late)?;
    let last_words = last_words.recv_timeout(left()).map_err(|_| Late)?;
    // Its pipes are closed, so it is ending; its own status is worth more than that of our killing it.
    while !answer.ends_with(END) && matches!(child.try_wait(), Ok(None)) {
        if left().is_zero() {
            return Err(Late);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((answer, String::from_utf8_lossy(&last_words).into_owned()))
}

/// Last bytes of a complete answer.
const END: &[u8] = b"\nend\n";

/// Reads a pipe to its end in a thread, keeps the beginning, and drops the rest so that nobody waits.
fn drain(pipe: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            drop(pipe.by_ref().take(most).read_to_end(&mut kept));
            drop(std::io::copy(&mut pipe, &mut std::io::sink()));
        }
        // The receiver is gone when the time was up.
        drop(sender.send(kept));
    });
    receiver
}

/// The result, or none when the answer is not whole.
fn read_answer(bytes: &[u8]) -> Option<Result<Processed, ImageError>> {
    let bytes = bytes.strip_suffix(END)?;
    let line = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    let mut rest = bytes.get(line + 1..).unwrap_or_default();
    Some(match serde_json::from_slice(&bytes[..line]).ok()? {
        Answer::Done { width, height, sizes, thumbhash, exif, files } => {
            let mut parts = Vec::new();
            for length in files {
                let (part, after) = rest.split_at_checked(length)?;
                parts.push(part.to_vec());
                rest = after;
            }
            let mut parts = parts.into_iter();
            let mut three = || Some([parts.next()?, parts.next()?, parts.next()?]);
            let (jpegs, webps) = (three()?, three());
            Ok(Processed { width, height, sizes, jpegs, webps, thumbhash, exif: *exif })
        }
        Answer::Broken(text) => Err(ImageError::Broken(text)),
        Answer::TooExpensive(text) => Err(ImageError::TooExpensive(text)),
        Answer::Watermark(text) => Err(ImageError::Watermark(text)),
        Answer::Io(text) => Err(ImageError::Io(std::io::Error::other(text))),
    })
}

/// What an end without an answer means.
fn post_mortem(status: ExitStatus, last_words: &str, timeout: Duration) -> ImageError {
    let said = last_words.lines().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => {
            ImageError::TimedOut { seconds: timeout.as_secs() }
        }
        _ if last_words.contains("memory allocation of") => {
            ImageError::TooExpensive("it ran out of the memory it may use".to_owned())
        }
        // Nobody here killed it before it had ended: the kernel did, for memory.
        Some(signal) if signal == Signal::KILL.as_raw() => {
            ImageError::TooExpensive("its decoder was killed by the system".to_owned())
        }
        _ => ImageError::Crashed(format!("{status}: {}", said.trim())),
    }
}

/// The child's side: reads a request, limits itself, works, answers.
///
/// # Errors
/// The request cannot be read, a limit not set, or the answer not written.
pub fn run() -> Result<(), String> {
    let text = |what: &'static str| move |e: &dyn std::fmt::Display| format!("{what}: {e}");
    let request: Request =
        serde_json::from_reader(std::io::stdin().lock()).map_err(|e| text("request")(&e))?;
    limit(&request).map_err(|e| text("limits")(&e))?;
    let result = super::process(&request.path, request.header, &request.options);
    let (answer, files) = match result {
        Ok(done) => {
            let Processed { width, height, sizes, jpegs, webps, thumbhash, exif } = done;
            let files: Vec<Vec<u8>> = jpegs.into_iter().chain(webps.into_iter().flatten()).collect();
            let lengths = files.iter().map(Vec::len).collect();
            (Answer::Done { width, height, sizes, thumbhash, exif: Box::new(exif), files: lengths }, files)
        }
        Err(ImageError::TooExpensive(text)) => (Answer::TooExpensive(text), Vec::new()),
        Err(ImageError::Watermark(text)) => (Answer::Watermark(text), Vec::new()),
        Err(ImageError::Io(e)) => (Answer::Io(e.to_string()), Vec::new()),
        Err(ImageError::Broken(text)) => (Answer::Broken(text), Vec::new()),
        Err(other) => (Answer::Broken(other.to_string()), Vec::new()),
    };
    let mut out = std::io::stdout().lock();
    let mut write = || -> std::io::Result<()> {
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        files.iter().try_for_each(|file| out.write_all(file))?;
        out.write_all(END)?;
        out.flush()
    };
    write().map_err(|e| text("answer")(&e))
}

/// From here on this process can have no more than the image was granted, and can write no file.
fn limit(request: &Request) -> std::io::Result<()> {
    let set = |resource, most| {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        std::io::Result::Ok(())
    };
    #[cfg(target_os = "linux")]
    {
        // Nobody is left to want the result when the server dies.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // When the machine runs out of memory, this process goes first. Not vital: it has its own limit.
        drop(std::fs::write("/proc/self/oom_score_adj", "800"));
    }
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::As, mapped() + request.memory)?;
    // The kernel signals at the first number and kills at the second.
    let (soft, hard) = (request.cpu_seconds, request.cpu_seconds + 1);
    setrlimit(Resource::Cpu, Rlimit { current: Some(soft), maximum: Some(hard) })?;
    Ok(())
}

/// Address space that the program takes by itself, in bytes.
fn mapped() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|p| p.split(' ').next()?.parse::<u64>().ok());
    // Where that cannot be read, a generous guess.
    pages.map_or(1 << 30, |pages| pages * rustix::param::page_size() as u64)
}
