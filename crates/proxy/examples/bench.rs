//! Throughput and p99 of the proxy beside nginx's on the same machine, and its memory:
//! `cargo run --release -p safelight-proxy --example bench [seconds per run]`. Needs `nginx` and `wrk`, and
//! the `proxy` example built in the same profile. All three share the cores: read the ratio, not the figure.

use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use safelight_proxy::ControlClient;
use safelight_proxy::protocol::{Drain, PutService, RouteMatch};
use safelight_proxy::table::{Release, Timeouts};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: usize = 3;
const CONNECTIONS: &str = "64";

/// Ends its process when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let seconds = std::env::args().nth(1).unwrap_or_else(|| "5".into());
    let folder = tempfile::tempdir()?;
    let (upstream, nginx, ours) = (free_port()?, free_port()?, free_port()?);
    let _upstream = start_nginx(
        folder.path(),
        "upstream",
        1,
        &format!(
            "server {{ listen {upstream}; keepalive_requests 1000000000; location / {{ return 200 \"hello\\n\"; }} }}"
        ),
    )?;
    let nginx_master = start_nginx(
        folder.path(),
        "proxy",
        2,
        &format!(
            "upstream app {{ server {upstream}; keepalive 512; keepalive_requests 1000000000; }}\n\
         server {{ listen {nginx}; keepalive_requests 1000000000; location / {{ proxy_pass http://app; \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; \
         proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; }} }}"
        ),
    )?;
    let nginx_workers = children(nginx_master.0.id())?;
    let socket = folder.path().join("proxy.sock");
    let program = std::env::current_exe()?.with_file_name("proxy");
    let proxy = Running(
        Command::new(program)
            .arg(&socket)
            .arg(folder.path().join("routes.json"))
            .arg(ours.to_string())
            .spawn()?,
    );
    let control = ControlClient::new(&socket);
    while control.state().await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let put = PutService {
        routes: vec![RouteMatch::new("*", "/")],
        stable: Release { version: "v1".into(), targets: vec![upstream] },
        token: None,
        timeouts: Timeouts::default(),
        split_cookie: None,
        certificates: Vec::new(),
        replaces: Vec::new(),
        drain: Drain::default(),
    };
    control.put("bench", "web", &put).await?;
    let idle = rss_kib(&proxy.0)?;
    println!("{:<12} {:>12} {:>10} {:>10}", "", "requests/s", "p50", "p99");
    let (mut rates, mut tails, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        wrk("upstream", upstream, &seconds)?;
        let (theirs, their_cost) = costed("nginx", nginx, &seconds, &nginx_workers)?;
        let (mine, my_cost) = costed("safelight", ours, &seconds, &[proxy.0.id()])?;
        rates.push(mine.0 / theirs.0);
        tails.push(mine.1 / theirs.1);
        costs.push(my_cost / their_cost);
    }
    println!("safelight : nginx, medians of {ROUNDS}");
    println!("  requests a second, cores shared by all: {:.2}", median(rates));
    println!("  p99: {:.2}", median(tails));
    println!("  CPU time of a request: {:.2}", median(costs));
    println!("memory: {idle} KiB idle, {} KiB after the load", rss_kib(&proxy.0)?);
    Ok(())
}

fn start_nginx(folder: &Path, name: &str, workers: usize, server: &str) -> Result<Running> {
    let folder = folder.join(name);
    std::fs::create_dir(&folder)?;
    let path = folder.display();
    let config = format!(
        "daemon off; master_process on; worker_processes {workers}; pid {path}/pid; error_log {path}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; client_body_temp_path {path}/b; proxy_temp_path {path}/p; \
         fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;\n{server} }}"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config)?;
    let log = folder.join("start.log");
    let child =
        Command::new("nginx").arg("-e").arg(&log).arg("-c").arg(&file).stdin(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_millis(300));
    Ok(Running(child))
}

/// The same with the CPU time that these processes spent on one request, in microseconds.
fn costed(name: &str, address: SocketAddr, seconds: &str, pids: &[u32]) -> Result<((f64, f64), f64)> {
    let before = cpu_ticks(pids)?;
    let began = Instant::now();
    let measured = wrk(name, address, seconds)?;
    let requests = measured.0 * began.elapsed().as_secs_f64();
    // A tick of /proc is 10 ms on every Linux there is.
    let cost = (cpu_ticks(pids)? - before) as f64 * 10_000.0 / requests;
    println!("{:<12} {cost:>12.1} microseconds of CPU a request", "");
    Ok((measured, cost))
}

/// User and system time of processes.
fn cpu_ticks(pids: &[u32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(") ").ok_or("no name in stat")?.1.split(' ');
        sum += fields.skip(11).take(2).map(str::parse::<u64>).sum::<std::result::Result<u64, _>>()?;
    }
    Ok(sum)
}

/// Processes that this one has started.
fn children(of: u32) -> Result<Vec<u32>> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children"))?;
    Ok(text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?)
}

/// Requests a second and the 99th percentile of their time in milliseconds.
fn wrk(name: &str, address: SocketAddr, seconds: &str) -> Result<(f64, f64)> {
    let output = Command::new("wrk")
        .args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "--latency"])
        .arg(format!("http://{address}/"))
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let field = |label: &str| {
        text.lines()
            .find_map(|l| l.trim().strip_prefix(label))
            .map(|v| v.trim().to_owned())
            .unwrap_or_default()
    };
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("{name} lost requests:\n{text}").into());
    }
    let rate: f64 = field("Requests/sec:").parse()?;
    println!("{name:<12} {rate:>12.0} {:>10} {:>10}", field("50%"), field("99%"));
    Ok((rate, millis(&field("99%")).ok_or("no p99")?))
}

/// `4.70ms`, `565.00us` or `1.02s` in milliseconds.
fn millis(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let factor = match unit {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn rss_kib(child: &Child) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
