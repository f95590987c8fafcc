//! The watch: looks again and again, and says when it has seen enough.
//! Trouble in one look is something that this look did not see, never a failed step: see [`Blind`].

use super::{
    Applied, HostWorld, Record, StepError, failed, redact, resources::Readings, secret_values,
    stage::remove_file,
};
use crate::{
    logs::Follower,
    paths::write_whole,
    watching::{difference, quantiles_ms, together, without_own},
};
use safelight_engine::{
    driver::{
        process::ProcessState,
        traffic::{ServiceCounts, VersionCounts},
    },
    event::EventKind,
    run::{executor::Stop, journal::RunState},
    text::Text,
    watch::{Baseline, Blind, Breach, Look, ServiceLook, Watcher, decisive},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tokio::time::Instant;

/// What the watch remembers between looks, on disk: a restarted host goes on where it was.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    began: Option<jiff::Timestamp>,
    watcher: Watcher,
    counts: BTreeMap<String, ServiceCounts>,
    /// Requests of users that came while journeys ran: part of the next look.
    meanwhile: BTreeMap<String, VersionCounts>,
    logs: BTreeMap<String, Follower>,
    restarts: BTreeMap<String, u32>,
    journeys_at: Option<jiff::Timestamp>,
    host: Readings,
}

/// What one look has found of the logs, and could not find.
#[derive(Default)]
struct Seen {
    severe_lines: u64,
    severe_sample: Option<String>,
    blind: Vec<Blind>,
}

impl Seen {
    fn not(&mut self, signal: impl Into<String>, why: Text) {
        self.blind.push(Blind { signal: signal.into(), why });
    }
}

impl HostWorld {
    fn memory_path(&self, run: &RunState) -> PathBuf {
        self.ctx.dirs.run().join(format!("{}.watch.json", run.plan.run))
    }

    pub(super) async fn watch(&self, run: &RunState, stop: &Stop) -> Applied {
        let limits = &self.ctx.config.watch;
        let path = self.memory_path(run);
        let mut memory: Memory = tokio::fs::read(&path)
            .await
            .ok()
            .and_then(|b| serde_json::from_slice(&b).ok())
            .unwrap_or_default();
        let now = jiff::Timestamp::now();
        let began = *memory.began.get_or_insert(now);
        let baseline = Baseline {
            latency: Self::promotions(run).into_iter().filter_map(|(s, p)| Some((s, p.latency?))).collect(),
        };
        let mut looks = 0_u64;
        loop {
            let next = Instant::now() + limits.every.0;
            let elapsed = jiff::Timestamp::now().duration_since(began);
            let elapsed = Duration::try_from(elapsed).unwrap_or_default();
            let look = self.look_once(run, &mut memory, elapsed).await;
            let breaches = memory.watcher.look(&look, &baseline, limits);
            looks += 1;
            (self.emit)(EventKind::Looked { look, breaches: breaches.clone() });
            if let Ok(bytes) = serde_json::to_vec(&memory) {
                // Losing this only costs the count of looks in a row; a full disk must not end the watch.
                let _ = write_whole(&path, &bytes);
            }
            if let Some(b) = decisive(&breaches) {
                return Err(self.undoing(run, b).await);
            }
            // One that cannot see, or that counts a fault, does not end as passed: it clears up, or the deploy is undone.
            if memory.watcher.may_end(elapsed, limits) {
                remove_file(&path).map_err(failed)?;
                let span = limits.duration;
                let (en, zh) = (memory.watcher.evidence().en, memory.watcher.evidence().zh);
                return Ok((
                    Record::Null,
                    safelight_engine::text!(
                        "{span} and {looks} looks without a lasting fault; {en}",
                        "{span} 内观察 {looks} 次，没有持续异常；{zh}"
                    ),
                ));
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = stop.wait() => return Err(StepError::new(stop.reason())),
            }
        }
    }

    /// Why the watch undoes. What a service wrote last is part of it when that service failed: once users are back on the
    /// release before, nobody finds it any more.
    async fn undoing(&self, run: &RunState, b: &Breach) -> StepError {
        let e = breach(b);
        let Some(("errors" | "process", service)) = b.signal.split_once(':') else { return e };
        let Some(words) = self.last_words_of(run, service).await else { return e };
        let (tail, (en, zh)) = (words.shown(), words.whole());
        StepError::new(Text::new(format!("{}\n{tail}", e.what.en), format!("{}\n{tail}", e.what.zh)))
            .with_help(safelight_engine::text!(
                "the last lines that {service} wrote stand above{en}",
                "上面是 {service} 最后输出的几行{zh}"
            ))
    }

    async fn look_once(&self, run: &RunState, memory: &mut Memory, elapsed: Duration) -> Look {
        let mut seen = Seen::default();
        let mut services = Vec::new();
        let release = &run.plan.to.id;
        let secrets = self.secrets_to_hide(run).await;
        for s in &self.ctx.config.services {
            let mut look = self.requests_look(&s.name, release, s.path.is_some(), memory, &mut seen).await;
            let name = self.ctx.process_name(&s.name, release);
            self.process_look(&name, &mut look, memory, &mut seen).await;
            self.logs_look(&name, secrets.as_deref(), memory, &mut seen).await;
            services.push(look);
        }
        let now = jiff::Timestamp::now();
        let due = memory.journeys_at.is_none_or(|t| {
            Duration::try_from(now.duration_since(t)).unwrap_or_default()
                >= self.ctx.config.watch.journeys_every.0
        });
        let journeys = if due {
            memory.journeys_at = Some(now);
            let (results, own) = self.watch_journeys(&mut seen).await;
            self.leave_out(own, release, memory).await;
            Some(results)
        } else {
            None
        };
        let host = self.host_look(run, &mut memory.host, &mut seen.blind).await;
        Look {
            at: now,
            elapsed_s: elapsed.as_secs(),
            total_s: self.ctx.config.watch.duration.0.as_secs(),
            services,
            severe_lines: seen.severe_lines,
            severe_sample: seen.severe_sample,
            journeys,
            cpu_percent: host.cpu,
            memory_percent: host.memory,
            disk_free_percent: host.disk_free,
            resources: host.judged,
            blind: seen.blind,
        }
    }

    /// Values that must not be shown; `None` when they cannot be read, and then no line of a log is shown.
    async fn secrets_to_hide(&self, run: &RunState) -> Option<Vec<String>> {
        let release = self.new_release(run).ok()?;
        Some(secret_values(&self.env_of(&release).await.ok()?, std::iter::empty()))
    }

    async fn requests_look(
        &self,
        service: &str,
        release: &str,
        routed: bool,
        memory: &mut Memory,
        seen: &mut Seen,
    ) -> ServiceLook {
        let mut look = ServiceLook {
            service: service.to_owned(),
            running: true,
            counted: routed,
            ..ServiceLook::default()
        };
        if !routed {
            return look;
        }
        let counts = match self.ctx.traffic.counts(&self.ctx.route_name(), service).await {
            Ok(c) => c,
            Err(e) => {
                seen.not(format!("requests:{service}"), Text::same(e.to_string()));
                return look;
            }
        };
        // The first look sets the zero: what came before the watch belongs to the dark test and the switch.
        let Some(d) = since(memory, service, release, counts) else { return look };
        let d = memory.meanwhile.remove(service).map_or_else(|| d.clone(), |m| together(&d, &m));
        look.requests = d.requests;
        look.errors = (d.server_errors + d.upstream_failures).min(d.requests.max(d.upstream_failures));
        if let Some((p50, p95)) = quantiles_ms(&d.latency_buckets) {
            (look.p50_ms, look.p95_ms) = (Some(p50), Some(p95));
        }
        look.latency_buckets = d.latency_buckets;
        look
    }

    /// Counts anew from here, without the watch's own requests.
    async fn leave_out(&self, own: u64, release: &str, memory: &mut Memory) {
        for s in self.ctx.config.services.iter().filter(|s| s.path.is_some()) {
            // Without an answer they stay in the next look: that is no harm.
            if let Ok(counts) = self.ctx.traffic.counts(&self.ctx.route_name(), &s.name).await
                && let Some(during) = since(memory, &s.name, release, counts)
            {
                memory.meanwhile.insert(s.name.clone(), without_own(during, own));
            }
        }
    }

    async fn process_look(&self, name: &str, look: &mut ServiceLook, memory: &mut Memory, seen: &mut Seen) {
        match self.ctx.manager.status(name).await {
            Ok(p) => {
                let restarts = p.as_ref().map_or(0, |p| p.restarts);
                let before = *memory.restarts.entry(look.service.clone()).or_insert(restarts);
                look.restarts = restarts.saturating_sub(before);
                look.running = p.is_some_and(|p| p.state != ProcessState::Stopped);
            }
            Err(e) => seen.not(format!("process:{}", look.service), Text::same(e.to_string())),
        }
    }

    async fn logs_look(&self, name: &str, secrets: Option<&[String]>, memory: &mut Memory, seen: &mut Seen) {
        let files = match self.ctx.manager.logs(name).await {
            Ok(Some(files)) => files,
            // No process: that is a signal of its own.
            Ok(None) => return,
            Err(e) => return seen.not("logs", Text::same(e.to_string())),
        };
        let patterns = match regex::RegexSet::new(&self.ctx.config.watch.severe_log_patterns) {
            Ok(p) => p,
            // Refused when the configuration is read, but for one that an earlier Safelight began with.
            Err(e) => return seen.not("logs", Text::same(e.to_string())),
        };
        for path in [files.stdout, files.stderr] {
            let key = path.to_string_lossy().into_owned();
            let follower = memory.logs.entry(key).or_insert_with(|| Follower::at_end(&path));
            let lines = match follower.new_lines(&path) {
                Ok(lines) => lines,
                Err(e) => {
                    seen.not("logs", Text::same(format!("{}: {e}", path.display())));
                    continue;
                }
            };
            for line in lines.into_iter().filter(|l| patterns.is_match(l)) {
                seen.severe_lines += 1;
                if let Some(secrets) = secrets {
                    seen.severe_sample
                        .get_or_insert_with(|| redact(&line, secrets).chars().take(200).collect());
                }
            }
        }
    }

    /// Does what users do, and tells how many requests that took. Without journeys it is the page that the verification
    /// asked for, too.
    async fn watch_journeys(&self, seen: &mut Seen) -> (Vec<(String, Option<String>)>, u64) {
        let attempt = async {
            let (url, connect) = self.public_address().await?;
            let files = self.journey_files();
            if files.is_empty() {
                let failure = match self.ctx.net.get(&url, connect, Duration::from_secs(10)).await {
                    Ok(a) if a.status < 400 => None,
                    Ok(a) => Some(format!("HTTP {}", a.status)),
                    Err(e) => Some(e.to_string()),
                };
                return Ok((vec![(format!("GET {url}"), failure)], 1));
            }
            let run = self.journey_run(files, &url, connect).await?;
            let results = self.ctx.journeys.run(&run).await.map_err(failed)?;
            let own = results.iter().map(|r| r.requests).sum();
            Ok((results.into_iter().map(|r| (r.name, r.failure)).collect(), own))
        };
        attempt.await.unwrap_or_else(|e: StepError| {
            seen.not("journeys", e.what);
            (Vec::new(), 0)
        })
    }
}

/// What was counted since the last time; `None` the first time.
fn since(memory: &mut Memory, service: &str, release: &str, counts: ServiceCounts) -> Option<VersionCounts> {
    let of = |c: &ServiceCounts| c.versions.iter().find(|v| v.version == release).cloned();
    let now = of(&counts).unwrap_or_default();
    let before = memory.counts.insert(service.to_owned(), counts.clone())?;
    let before = Some(before).filter(|b| b.epoch == counts.epoch).and_then(|b| of(&b));
    Some(difference(&now, &before.unwrap_or_default()))
}

fn breach(b: &Breach) -> StepError {
    let n = b.in_a_row;
    let e = StepError::new(Text::new(
        format!("{} ({n} looks in a row)", b.what.en),
        format!("{}（连续 {n} 次）", b.what.zh),
    ));
    if !b.signal.starts_with("blind:") {
        return e;
    }
    e.with_help(Text::new(
        "nothing bad was seen, but what is not seen is not well: users go back to the release that was; make this visible again, then deploy again (`watch.max-blind` is how long it may be out of sight)",
        "并未发现故障，但看不见不等于正常：用户已切回旧版本；恢复观察条件后重新部署（`watch.max-blind` 为允许看不见的时长）",
    ))
}
