//! An app that fails on demand. `APP_MODE` says how, and `APP_REHEARSAL_MODE` in a rehearsal; a release's environment
//! file selects it.
//!
//! `safelight-test-app serve` answers on 127.0.0.1 at `PORT` (at `APP_FIXED_PORT` when that is set, as an app does whose
//! port is written into its code): `/health`, `/notes` (rows of its database; POST adds one), `/client` (who asks, as it
//! is told) and everything else with the release's version and label. `safelight-test-app migrate N [--fail-after M]`
//! brings the database at `DATABASE_URL` to schema N, one step at a time; `unmigrate` takes the newest step back,
//! `unmigrate N` all those after N.

use http_body_util::Full;
use hyper::{Method, Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rusqlite::Connection;
use std::{
    convert::Infallible, net::Ipv4Addr, path::PathBuf, pin::pin, process::ExitCode, sync::Arc, time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// What every answer is made from.
struct App {
    version: String,
    label: String,
    mode: String,
    /// While this file exists, `fault_is` shows.
    fault: Option<PathBuf>,
    /// `500` on every page, `fatal` lines in the log, `slow` pages, or `client`: only that page is a 500.
    fault_is: String,
    database: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve"] => serve(),
        ["migrate", to] => {
            to.parse().map_err(|_| format!("{to} is not a number")).and_then(|n| migrate(n, None))
        }
        ["migrate", to, "--fail-after", after] => match (to.parse(), after.parse()) {
            (Ok(to), Ok(after)) => migrate(to, Some(after)),
            _ => Err(format!("{to} or {after} is not a number")),
        },
        ["unmigrate"] => unmigrate(None),
        ["unmigrate", to] => {
            to.parse().map_err(|_| format!("{to} is not a number")).and_then(|n| unmigrate(Some(n)))
        }
        _ => Err("usage: safelight-test-app serve | migrate N [--fail-after M] | unmigrate [N]".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("safelight-test-app: {e}");
            ExitCode::FAILURE
        }
    }
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

fn database() -> Option<PathBuf> {
    var("DATABASE_URL").map(|u| PathBuf::from(u.trim_start_matches("sqlite:")))
}

fn open(path: &PathBuf) -> Result<Connection, String> {
    let db = Connection::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    db.busy_timeout(Duration::from_secs(5)).map_err(|e| e.to_string())?;
    Ok(db)
}

/// Each step in a transaction of its own, as migration tools do: one that fails leaves those before it.
fn migrate(to: u32, fail_after: Option<u32>) -> Result<(), String> {
    let path = database().ok_or("DATABASE_URL is not set")?;
    let db = open(&path)?;
    let sql = |text: &str| db.execute_batch(text).map_err(|e| e.to_string());
    sql("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS migrations(number INTEGER PRIMARY KEY)")?;
    let at: u32 = db
        .query_row("SELECT COALESCE(MAX(number), 0) FROM migrations", [], |r| r.get(0))
        .map_err(|e| e.to_string())?;
    for n in at + 1..=to {
        if fail_after == Some(n - 1) {
            return Err(format!("migration {n} cannot be applied: no such column: colour"));
        }
        let change = if n == 1 {
            "CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT NOT NULL)".to_owned()
        } else {
            format!("ALTER TABLE notes ADD COLUMN extra{n} TEXT")
        };
        sql(&format!("BEGIN IMMEDIATE; {change}; INSERT INTO migrations VALUES ({n}); COMMIT"))?;
        println!("migration {n} applied");
    }
    Ok(())
}

/// Takes steps back whatever they are: like the tools that it stands for, it does not know which release made them.
fn unmigrate(to: Option<u32>) -> Result<(), String> {
    let path = database().ok_or("DATABASE_URL is not set")?;
    let db = open(&path)?;
    loop {
        let at: u32 = db
            .query_row("SELECT COALESCE(MAX(number), 0) FROM migrations", [], |r| r.get(0))
            .map_err(|e| e.to_string())?;
        if at == 0 || to.is_some_and(|to| at <= to) {
            return Ok(());
        }
        let change = if at == 1 {
            "DROP TABLE notes".to_owned()
        } else {
            format!("ALTER TABLE notes DROP COLUMN extra{at}")
        };
        let all = format!("BEGIN IMMEDIATE; {change}; DELETE FROM migrations WHERE number = {at}; COMMIT");
        db.execute_batch(&all).map_err(|e| e.to_string())?;
        println!("migration {at} taken back");
        if to.is_none() {
            return Ok(());
        }
    }
}

fn serve() -> Result<(), String> {
    // Faults that only production shows are the rule; those that a rehearsal shows have a name of their own.
    let mode = if var("SAFELIGHT_REHEARSAL").is_some() { "APP_REHEARSAL_MODE" } else { "APP_MODE" };
    let app = App {
        version: std::fs::read_to_string("VERSION").unwrap_or_default().trim().to_owned(),
        label: var("APP_LABEL").unwrap_or_default(),
        mode: var(mode).unwrap_or_else(|| "good".to_owned()),
        fault: var("APP_FAULT_FILE").map(PathBuf::from),
        fault_is: var("APP_FAULT").unwrap_or_else(|| "500".to_owned()),
        database: database(),
    };
    println!("this is {} in mode {}", app.version, app.mode);
    if app.mode == "exits-at-once" {
        return Err("cannot read its settings: APP_SETTINGS is not set".to_owned());
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(run(app))
}

async fn run(app: App) -> Result<(), String> {
    let mut term = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    if app.mode == "never-listens" {
        println!("waiting for a lock that nobody gives back");
        term.recv().await;
        return Ok(());
    }
    if app.mode == "slow-to-listen" {
        println!("warming the cache");
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    let port: u16 = var("APP_FIXED_PORT")
        .or_else(|| var("PORT"))
        .and_then(|p| p.parse().ok())
        .ok_or("PORT is not set")?;
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|e| format!("port {port}: {e}"))?;
    println!("listening on 127.0.0.1:{port}");
    let dies = app.mode == "dies-soon";
    let deaf = app.mode == "ignores-sigterm";
    let app = Arc::new(app);
    let (stop, stopping) = watch::channel(false);
    let mut open = tokio::task::JoinSet::new();
    let death = tokio::time::sleep(Duration::from_millis(150));
    let mut death = pin!(death);
    loop {
        tokio::select! {
            () = &mut death, if dies => return Err("out of memory in the image cache".to_owned()),
            _ = term.recv() => {
                if deaf {
                    println!("SIGTERM? not now");
                    continue;
                }
                break;
            }
            accepted = listener.accept() => {
                let Ok((tcp, _)) = accepted else { continue };
                let (app, mut stopping) = (app.clone(), stopping.clone());
                open.spawn(async move {
                    let service = service_fn(move |r| answer(app.clone(), r));
                    let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(tcp), service));
                    tokio::select! {
                        _ = connection.as_mut() => return,
                        _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
                    }
                    let _ = connection.await;
                });
            }
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let all = async { while open.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(5), all).await;
    println!("ended by SIGTERM");
    Ok(())
}

async fn answer(
    app: Arc<App>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let fault = app.fault.as_ref().filter(|f| f.exists()).map(|_| app.fault_is.as_str());
    let (status, text) = match request.uri().path() {
        "/health" | "/api/health" => health(&app).await,
        "/notes" => notes(&app, request.method()),
        "/client" if fault == Some("client") => (500, "broken\n".to_owned()),
        "/client" => (200, client(request.headers())),
        _ => page(&app, fault).await,
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

async fn page(app: &App, fault: Option<&str>) -> (u16, String) {
    match fault {
        Some("fatal") => {
            for _ in 0..4 {
                println!("FATAL the ledger rejects {}", var("APP_TOKEN").unwrap_or_default());
            }
        }
        Some("slow") => tokio::time::sleep(Duration::from_millis(700)).await,
        Some("client") | None => {}
        Some(_) => {
            println!("ERROR the basket is on fire {}", var("APP_TOKEN").unwrap_or_default());
            return (500, "broken\n".to_owned());
        }
    }
    (200, format!("{} {}\n", app.version, app.label))
}

/// What this app is told about who asks.
fn client(headers: &hyper::HeaderMap) -> String {
    let said = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("-").to_owned();
    format!("{} {} {}\n", said("x-real-ip"), said("x-forwarded-proto"), said("host"))
}

async fn health(app: &App) -> (u16, String) {
    match app.mode.as_str() {
        "500" => {
            println!("ERROR the payment service refused our key");
            (500, "bad\n".to_owned())
        }
        "slow" => {
            tokio::time::sleep(Duration::from_secs(20)).await;
            (200, "late\n".to_owned())
        }
        _ => (200, "well\n".to_owned()),
    }
}

fn notes(app: &App, method: &Method) -> (u16, String) {
    let result = || -> Result<String, String> {
        let db = open(app.database.as_ref().ok_or("DATABASE_URL is not set")?)?;
        if *method == Method::POST {
            db.execute("INSERT INTO notes(text) VALUES ('hello')", []).map_err(|e| e.to_string())?;
        }
        let n: i64 =
            db.query_row("SELECT count(*) FROM notes", [], |r| r.get(0)).map_err(|e| e.to_string())?;
        Ok(format!("{n}\n"))
    };
    result().map_or_else(|e| (500, e), |n| (200, n))
}
