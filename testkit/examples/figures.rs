//! `cargo xtask bench switch [EXCHANGES]`: what fails while a release is exchanged again and again under load, with
//! Safelight's proxy, with a new upstream and `nginx -s reload`, and with `pm2 reload` (cluster mode), the same Node app
//! behind each, in one run: requests on connections that stay open, on fresh ones, slow ones, event streams, WebSockets.
//! A stream or WebSocket has failed when it was broken off before its natural end or refused. Then how long the proxy
//! takes to move users, and its memory.
#![allow(clippy::unwrap_used, missing_docs)]

use safelight_proxy::{
    ControlClient, Release,
    protocol::{Drain, PutService, RouteMatch, Switch, UpgradedPolicy},
    table::Timeouts,
};
use safelight_testkit::traffic::{Counts, Long, Plan, Traffic};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Answers, streams and echoes; told to end, it takes no more connections and finishes what it has.
const APP: &str = r#"
const http = require('http'), crypto = require('crypto');
const s = http.createServer((q, r) => {
  if (q.url !== '/stream') return setTimeout(() => r.end('hello\n'), Math.random() * 4);
  r.writeHead(200, {'content-type': 'text/event-stream', 'x-accel-buffering': 'no'});
  let n = 0;
  const t = setInterval(() => {
    r.write(`data: ${n}\n\n`);
    if (++n === 10) { clearInterval(t); r.end('data: end\n\n'); }
  }, 40);
});
s.on('upgrade', (q, c) => {
  const key = q.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
  c.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' +
    crypto.createHash('sha1').update(key).digest('base64') + '\r\n\r\n');
  let b = Buffer.alloc(0);
  c.on('data', d => {
    b = Buffer.concat([b, d]);
    while (b.length >= 6 && b.length >= 6 + (b[1] & 127)) {
      const n = b[1] & 127, mask = b.subarray(2, 6), p = Buffer.from(b.subarray(6, 6 + n)).map((x, i) => x ^ mask[i % 4]);
      c.write(Buffer.concat([Buffer.from([b[0], n]), p]));
      if ((b[0] & 15) === 8) c.end();
      b = b.subarray(6 + n);
    }
  });
  c.on('error', () => c.destroy());
});
s.keepAliveTimeout = 5000;
s.listen(Number(process.env.PORT), '127.0.0.1', () => process.send && process.send('ready'));
const end = () => s.close(() => process.exit(0));
process.on('SIGINT', end);
process.on('SIGTERM', end);
"#;

/// Ends within a few minutes.
const DEFAULT_EXCHANGES: usize = 15;
/// How long an app that was told to end gets, as pm2's `--kill-timeout`.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

struct Killed(Child);
impl Killed {
    /// Ends it as a process manager does: a signal, some time to finish, and only then by force.
    async fn end(mut self) {
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let until = Instant::now() + KILL_TIMEOUT;
        while Instant::now() < until && matches!(self.0.try_wait(), Ok(None)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn node(dir: &Path, port: u16) -> Killed {
    let child = Command::new("node")
        .arg(dir.join("app.js"))
        .env("PORT", port.to_string())
        .stdout(Stdio::null())
        .spawn();
    Killed(child.expect("node"))
}

async fn listening(port: u16) {
    for _ in 0..400 {
        if tokio::net::TcpStream::connect(addr(port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nothing listens at {port}");
}

fn visitors(port: u16) -> Traffic {
    let plan = Plan {
        addr: addr(port),
        host: "app.localhost".into(),
        paths: vec!["/".into(), "/a".into(), "/b?c=d".into()],
        keep_alive: 24,
        fresh: 8,
        slow: 4,
        upload: None,
        uploaders: 0,
        long: Long {
            streams: 4,
            stream_path: "/stream".into(),
            sockets: 4,
            socket_path: "/ws".into(),
            messages: 10,
            pause: Duration::from_millis(40),
        },
        pause: Duration::from_millis(2),
    };
    Traffic::start(plan, "all")
}

fn show(name: &str, exchanges: usize, counts: &[(String, Counts)], each: &[Duration]) {
    let (mut sent, mut failed) = (0, 0);
    let mut kinds = BTreeMap::<&str, (u64, u64)>::new();
    for (_, c) in counts {
        sent += c.sent;
        failed += c.failed;
        for (kind, (s, f)) in &c.kinds {
            let sum = kinds.entry(kind).or_default();
            *sum = (sum.0 + s, sum.1 + f);
        }
    }
    let of = |kind: &str| kinds.get(kind).map_or("-".to_owned(), |(s, f)| format!("{f} of {s}"));
    let mut ms: Vec<u128> = each.iter().map(Duration::as_millis).collect();
    ms.sort_unstable();
    let median = ms.get(ms.len() / 2).copied().unwrap_or(0);
    let by_kind = KINDS.map(of).join(" | ");
    println!("| {name} | {exchanges} | {sent} | {failed} | {by_kind} | {median} ms |");
    for s in counts.iter().flat_map(|(_, c)| &c.samples).take(3) {
        eprintln!("  {name}, for example: {s}");
    }
}

/// Kinds of client, in the order of the columns.
const KINDS: [&str; 5] = ["keep-alive", "fresh", "slow", "stream", "websocket"];

async fn safelight(dir: &Path, proxy: &Path, exchanges: usize) {
    let port = free_port();
    let mut command = Command::new(proxy);
    command
        .args(["proxy", "run", "--listen", &addr(port).to_string()])
        .env("SAFELIGHT_HOME", dir.join("h"))
        .stdout(Stdio::null());
    let running = Killed(command.spawn().expect("safelight"));
    listening(port).await;
    let control = ControlClient::new(dir.join("h/proxy/proxy.sock"));
    let release = |n: usize, port: u16| Release { version: format!("r{n}"), targets: vec![addr(port)] };
    let first = free_port();
    let mut old = node(dir, first);
    listening(first).await;
    let put = PutService {
        routes: vec![RouteMatch::new("*", "/")],
        stable: release(0, first),
        token: None,
        timeouts: Timeouts::default(),
        split_cookie: None,
        certificates: Vec::new(),
        replaces: Vec::new(),
        drain: Drain::default(),
    };
    control.put("app", "web", &put).await.unwrap();
    let traffic = visitors(port);
    let mut each = Vec::new();
    let mut serving = release(0, first);
    while each.len() < exchanges {
        let next = free_port();
        let new = node(dir, next);
        listening(next).await;
        let taken = release(each.len() + 1, next);
        each.push(switch(&control, &taken).await);
        tokio::time::sleep(Duration::from_millis(150)).await;
        // Every third one is taken back.
        if each.len() % 3 == 0 && each.len() < exchanges {
            each.push(switch(&control, &serving).await);
            new.end().await;
        } else {
            serving = taken;
            std::mem::replace(&mut old, new).end().await;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    show("Safelight proxy: switches and rollbacks", exchanges, &traffic.finish().await, &each);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap_or_default();
    let rss = status.lines().find(|l| l.starts_with("VmRSS")).unwrap_or("").replace("VmRSS:", "");
    eprintln!("  memory of the proxy after the load: {}", rss.trim());
}

async fn switch(control: &ControlClient, to: &Release) -> Duration {
    let began = Instant::now();
    // WebSockets get the time of the drain to come to their end, like everything else.
    let drain = Drain { upgraded: UpgradedPolicy::AtEnd, ..Drain::default() };
    let change = Switch { to: to.clone(), then_candidate: None, probe: None, drain };
    control.switch("app", "web", &change).await.unwrap();
    began.elapsed()
}

async fn pm2(dir: &Path, program: &Path, exchanges: usize) {
    let port = free_port();
    let run = |args: &[&str]| {
        let status = Command::new(program)
            .args(args)
            .current_dir(dir)
            .env("PM2_HOME", dir.join("pm2"))
            .env("PORT", port.to_string())
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "pm2 {args:?}");
    };
    run(&["start", "app.js", "--name", "app", "-i", "2", "--wait-ready", "--kill-timeout", "5000"]);
    listening(port).await;
    let traffic = visitors(port);
    let mut each = Vec::new();
    for _ in 0..exchanges {
        let began = Instant::now();
        run(&["reload", "app"]);
        each.push(began.elapsed());
    }
    show("pm2 reload, cluster of 2, wait-ready", exchanges, &traffic.finish().await, &each);
    run(&["kill"]);
}

async fn nginx(dir: &Path, exchanges: usize) {
    let port = free_port();
    let config = |upstream: u16| {
        let d = dir.display();
        let text = format!(
            "pid {d}/nginx.pid; error_log {d}/nginx.log; worker_processes 2;\nevents {{}}\nhttp {{ access_log off; map $http_upgrade $up {{ default upgrade; '' ''; }}\nupstream app {{ server 127.0.0.1:{upstream}; keepalive 32; }}\nserver {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $up; }} }} }}\n"
        );
        std::fs::write(dir.join("nginx.conf"), text).unwrap();
    };
    let path = dir.join("nginx.conf");
    let run = |more: &[&str]| {
        let status = Command::new("nginx").arg("-c").arg(&path).args(more).stderr(Stdio::null()).status();
        assert!(status.expect("nginx").success());
    };
    let first = free_port();
    let mut old = node(dir, first);
    listening(first).await;
    config(first);
    run(&[]);
    listening(port).await;
    let traffic = visitors(port);
    let mut each = Vec::new();
    for _ in 0..exchanges {
        let next = free_port();
        let new = node(dir, next);
        listening(next).await;
        let began = Instant::now();
        config(next);
        run(&["-s", "reload"]);
        each.push(began.elapsed());
        // `reload` returns before the old workers are done; a script that knows that waits, as this one does.
        tokio::time::sleep(Duration::from_millis(400)).await;
        std::mem::replace(&mut old, new).end().await;
    }
    show("nginx: new upstream, reload, 0.4 s wait", exchanges, &traffic.finish().await, &each);
    run(&["-s", "stop"]);
}

#[tokio::main]
async fn main() {
    let arg = |n: usize| std::env::args().nth(n);
    let (Some(safelight_program), Some(pm2_program)) = (arg(1), arg(2)) else {
        eprintln!("usage: figures SAFELIGHT PM2 [EXCHANGES]");
        std::process::exit(2);
    };
    let exchanges = arg(3).and_then(|n| n.parse().ok()).unwrap_or(DEFAULT_EXCHANGES);
    let dir = std::env::temp_dir().join(format!("sl-figures-{}", std::process::id()));
    std::fs::create_dir_all(dir.join("h")).unwrap();
    std::fs::write(dir.join("app.js"), APP).unwrap();
    let kinds = KINDS.join(" | ");
    println!("| what | exchanges | requests | failed | {kinds} | median of one exchange |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    safelight(&dir, &PathBuf::from(safelight_program), exchanges).await;
    nginx(&dir, exchanges).await;
    pm2(&dir, &PathBuf::from(pm2_program), exchanges).await;
    let _ = std::fs::remove_dir_all(&dir);
}
