//! Progress as it happens: a moving line on a terminal, plain lines elsewhere, JSON lines on request.
//! Nothing is silent for more than two seconds.

use crate::{
    busy::QUIET,
    output::{Format, Output},
};
use indicatif::{ProgressBar, ProgressStyle};
use safelight_engine::{
    event::{Event, EventKind},
    plan::{Plan, PlanKind, UndoPlan},
    report::{duration, terminal},
    text::{Lang, Text},
};
use std::time::{Duration, Instant};

/// What a run is at, as far as its events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Carrying a step out.
    Step(u32),
    /// Taking a step back.
    Undo(u32),
    /// Between two steps, or before the first.
    Between,
    /// The daemon does not answer.
    Lost,
}

/// Shows the events of one run.
pub(crate) struct Live<'o> {
    out: &'o Output,
    plan: Option<Plan>,
    bar: Option<ProgressBar>,
    at: At,
    since: Instant,
    last: Instant,
    run: String,
    verbose: bool,
}

impl<'o> Live<'o> {
    pub(crate) fn new(out: &'o Output, run: &str, verbose: bool) -> Self {
        let bar = (out.live && out.format != Format::Json).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner:.red} {msg} {elapsed:.dim}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let (now, run) = (Instant::now(), run.to_owned());
        Self { out, plan: None, bar, at: At::Between, since: now, last: now, run, verbose }
    }

    /// A line above the one that moves.
    pub(crate) fn say(&mut self, line: &str) {
        self.last = Instant::now();
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.say(line)),
            None => self.out.say(line),
        }
    }

    fn now_at(&mut self, at: At) {
        if self.at != at {
            self.at = at;
            self.since = Instant::now();
        }
    }

    fn message(&self, m: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(m);
        }
    }

    fn title(&self, step: u32) -> String {
        let step = self.plan.as_ref().and_then(|p| p.step(step));
        step.map(|s| format!("{} {}", terminal::pad(self.out.t(&s.phase.word()), 10), self.out.t(&s.title)))
            .unwrap_or_default()
    }

    /// True for steps whose undo is not worth a line.
    fn needs_no_undo(&self, step: u32) -> bool {
        let step = self.plan.as_ref().and_then(|p| p.step(step));
        step.is_some_and(|s| matches!(s.undo, UndoPlan::NothingToDo))
    }

    /// Called again and again: says what the run is at when nothing was said for a while.
    pub(crate) fn tick(&mut self) {
        if self.bar.is_some() || self.last.elapsed() < QUIET {
            return;
        }
        if self.out.format == Format::Json {
            self.heartbeat();
            return;
        }
        let what = match self.at {
            At::Step(step) => self.title(step),
            At::Undo(step) => format!("↶ {}", self.title(step)),
            At::Between => self.out.t(&Text::new("the run goes on", "运行仍在进行")).to_owned(),
            At::Lost => self.out.t(&Text::new("waiting for the host daemon", "等待主机守护进程")).to_owned(),
        };
        let s = self.since.elapsed().as_secs();
        let unit = if self.out.lang == Lang::Zh { "秒" } else { "s" };
        self.say(&format!("  … {what} ({s} {unit})"));
    }

    /// The sign of life for programs. It is no event of the run: it has no number and is not stored.
    fn heartbeat(&mut self) {
        self.last = Instant::now();
        let (doing, step) = match self.at {
            At::Step(step) => ("step", Some(step)),
            At::Undo(step) => ("undo", Some(step)),
            At::Between => ("between", None),
            At::Lost => ("lost", None),
        };
        let line = serde_json::json!({
            "event": "heartbeat",
            "at": jiff::Timestamp::now(),
            "run": self.run,
            "doing": doing,
            "step": step,
            "elapsed_s": self.since.elapsed().as_secs(),
        });
        self.out.line(&line.to_string());
    }

    /// The daemon has gone, or is back.
    pub(crate) fn lost(&mut self, lost: bool) {
        match (lost, self.at) {
            (true, _) => self.now_at(At::Lost),
            // What it is at now is told by the next event.
            (false, At::Lost) => self.now_at(At::Between),
            (false, _) => {}
        }
    }

    /// What the event says about where the run is.
    fn track(&mut self, e: &Event) {
        match &e.kind {
            EventKind::StepStarted { step } => self.now_at(At::Step(*step)),
            EventKind::StepUndoStarted { step } => self.now_at(At::Undo(*step)),
            EventKind::StepDone { .. }
            | EventKind::StepFailed { .. }
            | EventKind::StepWarned { .. }
            | EventKind::UndoStarted { .. }
            | EventKind::StepUndone { .. }
            | EventKind::UndoFailed { .. }
            | EventKind::RunEnded { .. } => self.now_at(At::Between),
            _ => {}
        }
    }

    /// Takes in a past event without showing it.
    pub(crate) fn catch_up(&mut self, e: &Event) {
        self.track(e);
        if let At::Step(step) | At::Undo(step) = self.at {
            self.message(self.title(step));
        }
    }

    pub(crate) fn event(&mut self, e: &Event) {
        self.track(e);
        if self.out.format == Format::Json {
            self.last = Instant::now();
            if let Ok(line) = serde_json::to_string(e) {
                self.out.line(&line);
            }
            return;
        }
        let style = self.out.progress_style();
        let zh = self.out.lang == Lang::Zh;
        match &e.kind {
            EventKind::RunStarted { plan } => {
                let verb = match (plan.kind, zh) {
                    (PlanKind::Deploy, false) => "deploying",
                    (PlanKind::Deploy, true) => "部署",
                    (PlanKind::Rollback, false) => "rolling back to",
                    (PlanKind::Rollback, true) => "回滚到",
                };
                let (app, env, rev, id, run) =
                    (&plan.app, &plan.env, &plan.to.revision, &plan.to.id, &plan.run);
                self.say(&format!(
                    "{} {app} · {env} · {rev} · {id}  {}",
                    style.paint("1", verb),
                    style.paint("90", run)
                ));
                self.plan = Some(plan.clone());
            }
            EventKind::RunResumed { who, undoing } => {
                let what = match (undoing, zh) {
                    (false, false) => "resumed by",
                    (false, true) => "继续，操作者",
                    (true, false) => "undo resumed by",
                    (true, true) => "继续撤销，操作者",
                };
                self.say(&style.paint("36", &format!("{what} {who}")));
            }
            EventKind::Checked { finding } => {
                if self.verbose
                    || finding.outcome.blocks()
                    || finding.outcome == safelight_engine::finding::Outcome::Warn
                {
                    self.say(&format!("  {}", terminal::finding(finding, style, self.verbose)));
                }
            }
            EventKind::Decided { verdict, .. } => {
                let code = if verdict.may_go() { "1;32" } else { "1;31" };
                let c = verdict.counts;
                let counts = if zh {
                    format!(
                        "{} 通过，{} 警告，{} 失败，{} 未知，{} 跳过",
                        c.pass, c.warn, c.fail, c.unknown, c.skipped
                    )
                } else {
                    format!(
                        "{} pass, {} warn, {} fail, {} unknown, {} skipped",
                        c.pass, c.warn, c.fail, c.unknown, c.skipped
                    )
                };
                self.say(&format!("  {}  {counts}", style.paint(code, self.out.t(&verdict.word()))));
            }
            EventKind::StepStarted { step } => {
                if let Some(bar) = &self.bar {
                    bar.reset_elapsed();
                }
                self.message(self.title(*step));
            }
            EventKind::Progress { step, message } => {
                let text = self.out.t(message).to_owned();
                if self.bar.is_some() && *step != 0 {
                    self.message(format!("{} · {}", self.title(*step), text.lines().next().unwrap_or("")));
                } else {
                    self.say(&format!("    {text}"));
                }
            }
            EventKind::Output { line, .. } if line.trim().is_empty() => {}
            EventKind::Output { line, .. } => {
                self.say(&style.paint("90", &format!("    │ {line}")));
            }
            EventKind::Journey { result, .. } => {
                let mark = if result.ok { style.paint("32", "✓") } else { style.paint("31", "✗") };
                self.say(&format!(
                    "    {mark} {} ({}, {})",
                    result.name,
                    result.steps,
                    duration(result.millis)
                ));
            }
            EventKind::StepDone { step, millis, summary } => {
                let (title, text) = (self.title(*step), self.out.t(summary).to_owned());
                self.say(&format!(
                    "{} {title} {}",
                    style.paint("32", "✓"),
                    style.paint("90", &format!("· {text} · {}", duration(*millis)))
                ));
            }
            EventKind::StepFailed { step, millis, error, help } => {
                let title = self.title(*step);
                self.say(&format!(
                    "{} {title} {}",
                    style.paint("31", "✗"),
                    style.paint("90", &duration(*millis))
                ));
                for line in self.out.t(error).to_owned().lines() {
                    self.say(&format!("    {}", style.paint("31", line)));
                }
                if let Some(h) = help {
                    self.say(&format!("    {} {}", style.paint("36", "→"), self.out.t(h)));
                }
            }
            EventKind::StepWarned { step, error } => {
                let title = self.title(*step);
                self.say(&format!("{} {title} · {}", style.paint("33", "!"), self.out.t(error)));
            }
            EventKind::UndoStarted { .. } => {
                let word = if zh { "撤销" } else { "undoing" };
                self.say(&style.paint("1;33", word));
                self.message(word.to_owned());
            }
            EventKind::StepUndoStarted { step } => self.message(format!("↶ {}", self.title(*step))),
            EventKind::StepUndone { step, .. } if self.needs_no_undo(*step) => {}
            EventKind::StepUndone { step, millis, summary } => {
                let title = self.title(*step);
                let text = self.out.t(summary).to_owned();
                self.say(&format!(
                    "{} {title} {}",
                    style.paint("33", "↶"),
                    style.paint("90", &format!("· {text} · {}", duration(*millis)))
                ));
            }
            EventKind::UndoFailed { step, error } => {
                let title = self.title(*step);
                self.say(&format!("{} {title} · {}", style.paint("1;31", "✗"), self.out.t(error)));
            }
            EventKind::Looked { look, breaches } => self.looked(look, breaches),
            EventKind::RunEnded { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }

    fn looked(&mut self, look: &safelight_engine::watch::Look, breaches: &[safelight_engine::watch::Breach]) {
        let style = self.out.progress_style();
        let zh = self.out.lang == Lang::Zh;
        let (requests, errors) =
            look.services.iter().fold((0, 0), |(r, e), s| (r + s.requests, e + s.errors));
        let left = look.total_s.saturating_sub(look.elapsed_s);
        let p95 = look.services.iter().filter_map(|s| s.p95_ms).fold(0.0_f64, f64::max);
        let line = if zh {
            format!("观察中 · 剩余 {left} 秒 · {requests} 个请求，{errors} 个失败 · p95 {p95:.0} 毫秒")
        } else {
            format!("watching · {left} s left · {requests} requests, {errors} failed · p95 {p95:.0} ms")
        };
        if self.bar.is_some() {
            self.message(line);
        } else if self.last.elapsed() >= QUIET {
            self.say(&format!("  … {line}"));
        }
        for b in breaches.iter().filter(|b| !b.undoes && b.in_a_row == 1) {
            self.say(&format!("  {} {}", style.paint("33", "!"), self.out.t(&b.what)));
        }
        for b in breaches.iter().filter(|b| b.undoes) {
            self.say(&format!(
                "  {} {} ({}/{})",
                style.paint("31", "●"),
                self.out.t(&b.what),
                b.in_a_row,
                b.of
            ));
        }
        // What undoes when it lasts is among the breaches.
        for b in look.blind.iter().filter(|b| !b.undoes()) {
            self.say(&format!("  {} {}", style.paint("35", "??"), self.out.t(&b.why)));
        }
    }
}
