//! The shim: a small process between the host daemon and one app. It starts the app, starts it again when it dies,
//! rotates its logs and passes SIGTERM on. It listens to nobody and knows nothing of releases.
//!
//! The app does not depend on it: killed, the shim leaves the app running with its own log files, and another shim
//! takes over (see [`super::detached`]).

use super::{
    group,
    record::{Known, Order, Record, State, make_private_dir},
    rotate,
};
use safelight_engine::driver::host::{HostError, HostErrorKind};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::{
        fs::OpenOptionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// First pause before an app that died is started again; doubles up to [`BACKOFF_MAX`].
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// An app that lived this long starts with the first pause again.
const LIVED_WELL: Duration = Duration::from_secs(30);
/// Time for what a dead app left in its group to end, before it is killed: it may hold the port.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// Time between two looks at the size of the logs.
const TICK: Duration = Duration::from_secs(1);
/// Time between two looks at an app that another shim started.
const ADOPTED_TICK: Duration = Duration::from_millis(100);

/// Runs the shim for the process recorded in `dir`, until its app was told to end. The program that calls this does
/// nothing else: `safelight detached-shim DIR`.
#[must_use]
pub fn main(dir: &Path) -> ExitCode {
    // A session of its own: no terminal, and no signal meant for the daemon's group. Fails only for a group leader,
    // which has what it needs already.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(supervise(&Record(dir.to_owned()))),
        Err(e) => Err(e),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("safelight shim for {}: {e}", dir.display()));
            ExitCode::FAILURE
        }
    }
}

struct Signals {
    /// Somebody asks to end the app.
    term: Signal,
    /// A child has ended.
    child: Signal,
}

/// The app while it runs.
struct App {
    known: Known,
    /// `None` for one that another shim started.
    child: Option<Child>,
    since: Instant,
}

async fn supervise(record: &Record) -> io::Result<()> {
    // First of all, so that a stop that comes early is not lost. A hangup is nothing to a detached process.
    let mut signals = Signals { term: signal(SignalKind::terminate())?, child: signal(SignalKind::child())? };
    let _int = signal(SignalKind::interrupt())?;
    let _hup = signal(SignalKind::hangup())?;
    let Some(order) = record.order()? else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is no spec.json"));
    };
    let Some(_lock) = own(record).await? else {
        // Another shim already looks after this process.
        return Ok(());
    };
    let mut shim = Shim { record, order, state: record.state()?, dirty: false };
    // Looked for before this shim takes the place of the one that started it.
    let adopted = shim.state.app_now();
    shim.state.shim = Known::now(std::process::id());
    shim.state.app = adopted.clone().or(shim.state.app);
    shim.state.failed = None;
    shim.save();

    let mut backoff = BACKOFF_FIRST;
    let mut app = match adopted {
        Some(known) => App { known, child: None, since: Instant::now() },
        None => match shim.start() {
            Ok(app) => app,
            Err(e) => {
                shim.state.failed = Some((HostError::io("", &e).kind, e.to_string()));
                record.write_state(&shim.state)?;
                return Err(e);
            }
        },
    };
    loop {
        if shim.watch(&app, &mut signals).await {
            return shim.end(app).await;
        }
        group::end(&app.known, LEFTOVER_GRACE).await;
        shim.state.last_exit = Some(match app.child.as_mut().map(Child::wait) {
            Some(Ok(status)) => describe(status),
            Some(Err(e)) => format!("ended, how is unknown: {e}"),
            None => "ended, how is unknown: it was started by another shim".to_owned(),
        });
        shim.save();
        if app.since.elapsed() >= LIVED_WELL {
            backoff = BACKOFF_FIRST;
        }
        app = loop {
            tokio::select! {
                _ = signals.term.recv() => return Ok(()),
                () = sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
            shim.state.restarts += 1;
            match shim.start() {
                Ok(app) => break app,
                Err(e) => {
                    shim.state.last_exit = Some(format!("cannot be started: {e}"));
                    shim.save();
                }
            }
        };
    }
}

/// Takes the lock that makes this the one shim of the process. Waits a little: a shim that was just killed may hold it
/// for a moment still.
async fn own(record: &Record) -> io::Result<Option<File>> {
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(record.lock_path())?;
    for _ in 0..100 {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => sleep(Duration::from_millis(20)).await,
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(None)
}

/// To the shim's own log; on a full disk to nobody, which must not end the shim (`eprintln!` would).
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

struct Shim<'a> {
    record: &'a Record,
    order: Order,
    state: State,
    /// The state on disk is older than this one.
    dirty: bool,
}

impl Shim<'_> {
    /// Writes the state; on failure (a full disk) it is tried again at every tick, and the app keeps running.
    fn save(&mut self) {
        self.dirty = match self.record.write_state(&self.state) {
            Ok(()) => false,
            Err(e) => {
                complain(&format!("cannot write the state of {}: {e}", self.order.spec.name));
                true
            }
        };
    }

    fn start(&mut self) -> io::Result<App> {
        let spec = &self.order.spec;
        let logs = super::log_files(&spec.log_dir, &spec.name);
        make_private_dir(&spec.log_dir)?;
        let open = |path: &Path| fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path);
        let mut command = Command::new(&self.order.program);
        if let Some(name) = spec.argv.first() {
            command.arg0(name);
        }
        let mut child = command
            .args(spec.argv.iter().skip(1))
            .env_clear()
            .envs(&spec.env)
            .current_dir(&spec.cwd)
            .stdin(Stdio::null())
            .stdout(open(&logs.stdout)?)
            .stderr(open(&logs.stderr)?)
            .process_group(0)
            .spawn()?;
        // Not collected yet, so the number is its own even if it has ended already.
        let Some(known) = Known::now(child.id()) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other("/proc does not show the new process"));
        };
        self.state.app = Some(known.clone());
        self.save();
        Ok(App { known, child: Some(child), since: Instant::now() })
    }

    /// Waits until the app has ended (false) or is to be ended (true). Looks after the logs meanwhile.
    async fn watch(&mut self, app: &App, signals: &mut Signals) -> bool {
        // The end of a child is signalled; that of an adopted app can only be looked for.
        let pause = if app.child.is_some() { TICK } else { ADOPTED_TICK };
        let mut next_tick = Instant::now() + TICK;
        while app.known.alive() {
            tokio::select! {
                _ = signals.term.recv() => return true,
                _ = signals.child.recv() => {}
                () = sleep(pause) => {}
            }
            if Instant::now() >= next_tick {
                next_tick = Instant::now() + TICK;
                if self.dirty {
                    self.save();
                }
                self.rotate_logs();
            }
        }
        false
    }

    fn rotate_logs(&self) {
        let logs = super::log_files(&self.order.spec.log_dir, &self.order.spec.name);
        for path in [&logs.stdout, &logs.stderr] {
            if let Err(e) = rotate::rotate(path, &self.order.logs) {
                complain(&format!("cannot rotate {}: {e}", path.display()));
            }
        }
    }

    /// Ends the app because somebody asked for it.
    async fn end(&mut self, mut app: App) -> io::Result<()> {
        let grace = self.record.stop_millis().map_or(self.order.spec.stop_timeout, Duration::from_millis);
        let gone = group::end(&app.known, grace).await;
        if let Some(child) = app.child.as_mut()
            && gone
        {
            self.state.last_exit = Some(describe(child.wait()?));
        }
        self.record.write_state(&self.state)
    }
}

/// An exit status in words: `exit status 1`, `signal 9`.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The error that a shim left behind when it could not start the app.
pub(super) fn start_error(name: &str, program: &Path, kind: HostErrorKind, detail: &str) -> HostError {
    HostError::new(kind, format!("start {name}: {}", program.display()), detail)
}
