//! This machine: its home, its daemon (started when it is not there), its memory.

use crate::{busy::Busy, error::CommandError, output::Output};
use safelight_engine::text::Text;
use safelight_host::{
    api::{ApiError, ErrorKind, Status},
    client::HostClient,
    paths::Home,
    runs::Runs,
    store::Store,
    trouble,
};
use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// Who gives orders, for the record: user and machine.
pub(crate) fn who() -> String {
    let user = std::env::var("SAFELIGHT_WHO")
        .ok()
        .filter(|u| !u.is_empty())
        .or_else(|| std::env::var("USER").ok().filter(|u| !u.is_empty()));
    let user = user.unwrap_or_else(|| user_name(rustix::process::getuid().as_raw()));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{user}@{host}")
}

/// The user this runs as, for systemd: a name, or a number when it has none.
pub(crate) fn user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    name_of(uid).unwrap_or_else(|| uid.to_string())
}

/// The name of a user id, or the id.
fn user_name(uid: u32) -> String {
    name_of(uid).unwrap_or_else(|| format!("uid {uid}"))
}

fn name_of(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>());
    let found = lines.find(|f| f.get(2).is_some_and(|u| *u == uid.to_string()));
    found.and_then(|f| f.first().map(|n| (*n).to_owned()))
}

/// This program, for starting its other halves.
pub(crate) fn program() -> Result<String, CommandError> {
    std::env::current_exe()
        .map(|p| p.to_string_lossy().trim_end_matches(" (deleted)").to_owned())
        .map_err(|e| CommandError::io("safelight cannot find its own program", &e))
}

/// Arguments that start the embedded process manager's shim.
pub(crate) fn shim() -> Result<Vec<String>, CommandError> {
    Ok(vec![program()?, "detached-shim".to_owned()])
}

/// The state of the daemon, when one runs and answers soon.
pub(crate) async fn running() -> Option<Status> {
    answers(&HostClient::new(Home::from_env().socket())).await
}

/// The daemon of this machine, started when it is not running.
pub(crate) async fn daemon(out: &Output) -> Result<HostClient, CommandError> {
    let home = Home::from_env();
    let client = HostClient::new(home.socket());
    if client.status().await.is_ok() {
        return Ok(client);
    }
    out.say(if out.lang == safelight_engine::text::Lang::Zh {
        "启动主机守护进程 …"
    } else {
        "starting the host daemon …"
    });
    let keeper = start_keeper(&home)?;
    wait_for(&client, &home, keeper, out).await?;
    Ok(client)
}

/// Starts the keeper, which starts the daemon and starts it again when it dies.
pub(crate) fn start_keeper(home: &Home) -> Result<Child, CommandError> {
    home.create().map_err(|e| unusable(home, &e))?;
    let path = home.logs().join("host.log");
    let log = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .map_err(|e| CommandError::io(&path.to_string_lossy(), &e))?;
    let err = log.try_clone().map_err(|e| CommandError::io("host.log", &e))?;
    trouble::clear(&home.host_trouble());
    // A process group of its own: Ctrl-C in this terminal and its end do not reach it.
    Command::new(program()?)
        .args(["host", "keep"])
        .env("SAFELIGHT_HOME", &home.root)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(err)
        .spawn()
        .map_err(|e| CommandError::io("the host daemon could not be started", &e))
}

/// The daemon's answer, when it gives one soon.
async fn answers(client: &HostClient) -> Option<Status> {
    tokio::time::timeout(Duration::from_secs(5), client.status()).await.ok()?.ok()
}

/// Waits until the daemon answers. One that has ended does not: it is said at once why.
pub(crate) async fn wait_for(
    client: &HostClient,
    home: &Home,
    mut keeper: Child,
    out: &Output,
) -> Result<(), CommandError> {
    let busy = Busy::with(out, &Text::new("the host daemon starts", "主机守护进程正在启动"));
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        // Asked first: one that has ended before the question left its words before.
        let ended = matches!(keeper.try_wait(), Ok(Some(_)));
        if answers(client).await.is_some() {
            return Ok(());
        }
        // Started twice at the same moment, the other one comes up.
        let other = |e: &ApiError| e.kind == ErrorKind::Busy;
        if ended && !trouble::left(&home.host_trouble()).as_ref().is_some_and(other) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(busy);
    if let Some(e) = trouble::left(&home.host_trouble()) {
        let why = Text::new(
            format!("the host daemon does not start: {}", e.message.en),
            format!("主机守护进程无法启动：{}", e.message.zh),
        );
        return Err(ApiError { message: why, ..e }.into());
    }
    let path = home.logs().join("host.log");
    let said = safelight_host::logs::tail(&path, 600).unwrap_or_default();
    let shown = path.display();
    Err(CommandError::refused(safelight_engine::text!(
        "the host daemon did not come up:\n{said}",
        "主机守护进程未能启动：\n{said}"
    ))
    .with_help(safelight_engine::text!("its whole log is {shown}", "完整日志：{shown}")))
}

/// Safelight's own directory cannot be made or looked into.
fn unusable(home: &Home, e: &std::io::Error) -> CommandError {
    let root = home.root.display();
    CommandError::refused(safelight_engine::text!(
        "Safelight cannot keep its data in {root}: {e}",
        "Safelight 无法在 {root} 保存数据：{e}"
    ))
    .with_help(Text::new(
        "the variable SAFELIGHT_HOME names this directory: set it to one that this user may write to, or change the owner of this one",
        "该目录由变量 SAFELIGHT_HOME 指定：请设为当前用户可写的目录，或更改该目录的属主",
    ))
}

/// The host's memory, without the daemon.
pub(crate) fn store() -> Result<(Home, Arc<Store>), CommandError> {
    let home = Home::from_env();
    home.create().map_err(|e| unusable(&home, &e))?;
    let store = Store::open(&home.database()).map_err(ApiError::from)?;
    Ok((home, Arc::new(store)))
}

/// The runs of this machine for reading, without the daemon.
pub(crate) fn runs() -> Result<Arc<Runs>, CommandError> {
    let (home, store) = store()?;
    Ok(Runs::new(home, store, shim()?))
}

/// Writes a file that only its owner may read: what the app's commands said stands in reports.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::{
        io::Write as _,
        os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    };
    let mut f = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // One that was there already keeps its mode otherwise. `/dev/stdout` has none to change.
    if f.metadata()?.is_file() {
        f.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    f.write_all(bytes)
}

/// The project's directory, absolute.
pub(crate) fn project(dir: &Path) -> Result<PathBuf, CommandError> {
    dir.canonicalize().map_err(|e| CommandError::usage(Text::same(format!("{}: {e}", dir.display()))))
}

/// The run to act on: the named one, or the open one of this app and environment, when it began in this directory.
pub(crate) async fn open_run(
    client: &HostClient,
    named: Option<&str>,
    (app, env): (&str, &str),
    project: &Path,
) -> Result<String, CommandError> {
    let runs = client.runs().await?;
    let found = match named {
        Some(id) => runs.iter().find(|r| r.run == id || r.run.ends_with(id)),
        None => runs.iter().find(|r| r.app == app && r.env == env && r.ended.is_none()),
    };
    if let Some(r) = found.filter(|r| named.is_none() && r.project != project) {
        let (run, there) = (&r.run, r.project.display());
        return Err(CommandError::refused(safelight_engine::text!(
            "the open run of {app} in {env} began in {there}, not here",
            "{env} 的 {app} 进行中的运行是在 {there} 发起的，不是在这里"
        ))
        .with_help(safelight_engine::text!(
            "go there, or name the run to mean it: {run}",
            "请到该目录执行；若确要操作，请写明运行编号：{run}"
        )));
    }
    found.map(|r| r.run.clone()).ok_or_else(|| match named {
        Some(id) => CommandError::usage(safelight_engine::text!("there is no run {id}", "没有运行 {id}"))
            .with_help(Text::new("`safelight history` lists them", "`safelight history` 可查看")),
        None => CommandError::usage(safelight_engine::text!(
            "no run of {app} in {env} is open",
            "{env} 的 {app} 没有进行中的运行"
        ))
        .with_help(Text::new("`safelight history` lists past runs", "`safelight history` 可查看历史")),
    })
}
