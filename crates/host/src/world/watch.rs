//! The watch: looks again and again, and says when it has seen enough.

use super::{Applied, HostWorld, Record, StepError, failed, redact, secret_values, stage::remove_file};
use crate::{
    logs::Follower,
    paths::write_whole,
    watching::{difference, quantiles_ms},
};
use safelight_engine::{
    driver::{
        process::ProcessState,
        traffic::{ServiceCounts, VersionCounts},
    },
    event::EventKind,
    run::{executor::Stop, journal::RunState},
    text::Text,
    watch::{Baseline, Breach, Look, ServiceLook, Watcher, decisive},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use tokio::time::Instant;

/// What the watch remembers between looks, on disk: a restarted host goes on where it was.
#[derive(Default, Serialize, Deserialize)]
struct Memory {
    began: Option<jiff::Timestamp>,
    watcher: Watcher,
    counts: BTreeMap<String, ServiceCounts>,
    logs: BTreeMap<String, Follower>,
    restarts: BTreeMap<String, u32>,
    journeys_at: Option<jiff::Timestamp>,
    cpu: Option<(u64, u64)>,
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
            let look = self.look_once(run, &mut memory, elapsed).await?;
            let breaches = memory.watcher.look(&look, &baseline, limits);
            looks += 1;
            (self.emit)(EventKind::Looked { look, breaches: breaches.clone() });
            if let Ok(bytes) = serde_json::to_vec(&memory) {
                // Losing this only costs the count of looks in a row; a full disk must not end the watch.
                let _ = write_whole(&path, &bytes);
            }
            if let Some(b) = decisive(&breaches) {
                return Err(breach(b));
            }
            if elapsed >= limits.duration.0 {
                remove_file(&path).map_err(failed)?;
                let span = limits.duration;
                return Ok((
                    Record::Null,
                    safelight_engine::text!(
                        "{span} and {looks} looks without a lasting fault",
                        "{span} 内观察 {looks} 次，没有持续异常"
                    ),
                ));
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = stop.wait() => return Err(StepError::new(stop.reason())),
            }
        }
    }

    async fn look_once(
        &self,
        run: &RunState,
        memory: &mut Memory,
        elapsed: Duration,
    ) -> Result<Look, StepError> {
        let mut blind = Vec::new();
        let mut services = Vec::new();
        let mut severe = (0_u64, None);
        let release = &run.plan.to.id;
        let patterns = self.patterns()?;
        let secrets = match self.new_release(run) {
            Ok(r) => secret_values(&self.env_of(&r).await?, std::iter::empty()),
            Err(e) => return Err(e),
        };
        for s in &self.ctx.config.services {
            let mut look = self.service_look(&s.name, release, s.path.is_some(), memory, &mut blind).await;
            let name = self.ctx.process_name(&s.name, release);
            match self.ctx.manager.status(&name).await {
                Ok(p) => {
                    let restarts = p.as_ref().map_or(0, |p| p.restarts);
                    let before = *memory.restarts.entry(s.name.clone()).or_insert(restarts);
                    look.restarts = restarts.saturating_sub(before);
                    look.running = p.is_some_and(|p| p.state != ProcessState::Stopped);
                }
                Err(e) => {
                    look.running = true;
                    blind.push(Text::same(e.to_string()));
                }
            }
            if let Ok(Some(files)) = self.ctx.manager.logs(&name).await {
                for path in [files.stdout, files.stderr] {
                    let key = path.to_string_lossy().into_owned();
                    let follower = memory.logs.entry(key).or_insert_with(|| Follower::at_end(&path));
                    for line in follower.new_lines(&path) {
                        if patterns.iter().any(|p| p.is_match(&line)) {
                            severe.0 += 1;
                            severe
                                .1
                                .get_or_insert_with(|| redact(&line, &secrets).chars().take(200).collect());
                        }
                    }
                }
            }
            services.push(look);
        }
        let now = jiff::Timestamp::now();
        let due = memory.journeys_at.is_none_or(|t| {
            Duration::try_from(now.duration_since(t)).unwrap_or_default()
                >= self.ctx.config.watch.journeys_every.0
        });
        let journeys = if due && !self.ctx.config.journeys.files.is_empty() {
            memory.journeys_at = Some(now);
            Some(self.watch_journeys(&mut blind).await)
        } else {
            None
        };
        let (cpu, memory_percent, disk) = self.resources(memory, &mut blind).await;
        Ok(Look {
            at: now,
            elapsed_s: elapsed.as_secs(),
            total_s: self.ctx.config.watch.duration.0.as_secs(),
            services,
            severe_lines: severe.0,
            severe_sample: severe.1,
            journeys,
            cpu_percent: cpu,
            memory_percent,
            disk_free_percent: disk,
            blind,
        })
    }

    async fn service_look(
        &self,
        service: &str,
        release: &str,
        routed: bool,
        memory: &mut Memory,
        blind: &mut Vec<Text>,
    ) -> ServiceLook {
        let mut look = ServiceLook { service: service.to_owned(), running: true, ..ServiceLook::default() };
        if !routed {
            return look;
        }
        let counts = match self.ctx.traffic.counts(&self.ctx.route_name(), service).await {
            Ok(c) => c,
            Err(e) => {
                blind.push(Text::same(e.to_string()));
                return look;
            }
        };
        let of = |c: &ServiceCounts| c.versions.iter().find(|v| v.version == release).cloned();
        let now = of(&counts).unwrap_or_default();
        let before = memory.counts.get(service).filter(|b| b.epoch == counts.epoch).and_then(of);
        // The first look sets the zero: what came before the watch belongs to the dark test and the switch.
        let first = !memory.counts.contains_key(service);
        memory.counts.insert(service.to_owned(), counts);
        if first {
            return look;
        }
        let d: VersionCounts = difference(&now, &before.unwrap_or_default());
        look.requests = d.requests;
        look.errors = (d.server_errors + d.upstream_failures).min(d.requests.max(d.upstream_failures));
        if let Some((p50, p95)) = quantiles_ms(&d.latency_buckets) {
            (look.p50_ms, look.p95_ms) = (Some(p50), Some(p95));
        }
        look
    }

    async fn watch_journeys(&self, blind: &mut Vec<Text>) -> Vec<(String, Option<String>)> {
        let attempt = async {
            let (url, connect) = self.public_address().await?;
            let run = self.journey_run(self.journey_files(), &url, connect).await?;
            self.ctx.journeys.run(&run).await.map_err(failed)
        };
        match attempt.await {
            Ok(list) => list.into_iter().map(|r| (r.name, r.failure)).collect(),
            Err(e) => {
                blind.push(e.what);
                Vec::new()
            }
        }
    }

    async fn resources(
        &self,
        memory: &mut Memory,
        blind: &mut Vec<Text>,
    ) -> (Option<f64>, Option<f64>, Option<f64>) {
        let read = |p: &'static str| self.ctx.host.read(std::path::Path::new(p));
        let cpu = match read("/proc/stat").await {
            Ok(b) => {
                let now = crate::watching::cpu_times(&String::from_utf8_lossy(&b));
                let busy = memory.cpu.zip(now).and_then(|(a, b)| crate::watching::busy_percent(a, b));
                memory.cpu = now;
                busy
            }
            Err(e) => {
                blind.push(Text::same(e.to_string()));
                None
            }
        };
        let mem = match read("/proc/meminfo").await {
            Ok(b) => crate::watching::memory_percent(&String::from_utf8_lossy(&b)),
            Err(e) => {
                blind.push(Text::same(e.to_string()));
                None
            }
        };
        let disk = match self.ctx.host.stat_fs(&self.ctx.dirs.root).await {
            Ok(s) => crate::watching::disk_free_percent(&s),
            Err(e) => {
                blind.push(Text::same(e.to_string()));
                None
            }
        };
        (cpu, mem, disk)
    }

    fn patterns(&self) -> Result<Vec<regex::Regex>, StepError> {
        self.ctx
            .config
            .watch
            .severe_log_patterns
            .iter()
            .map(|p| {
                regex::Regex::new(p).map_err(|e| {
                    StepError::new(safelight_engine::text!(
                        "watch.severe-log-patterns: `{p}` is not a regular expression: {e}",
                        "watch.severe-log-patterns：`{p}` 不是正则表达式：{e}"
                    ))
                })
            })
            .collect()
    }
}

fn breach(b: &Breach) -> StepError {
    let n = b.in_a_row;
    StepError::new(Text::new(
        format!("{} ({n} looks in a row)", b.what.en),
        format!("{}（连续 {n} 次）", b.what.zh),
    ))
}
