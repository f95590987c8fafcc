//! A site in a temporary folder, the program as a child process, and a small HTTP client that can
//! also be slow, broken off or forged, which a library client would not let a test be.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use exif::experimental::Writer;
use exif::{Field, In, Tag, Value as Exif};
use filmtrip::db::DatabaseUrl;
use filmtrip::db::sql::Sql;
use filmtrip::images::sample;
use serde_json::Value;
use tempfile::TempDir;

use super::postgres::Postgres;

pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const OWNER: &str = "owner@example.com";
pub(crate) const OTHER: &str = "other@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A folder with a database and media.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    /// When the tests run on PostgreSQL.
    pub(crate) server: Option<Postgres>,
}

impl Site {
    /// An empty folder.
    pub(crate) fn empty() -> Self {
        let server = crate::ON_POSTGRES.then(Postgres::start);
        Self { dir: tempfile::tempdir().expect("temporary folder"), server }
    }

    /// A migrated database with an admin.
    pub(crate) fn new() -> Self {
        let site = Self::empty();
        site.ok(&["migrate"]);
        site.account(ADMIN, "admin");
        site
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("filmtrip.db")
    }

    pub(crate) fn media(&self) -> PathBuf {
        self.dir.path().join("media")
    }

    pub(crate) fn account(&self, email: &str, role: &str) {
        let mut command = self.command(&["admin", "create", "--email", email, "--role", role]);
        let output = command.env("FILMTRIP_ADMIN_PASSWORD", PASSWORD).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The program with nothing of the test's own environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filmtrip"));
        command
            .args(args)
            .env_clear()
            .env("PORT", "0")
            .env("DATABASE_URL", self.url())
            .env("FILMTRIP_MEDIA_DIR", self.media())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        self.command(args).envs(env.iter().copied()).output().expect("runs")
    }

    /// Runs a command that must succeed; its standard output.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args, &[]);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn serve(&self) -> App {
        self.start("serve", &[])
    }

    pub(crate) fn start(&self, role: &str, env: &[(&str, &str)]) -> App {
        App::spawn(self.command(&[role]).envs(env.iter().copied()))
    }

    /// `serve` with no settings but the port.
    pub(crate) fn start_bare(&self) -> App {
        App::spawn(self.command(&["serve"]).env_remove("DATABASE_URL").env_remove("FILMTRIP_MEDIA_DIR"))
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> String {
        match &self.server {
            Some(server) => server.url(),
            None => format!("sqlite:{}", self.database().display()),
        }
    }

    /// Direct access to the database, as another process has it.
    pub(crate) fn sql(&self) -> Sql {
        let url = DatabaseUrl::parse(&self.url()).expect("url");
        filmtrip::db::open(&url, false, Duration::from_secs(5)).expect("database")
    }
}

/// A running process; killed when dropped.
pub(crate) struct App {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl App {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                let mut why = String::new();
                child.stderr.take().expect("stderr").read_to_string(&mut why).expect("stderr");
                panic!("ended before listening: {why}");
            };
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().expect("address");
            }
        };
        // Nobody reads its log from here on: a full pipe must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) fn client(&self) -> Client {
        Client::of(self.address)
    }

    pub(crate) fn login(&self, email: &str) -> Client {
        self.client().logged_in(email)
    }

    pub(crate) fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    }

    /// Exit code, waited for.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("reap");
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn body_json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn code(&self) -> String {
        self.body_json()["error"]["code"].as_str().expect("error code").to_owned()
    }

    /// Reads an answer to its end.
    pub(crate) fn read(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("timeout");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("status line");
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no answer: {line:?}"));
        let status = status.parse().expect("status");
        let mut headers = Vec::new();
        loop {
            line.clear();
            reader.read_line(&mut line).expect("header");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        let mut body = Vec::new();
        if find("transfer-encoding").is_some() {
            loop {
                line.clear();
                reader.read_line(&mut line).expect("chunk size");
                let size = usize::from_str_radix(line.trim(), 16).expect("chunk size");
                let mut chunk = vec![0; size + 2];
                reader.read_exact(&mut chunk).expect("chunk");
                if size == 0 {
                    break;
                }
                body.extend_from_slice(&chunk[..size]);
            }
        } else if let Some(length) = find("content-length") {
            body = vec![0; length.parse().expect("length")];
            // A HEAD has a length and no body; nothing of these tests asks for one.
            reader.read_exact(&mut body).expect("body");
        }
        Self { status, headers, body }
    }
}

/// A client of one process, with its session.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) cookie: Option<String>,
    pub(crate) csrf: String,
}

impl Client {
    /// Somebody who is not logged in.
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self { address, cookie: None, csrf: String::new() }
    }

    /// The same with a session.
    pub(crate) fn logged_in(mut self, email: &str) -> Self {
        let body = serde_json::json!({"email": email, "password": PASSWORD}).to_string();
        let reply = self.json("POST", "/api/auth/login", &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let cookie = reply.header("set-cookie").expect("cookie");
        self.cookie = Some(cookie.split(';').next().expect("pair").to_owned());
        self.csrf = reply.body_json()["csrf_token"].as_str().expect("token").to_owned();
        self
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).expect("connects")
    }

    /// The head of a request, ready to be followed by `length` bytes.
    pub(crate) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if let Some(cookie) = &self.cookie {
            head.push_str(&format!("cookie: {cookie}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {length}\r\n\r\n"));
        head.into_bytes()
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = self.connect();
        let mut request = self.head(method, path, headers, body.len());
        request.extend_from_slice(body);
        // The answer may come, and the connection go, before all of a refused body is sent.
        let _refused_early = stream.write_all(&request).is_err();
        Reply::read(stream)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        let headers = [("content-type", "application/json"), ("x-csrf-token", self.csrf.as_str())];
        self.send(method, path, &headers, body.as_bytes())
    }

    pub(crate) fn form(&self, path: &str, fields: &str) -> Reply {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("csrf_token={}&{fields}", self.csrf);
        self.send("POST", path, &headers, body.as_bytes())
    }

    pub(crate) fn upload(&self, fields: &[(&str, &str)], files: &[&[u8]]) -> Reply {
        let body = multipart(fields, files);
        let headers = [("content-type", MULTIPART), ("x-csrf-token", self.csrf.as_str())];
        self.send("POST", "/api/photos", &headers, &body)
    }

    /// Uploads one file that must be taken; the photo's JSON.
    pub(crate) fn photo(&self, fields: &[(&str, &str)], file: &[u8]) -> Value {
        let reply = self.upload(fields, &[file]);
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.body_json()["photos"][0].clone()
    }
}

pub(crate) const MULTIPART: &str = "multipart/form-data; boundary=XyZ";

pub(crate) fn multipart(fields: &[(&str, &str)], files: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--XyZ\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    for file in files {
        part(&mut body, "a.jpg", file);
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    body
}

fn part(body: &mut Vec<u8>, name: &str, file: &[u8]) {
    let head = format!(
        "--XyZ\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\ncontent-type: image/jpeg\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n");
}

/// A form with files that have names.
pub(crate) fn named(fields: &[(&str, &str)], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = multipart(fields, &[]);
    body.truncate(body.len() - b"--XyZ--\r\n".len());
    for (name, file) in files {
        part(&mut body, name, file);
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    body
}

/// A small photograph.
pub(crate) fn jpeg(seed: u64) -> Vec<u8> {
    sample::photo(160, 120, seed).expect("sample")
}

/// A JPEG with segments more, right behind its start.
pub(crate) fn jpeg_with(seed: u64, segments: &[(u8, &[u8])]) -> Vec<u8> {
    let plain = sample::photo(640, 427, seed).expect("sample");
    let mut out = plain[..2].to_vec();
    for (marker, payload) in segments {
        let length = u16::try_from(payload.len() + 2).expect("short");
        out.extend([&[0xFF, *marker], &length.to_be_bytes()[..], payload].concat());
    }
    out.extend_from_slice(&plain[2..]);
    out
}

/// A text in EXIF.
pub(crate) fn ascii(text: &str) -> Exif {
    Exif::Ascii(vec![text.as_bytes().to_vec()])
}

/// The payload of a segment of EXIF.
pub(crate) fn exif_segment(fields: &[(Tag, Exif)]) -> Vec<u8> {
    let field = |(tag, value): &(Tag, Exif)| Field { tag: *tag, ifd_num: In::PRIMARY, value: value.clone() };
    let fields: Vec<Field> = fields.iter().map(field).collect();
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut block = Cursor::new(Vec::new());
    writer.write(&mut block, true).expect("exif");
    [b"Exif\0\0".to_vec(), block.into_inner()].concat()
}

/// Key of a photo's JSON.
pub(crate) fn key(photo: &Value) -> String {
    photo["key"].as_str().expect("key").to_owned()
}

/// The names of all files under a folder, with their sizes.
pub(crate) fn files(root: &std::path::Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("folder").flatten() {
            let meta = entry.metadata().expect("metadata");
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path(), meta.len());
            }
        }
    }
    found
}
