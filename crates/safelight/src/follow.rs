//! Follows a run to its end: shows events, survives a restart of the daemon, and turns Ctrl-C into what the user means.

use crate::{
    Global,
    busy::{BEAT, Busy},
    error::{CommandError, Kind},
    live::Live,
    local,
    output::{Format, Output},
};
use safelight_engine::{
    event::{Event, EventKind},
    plan::Action,
    report::{Report, terminal},
    run::RunEnd,
    text::{Lang, Text},
    verdict::Decision,
};
use safelight_host::{
    api::{RunOrder, RunRequest},
    client::HostClient,
};
use std::{future::Future, path::PathBuf, pin::pin, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

/// How to follow.
pub(crate) struct Follow<'f> {
    pub(crate) client: &'f HostClient,
    pub(crate) run: &'f str,
    pub(crate) who: String,
    /// Leave once the release is committed; the watch goes on in the host.
    pub(crate) leave_at_commit: bool,
    /// Show every finding.
    pub(crate) verbose: bool,
    /// The run began long before this moment: what is past is not shown again, and an end in it (of an undo that
    /// was stuck) is not the end of what is being done now.
    pub(crate) late: Option<jiff::Timestamp>,
    /// Where to write the HTML report at the end.
    pub(crate) report_dir: Option<PathBuf>,
}

/// An open run that a command joins.
pub(crate) struct Joined {
    pub(crate) client: HostClient,
    pub(crate) run: String,
    pub(crate) who: String,
    project: PathBuf,
    /// When it was joined: what an order leads to comes after.
    since: jiff::Timestamp,
}

impl Joined {
    /// The named run, or the open one of this project's app and environment.
    pub(crate) async fn find(named: Option<&str>, g: &Global, out: &Output) -> Result<Self, CommandError> {
        let project = local::project(&g.dir)?;
        let (config, _) = safelight_host::runs::load_config(&project)?;
        let client = local::daemon(out).await?;
        let run = local::open_run(&client, named, (&config.app.name, &g.env), &project).await?;
        Ok(Self { client, run, who: local::who(), project, since: jiff::Timestamp::now() })
    }

    /// The order to resume or abort it.
    pub(crate) fn order(&self, forget: bool) -> RunOrder {
        RunOrder { who: self.who.clone(), forget }
    }

    /// Follows it from now on.
    pub(crate) async fn follow(&self, out: &Output) -> Result<u8, CommandError> {
        let how = Follow {
            client: &self.client,
            run: &self.run,
            who: self.who.clone(),
            leave_at_commit: false,
            verbose: false,
            late: Some(self.since),
            report_dir: Some(self.project.join("safelight-reports")),
        };
        follow(how, Interrupts::listen()?, out).await
    }
}

/// Ctrl-C, heard from before the host is asked until the end: one listener for all of it, as between two of them one
/// would be lost, and without any it would end the command and leave the run to its lease.
pub(crate) struct Interrupts {
    signal: Signal,
    seen: u32,
}

impl Interrupts {
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let signal = signal(SignalKind::interrupt()).map_err(|e| CommandError::io("Ctrl-C", &e))?;
        Ok(Self { signal, seen: 0 })
    }

    async fn next(&mut self) -> u32 {
        self.signal.recv().await;
        self.seen += 1;
        self.seen
    }
}

/// Asks the host to begin a run. `None`: interrupted, and the host has begun nothing.
pub(crate) async fn begin(
    client: &HostClient,
    request: &RunRequest,
    interrupts: &mut Interrupts,
    out: &Output,
) -> Result<Option<String>, CommandError> {
    let _busy = Busy::with(out, &Text::new("the host plans the run", "主机正在制定计划"));
    let mut asked = pin!(client.begin(request));
    loop {
        tokio::select! {
            started = &mut asked => return match started {
                Ok(started) => Ok(Some(started.run)),
                Err(e) if interrupts.seen > 0 => {
                    out.error(&e.into());
                    Ok(None)
                }
                Err(e) => Err(e.into()),
            },
            seen = interrupts.next() => {
                if seen > 1 {
                    return Err(CommandError::open(Text::new(
                        "left while the host was being asked; it may have begun a run",
                        "在等待主机答复时离开；主机可能已开始运行",
                    ))
                    .with_help(Text::new(
                        "`safelight status` shows it, `safelight abort` takes it back",
                        "用 `safelight status` 查看，`safelight abort` 撤销",
                    )));
                }
                out.say(word(
                    out.lang,
                    "interrupted: what the host begins is taken back as soon as it answers (Ctrl-C again to leave)",
                    "已中断：主机答复后立即撤销（再按一次 Ctrl-C 离开）",
                ));
            }
        }
    }
}

/// Waits for `what`, and goes on saying what the run is at.
async fn while_speaking<T>(live: &mut Live<'_>, what: impl Future<Output = T>) -> T {
    let mut what = pin!(what);
    loop {
        tokio::select! {
            done = &mut what => return done,
            () = tokio::time::sleep(BEAT) => live.tick(),
        }
    }
}

/// Follows to the end; returns the exit code.
pub(crate) async fn follow(
    f: Follow<'_>,
    mut interrupts: Interrupts,
    out: &Output,
) -> Result<u8, CommandError> {
    let mut live = Live::new(out, f.run, f.verbose);
    let mut events: Vec<Event> = Vec::new();
    let mut committed = false;
    let mut lost: Option<Instant> = None;
    if interrupts.seen > 0 {
        take_back(&f).await?;
    }
    'connect: loop {
        let after = events.last().map_or(0, |e| e.seq);
        let asked = f.client.events(f.run, after, true);
        let mut stream = match while_speaking(&mut live, asked).await {
            Ok(s) => s,
            Err(e) => {
                live.lost(true);
                let since = *lost.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_secs(30) {
                    return Err(CommandError { kind: Kind::Open, ..e.into() });
                }
                while_speaking(&mut live, tokio::time::sleep(Duration::from_millis(200))).await;
                continue;
            }
        };
        if lost.take().is_some() {
            live.lost(false);
            live.say(word(
                out.lang,
                "the host daemon is back; going on with the run",
                "主机守护进程已恢复，继续运行",
            ));
            // It is going on already when it was the watch; asking again does no harm.
            let _ = f.client.resume(f.run, &RunOrder { who: f.who.clone(), forget: false }).await;
            continue;
        }
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                e = stream.next() => {
                    let Some(e) = e else {
                        // The run ended, the daemon went away, or the run waits for somebody.
                        let stuck = events.last().is_some_and(|e| matches!(e.kind, EventKind::RunEnded { .. }));
                        match ended_or_waiting(&f, &events).await {
                            State::Ended => break 'connect,
                            State::Waiting if stuck => break 'connect,
                            State::Waiting => return Err(waiting(f.run)),
                            State::Gone => {
                                lost = Some(Instant::now());
                                continue 'connect;
                            }
                        }
                    };
                    // Whoever joins later is told what the run is, and then what happens from now on.
                    let past = f.late.is_some_and(|since| e.at < since);
                    if !past || matches!(e.kind, EventKind::RunStarted { .. }) {
                        live.event(&e);
                    } else {
                        live.catch_up(&e);
                    }
                    committed |= is_commit(&events, &e);
                    let end = !past && matches!(e.kind, EventKind::RunEnded { .. });
                    events.push(e);
                    if end {
                        break 'connect;
                    }
                    if committed && f.leave_at_commit {
                        live.say(word(out.lang, "the watch goes on in the host daemon; `safelight watch` follows it", "观察在主机守护进程中继续；可用 `safelight watch` 跟踪"));
                        return Ok(0);
                    }
                }
                _ = beat.tick() => live.tick(),
                seen = interrupts.next() => {
                    if committed || seen > 1 {
                        // The watch needs nobody; what is being taken back may yet need somebody.
                        let code = if committed { 130 } else { 4 };
                        live.say(word(out.lang, "left; the host daemon goes on by itself. `safelight watch` follows, `safelight abort` takes back", "已离开；主机守护进程会继续。`safelight watch` 跟踪，`safelight abort` 撤销"));
                        return Ok(code);
                    }
                    live.say(word(out.lang, "interrupted: taking everything back (Ctrl-C again to leave; the host goes on)", "已中断：正在撤销（再按一次 Ctrl-C 离开，主机会继续撤销）"));
                    take_back(&f).await?;
                }
            }
        }
    }
    finish(&f, out, &events, interrupts.seen > 0)
}

/// What Ctrl-C asks for.
async fn take_back(f: &Follow<'_>) -> Result<(), CommandError> {
    let order = RunOrder { who: format!("{} (Ctrl-C)", f.who), forget: false };
    f.client.abort(f.run, &order).await.map_err(|e| CommandError { kind: Kind::Open, ..e.into() })
}

enum State {
    Ended,
    Waiting,
    Gone,
}

async fn ended_or_waiting(f: &Follow<'_>, events: &[Event]) -> State {
    match f.client.runs().await {
        Ok(runs) => match runs.iter().find(|r| r.run == f.run) {
            Some(r) if r.ended.is_some() => State::Ended,
            Some(r) if !r.active && !events.is_empty() => State::Waiting,
            _ => State::Gone,
        },
        Err(_) => State::Gone,
    }
}

fn waiting(run: &str) -> CommandError {
    CommandError::open(safelight_engine::text!(
        "run {run} is interrupted and waits",
        "运行 {run} 已中断，正在等待"
    ))
    .with_help(Text::new(
        "`safelight resume` goes on, `safelight abort` takes back",
        "`safelight resume` 继续，`safelight abort` 撤销",
    ))
}

fn word(lang: Lang, en: &'static str, zh: &'static str) -> &'static str {
    if lang == Lang::Zh { zh } else { en }
}

fn is_commit(events: &[Event], e: &Event) -> bool {
    let EventKind::StepDone { step, .. } = &e.kind else { return false };
    let Some(EventKind::RunStarted { plan }) = events.first().map(|e| &e.kind) else { return false };
    plan.step(*step).is_some_and(|s| s.action == Action::Commit)
}

fn finish(f: &Follow<'_>, out: &Output, events: &[Event], interrupted: bool) -> Result<u8, CommandError> {
    let Some(report) = Report::of_run(events) else { return Ok(4) };
    if out.format == Format::Human {
        out.say(&terminal::closing(&report, out.progress_style()));
    } else if out.format != Format::Json {
        out.report(&report);
    }
    if let Some(dir) = &f.report_dir {
        let path = dir.join(format!("{}.html", f.run));
        let html = safelight_engine::report::html::render(&report, out.lang);
        match report_dir(dir).and_then(|()| local::write_private(&path, html.as_bytes())) {
            Ok(()) => out.say(&format!("{} {}", word(out.lang, "report:", "报告："), path.display())),
            Err(e) => out.say(&format!("{}: {e}", path.display())),
        }
    }
    Ok(match (&report.end, interrupted) {
        (Some(RunEnd::Undone { .. }), true) => 130,
        _ => exit_code(&report),
    })
}

/// Makes the directory of reports, and has git ignore it: the next deploy would be refused for a file that this one
/// left in the working copy.
fn report_dir(dir: &std::path::Path) -> std::io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join(".gitignore"), "*\n")
}

/// The public meaning of a run's end.
pub(crate) fn exit_code(report: &Report) -> u8 {
    match &report.end {
        Some(RunEnd::Done { .. }) => 0,
        Some(RunEnd::Undone { untouched: true, .. }) => {
            let unknown = report.verdict.as_ref().is_some_and(|v| v.decision == Decision::Inconclusive);
            if unknown { 5 } else { 1 }
        }
        Some(RunEnd::Undone { .. }) => 3,
        Some(RunEnd::NeedsPerson { .. }) | None => 4,
    }
}
