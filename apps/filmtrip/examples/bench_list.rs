//! Requests a second of FilmTrip's list and front page, beside a plain nginx that serves the same bytes from files.
//!
//! `cargo xtask bench list` builds the program and runs this. nginx does no work for its answer but to send a file, so
//! it is the ceiling on the same machine, not a rival. Rounds alternate, and medians are shown.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use filmtrip::images::sample;

type Outcome<T> = Result<T, Box<dyn Error>>;

const PHOTOS: u64 = 240;
const ROUNDS: usize = 5;
const SECONDS: &str = "4s";
const CONNECTIONS: &str = "32";
const PASSWORD: &str = "correct horse battery";
/// What is asked for: a name for the table and the path.
const PATHS: [(&str, &str); 2] = [("list of 24, JSON", "/api/photos?limit=24"), ("front page, HTML", "/")];

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn main() -> Outcome<()> {
    let program = std::env::args().nth(1).ok_or("usage: bench_list FILMTRIP")?;
    let dir = tempfile::tempdir()?;
    let (filmtrip, address) = start_filmtrip(&program, dir.path())?;
    fill(address)?;
    let bodies = PATHS.map(|(_, path)| request(address, "GET", path, &[], b"").map(|(_, _, body)| body));
    let [json, html] = bodies;
    let (nginx, files) = start_nginx(dir.path(), &json?, &html?)?;

    println!(
        "{PHOTOS} photos on SQLite, wrk with {CONNECTIONS} connections, medians of {ROUNDS} rounds of {SECONDS}\n"
    );
    println!("| what | who | requests/s | p99 ms | of nginx |\n|---|---|---|---|---|");
    for (index, (name, path)) in PATHS.iter().enumerate() {
        let rivals = [
            ("filmtrip", format!("http://{address}{path}")),
            ("nginx, a file", format!("http://{files}/{index}")),
        ];
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (who, (_, url)) in rivals.iter().enumerate() {
                figures[who].push(wrk(url)?);
            }
        }
        let medians =
            figures.map(|rounds| (median(rounds.iter().map(|r| r.0)), median(rounds.iter().map(|r| r.1))));
        for ((who, _), (rate, p99)) in rivals.iter().zip(medians) {
            println!("| {name} | {who} | {rate:.0} | {p99:.1} | {:.2} |", rate / medians[1].0);
        }
    }
    drop((filmtrip, nginx));
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn start_filmtrip(program: &str, dir: &Path) -> Outcome<(Running, SocketAddr)> {
    let command = |args: &[&str]| {
        let mut c = Command::new(program);
        c.args(args).env_clear().env("PORT", "0").env("FILMTRIP_ADMIN_PASSWORD", PASSWORD).current_dir(dir);
        c.env("DATABASE_URL", format!("sqlite:{}", dir.join("bench.db").display()));
        c.env("FILMTRIP_MEDIA_DIR", dir.join("media"));
        c
    };
    for args in [&["migrate"][..], &["admin", "create", "--email", "bench@example.com"]] {
        if !command(args).stdout(Stdio::null()).status()?.success() {
            return Err(format!("filmtrip {args:?} failed").into());
        }
    }
    let mut child = Running(command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
    let out = child.0.stdout.take().ok_or("no output")?;
    for line in BufReader::new(out).lines() {
        if let Some(address) = line?.strip_prefix("listening on http://") {
            return Ok((child, address.parse()?));
        }
    }
    Err("filmtrip did not start".into())
}

/// One request on a connection of its own: status, head and body.
fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Outcome<(u16, String, Vec<u8>)> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or("no head")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, head, answer.split_off(end + 4)))
}

fn fill(address: SocketAddr) -> Outcome<()> {
    let login = serde_json::json!({"email": "bench@example.com", "password": PASSWORD}).to_string();
    let json = [("content-type", "application/json")];
    let (status, head, body) = request(address, "POST", "/api/auth/login", &json, login.as_bytes())?;
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).and_then(|c| c.split(';').next());
    let cookie = cookie.ok_or_else(|| format!("login: {status}"))?.to_owned();
    let csrf = serde_json::from_slice::<serde_json::Value>(&body)?["csrf_token"]
        .as_str()
        .ok_or("no token")?
        .to_owned();
    for seed in 0..PHOTOS {
        let mut form = format!("--b\r\ncontent-disposition: form-data; name=\"title\"\r\n\r\nFrame {seed}\r\n--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n").into_bytes();
        form.extend(sample::photo(120, 80, seed)?);
        form.extend_from_slice(b"\r\n--b--\r\n");
        let headers = [
            ("content-type", "multipart/form-data; boundary=b"),
            ("cookie", cookie.as_str()),
            ("x-csrf-token", csrf.as_str()),
        ];
        let (status, _, body) = request(address, "POST", "/api/photos", &headers, &form)?;
        if status != 201 {
            return Err(format!("upload: {status} {}", String::from_utf8_lossy(&body)).into());
        }
    }
    Ok(())
}

fn start_nginx(dir: &Path, json: &[u8], html: &[u8]) -> Outcome<(Running, SocketAddr)> {
    let files = dir.join("files");
    std::fs::create_dir(&files)?;
    std::fs::write(files.join("0"), json)?;
    std::fs::write(files.join("1"), html)?;
    let free = TcpListener::bind(("127.0.0.1", 0))?;
    let address = free.local_addr()?;
    drop(free);
    let config = format!(
        "daemon off; pid {0}/nginx.pid; error_log {0}/error.log; worker_processes auto; user root;\n\
         events {{}}\nhttp {{ access_log off; sendfile on; keepalive_requests 1000000; default_type application/json;\n\
         client_body_temp_path {0}/t1; proxy_temp_path {0}/t2; fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4;\n\
         scgi_temp_path {0}/t5; server {{ listen {address}; root {1}; }} }}\n",
        dir.display(),
        files.display()
    );
    let path = dir.join("nginx.conf");
    std::fs::write(&path, config)?;
    let nginx = Running(Command::new("nginx").arg("-c").arg(&path).stderr(Stdio::null()).spawn()?);
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        if start.elapsed() > Duration::from_secs(10) {
            return Err("nginx did not start".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((nginx, address))
}

/// Requests a second, and the 99th percentile in milliseconds.
fn wrk(url: &str) -> Outcome<(f64, f64)> {
    let output =
        Command::new("wrk").args(["-t2", "-c", CONNECTIONS, "-d", SECONDS, "--latency", url]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let word = |before: &str| {
        let line = text.lines().find_map(|l| l.trim().strip_prefix(before))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    if let Some(errors) = word("Non-2xx or 3xx responses:") {
        return Err(format!("{url}: {errors} answers were errors").into());
    }
    let rate = word("Requests/sec:").ok_or_else(|| format!("wrk: {text}"))?.parse()?;
    let p99 = word("99%").ok_or_else(|| format!("wrk: {text}"))?;
    let (number, factor) = match p99.strip_suffix("us") {
        Some(micros) => (micros, 0.001),
        None => match p99.strip_suffix("ms") {
            Some(millis) => (millis, 1.0),
            None => (p99.trim_end_matches('s'), 1000.0),
        },
    };
    Ok((rate, number.parse::<f64>()? * factor))
}
