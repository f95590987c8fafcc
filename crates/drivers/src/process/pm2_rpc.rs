//! Asks the PM2 daemon for its list by its own socket: what `pm2 jlist` does, without the third of a second of CPU that
//! starting node for it takes; the watch looks every few seconds. Only ever asks this one question. What it does not
//! understand it leaves to `pm2 jlist`: the protocol is PM2's own affair.

use super::pm2_list::{self, Entry};
use std::{io, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

/// A healthy daemon answers within milliseconds; one under load is asked again by `pm2 jlist`, with more patience.
const LIMIT: Duration = Duration::from_secs(3);
/// A longer answer than this is none: the list of a thousand apps has some 10 MB.
const MOST: u32 = 256 * 1024 * 1024;

/// The list, or nothing when the daemon did not answer as known versions of PM2 do.
pub(super) async fn list(home: &Path) -> Option<Vec<Entry>> {
    let answer = timeout(LIMIT, ask(&home.join("rpc.sock"))).await.ok()?.ok()?;
    read_list(&answer)
}

/// Messages are a byte (version and number of parts), then each part with its length before it; a part begins with its
/// kind, `j:` for JSON and `s:` for text. The last part of a request comes back with the answer.
fn message(parts: &[&str]) -> Vec<u8> {
    const VERSION: u8 = 1 << 4;
    let mut out = vec![VERSION | u8::try_from(parts.len()).unwrap_or(0)];
    for p in parts {
        out.extend_from_slice(&u32::try_from(p.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(p.as_bytes());
    }
    out
}

async fn ask(socket: &Path) -> io::Result<Vec<u8>> {
    let mut daemon = UnixStream::connect(socket).await?;
    let call = r#"j:{"type":"call","method":"getMonitorData","args":[{}]}"#;
    daemon.write_all(&message(&[call, "s:safelight:0"])).await?;
    let mut head = [0; 5];
    daemon.read_exact(&mut head).await?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if head[0] >> 4 != 1 || length > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut first = vec![0; length as usize];
    daemon.read_exact(&mut first).await?;
    Ok(first)
}

/// `j:{"args":[[...]]}`; a refusal has `error` instead.
fn read_list(part: &[u8]) -> Option<Vec<Entry>> {
    #[derive(serde::Deserialize)]
    struct Answer {
        args: Vec<Vec<pm2_list::Entry>>,
    }
    let answer: Answer = serde_json::from_slice(part.strip_prefix(b"j:")?).ok()?;
    answer.args.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_list_and_anything_else_is_left_to_the_program() {
        let one =
            br#"j:{"args":[[{"pid":7,"name":"a","pm_id":0,"pm2_env":{"status":"online","x":{"y":1}}}]]}"#;
        let list = read_list(one).unwrap();
        assert_eq!((list.len(), list[0].name.as_str(), list[0].pid), (1, "a", Some(7)));
        assert_eq!(read_list(br#"j:{"args":[[]]}"#), Some(Vec::new()));
        for other in
            [&br#"j:{"error":"no such method","stack":""}"#[..], b"s:hello", b"", b"j:[]", b"j:{\"args\":[]}"]
        {
            assert_eq!(read_list(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_message_has_its_parts_with_their_lengths() {
        assert_eq!(message(&["s:a", "s:bc"]), b"\x12\0\0\0\x03s:a\0\0\0\x04s:bc");
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_up_is_left_to_the_program() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(list(dir.path()).await, None, "no daemon");
        let socket = tokio::net::UnixListener::bind(dir.path().join("rpc.sock")).unwrap();
        let daemon = tokio::spawn(async move { drop(socket.accept().await) });
        assert_eq!(list(dir.path()).await, None);
        daemon.await.unwrap();
    }
}
