//! Traffic for the demo: runs until standard input ends. Each line there is a mark, but for `+day` and `+crowd` (more, and
//! many more, visitors come) and `-` (they leave again). At the end the counts are printed as JSON, one line per mark.

use safelight_testkit::traffic::{Plan, Traffic, Upload};
use std::{io::BufRead as _, time::Duration};

fn main() {
    let arg = |name: &str| std::env::args().skip_while(|a| a != name).nth(1);
    let need = |name: &str| {
        arg(name).unwrap_or_else(|| {
            eprintln!("usage: safelight-traffic --addr A:P --host NAME [--photo FILE --email E] (password in TRAFFIC_PASSWORD)");
            std::process::exit(2);
        })
    };
    let number = |name: &str, default: usize| arg(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let upload = arg("--photo").and_then(|p| std::fs::read(p).ok()).map(|photo| Upload {
        email: need("--email"),
        password: std::env::var("TRAFFIC_PASSWORD").unwrap_or_default(),
        photo,
        every: Duration::from_millis(800),
    });
    let plan = Plan {
        addr: need("--addr").parse().unwrap_or_else(|e| {
            eprintln!("--addr: {e}");
            std::process::exit(2);
        }),
        host: need("--host"),
        paths: std::env::args().skip_while(|a| a != "--paths").skip(1).collect(),
        keep_alive: number("--keep-alive", 2),
        fresh: number("--fresh", 1),
        slow: number("--slow", 1),
        upload,
        uploaders: 1,
        long: Default::default(),
        pause: Duration::from_millis(u64::try_from(number("--pause-ms", 100)).unwrap_or(100)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let Ok(runtime) = runtime else { std::process::exit(1) };
    let counts = runtime.block_on(async {
        let day = Plan {
            keep_alive: 12,
            fresh: 4,
            slow: 3,
            uploaders: 0,
            pause: Duration::from_millis(20),
            ..plan.clone()
        };
        let often = plan.upload.clone().map(|u| Upload { every: Duration::ZERO, ..u });
        let crowd = Plan { keep_alive: 20, fresh: 4, slow: 2, uploaders: 8, upload: often, ..day.clone() };
        let mut traffic = Traffic::start(plan, "start");
        // Standard input blocks, so it is read elsewhere.
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                let _ = tx.send(line);
            }
        });
        while let Some(mark) = rx.recv().await {
            match mark.trim() {
                "+day" => traffic.crowd(day.clone()),
                "+crowd" => traffic.crowd(crowd.clone()),
                "-" => traffic.disperse(),
                name => traffic.mark(name),
            }
        }
        traffic.finish().await
    });
    for (mark, c) in counts {
        println!(
            "{}",
            serde_json::json!({"mark": mark, "sent": c.sent, "failed": c.failed, "kinds": c.kinds, "samples": c.samples})
        );
    }
}
