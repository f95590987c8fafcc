//! The host's resources, before the new release is started and during the watch, and what its own processes take of them.

use super::HostWorld;
use crate::watching;
use safelight_engine::{
    plan::Action,
    run::journal::RunState,
    text::Text,
    watch::{Blind, Resource, ResourceKind},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, time::Duration};

/// Time between the two samples before the release is started, as P1 takes them.
const BETWEEN: Duration = Duration::from_secs(1);

/// The host before the release was started, in percent, and what the old release's processes took of it. Remembered by
/// the gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Before {
    cpu: Option<f64>,
    memory: Option<f64>,
    disk: Option<f64>,
    old_cpu: Option<f64>,
    old_memory: Option<f64>,
}

/// What the processes of one release use.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Usage {
    /// Ticks by process.
    ticks: BTreeMap<u32, u64>,
    /// Bytes written to disks by process; `None` when that may not be seen.
    written: Option<BTreeMap<u32, u64>>,
    memory_kb: u64,
}

/// What was read in the look before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Readings {
    cpu: Option<(u64, u64)>,
    own: Option<Usage>,
    /// Bytes that the release has written since the watch began.
    written: u64,
}

/// The host in one look.
#[derive(Default)]
pub(super) struct HostLook {
    pub(super) cpu: Option<f64>,
    pub(super) memory: Option<f64>,
    pub(super) disk_free: Option<f64>,
    pub(super) judged: Vec<Resource>,
}

struct Disk {
    free: f64,
    limit: f64,
    usable: u64,
}

impl HostWorld {
    /// Measures the host while the old release serves and the new one does not run yet.
    pub(super) async fn before_the_release(&self, run: &RunState) -> Before {
        let old = run.plan.from.as_ref().map(|f| f.id.as_str());
        let usage = async || match old {
            Some(id) => self.usage(id).await,
            None => Some(Usage::default()),
        };
        let (first, used_first) = (self.cpu_now().await.ok().flatten(), usage().await);
        tokio::time::sleep(BETWEEN).await;
        let (second, used) = (self.cpu_now().await.ok().flatten(), usage().await);
        let total_kb = self.memory_now().await.ok().flatten();
        let between = first.zip(second);
        Before {
            cpu: between.and_then(|(a, b)| watching::busy_percent(a, b)),
            memory: total_kb.map(|(used, _)| used),
            disk: self.disk_now().await.ok().flatten().map(|d| 100.0 - d.free),
            old_cpu: between.zip(used_first.as_ref().zip(used.as_ref())).and_then(|(t, u)| own_cpu(t, u)),
            old_memory: used.zip(total_kb).map(|(u, (_, total))| percent(u.memory_kb, total)),
        }
    }

    /// Looks at the host, and weighs it against the limits and the time before.
    pub(super) async fn host_look(
        &self,
        run: &RunState,
        r: &mut Readings,
        blind: &mut Vec<Blind>,
    ) -> HostLook {
        let mut unseen = |kind: ResourceKind, why: Text| {
            blind.push(Blind { signal: format!("host:{}", kind.word().en), why });
        };
        let unreadable = || Text::new("the kernel's figures are not readable", "内核数据无法识别");
        let limits = &self.ctx.config.checks;
        let before =
            run.record_of(|a| *a == Action::Gate).and_then(super::from_record::<Before>).unwrap_or_default();
        let own = self.usage(&run.plan.to.id).await;
        let old = match run.plan.from.as_ref() {
            Some(from) => self.usage(&from.id).await,
            None => Some(Usage::default()),
        };
        let mut look = HostLook::default();
        match self.cpu_now().await {
            Ok(Some(now)) => {
                look.cpu = r.cpu.and_then(|b| watching::busy_percent(b, now));
                let share =
                    r.cpu.zip(r.own.as_ref().zip(own.as_ref())).and_then(|(b, u)| own_cpu((b, now), u));
                r.cpu = Some(now);
                if let Some(used) = look.cpu {
                    look.judged.push(Resource {
                        kind: ResourceKind::Cpu,
                        used,
                        limit: limits.cpu_max_percent,
                        before: before.cpu,
                        own: share.zip(before.old_cpu).map(|(now, old)| now - old),
                    });
                }
            }
            Ok(None) => unseen(ResourceKind::Cpu, unreadable()),
            Err(e) => unseen(ResourceKind::Cpu, e),
        }
        match self.memory_now().await {
            Ok(Some((used, total))) => {
                look.memory = Some(used);
                // The old release is kept warm for the way back; what it takes is free again when the watch is over.
                let warm = old.as_ref().map_or(0.0, |u| percent(u.memory_kb, total));
                look.judged.push(Resource {
                    kind: ResourceKind::Memory,
                    used: (used - warm).max(0.0),
                    limit: limits.memory_max_percent,
                    before: before.memory,
                    own: own
                        .as_ref()
                        .zip(before.old_memory)
                        .map(|(u, old)| percent(u.memory_kb, total) - old),
                });
            }
            Ok(None) => unseen(ResourceKind::Memory, unreadable()),
            Err(e) => unseen(ResourceKind::Memory, e),
        }
        let written = own.as_ref().and_then(|u| u.written.as_ref());
        if let (Some(now), Some(then)) = (written, r.own.as_ref().and_then(|u| u.written.as_ref())) {
            r.written = r.written.saturating_add(watching::growth(then, now));
        }
        match self.disk_now().await {
            Ok(Some(d)) => {
                look.disk_free = Some(d.free);
                look.judged.push(Resource {
                    kind: ResourceKind::Disk,
                    used: 100.0 - d.free,
                    limit: d.limit,
                    before: before.disk,
                    own: written.map(|_| percent(r.written, d.usable)),
                });
            }
            Ok(None) => unseen(ResourceKind::Disk, unreadable()),
            Err(e) => unseen(ResourceKind::Disk, e),
        }
        r.own = own;
        look
    }

    async fn text(&self, path: impl AsRef<Path>) -> Result<String, Text> {
        let bytes = self.ctx.host.read(path.as_ref()).await.map_err(|e| Text::same(e.to_string()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn cpu_now(&self) -> Result<Option<(u64, u64)>, Text> {
        Ok(watching::cpu_times(&self.text("/proc/stat").await?))
    }

    /// Used memory in percent, and all of it in kB.
    async fn memory_now(&self) -> Result<Option<(f64, u64)>, Text> {
        let text = self.text("/proc/meminfo").await?;
        Ok(watching::memory_percent(&text).zip(watching::field(&text, "MemTotal")))
    }

    async fn disk_now(&self) -> Result<Option<Disk>, Text> {
        let s = self.ctx.host.stat_fs(&self.ctx.dirs.root).await.map_err(|e| Text::same(e.to_string()))?;
        Ok(watching::disk_free_percent(&s).map(|free| Disk {
            free,
            limit: watching::disk_limit_percent(&s, &self.ctx.config.checks),
            usable: s.total.saturating_sub(s.free).saturating_add(s.available),
        }))
    }

    /// What the processes of a release use; `None` when the process manager does not tell which they are.
    async fn usage(&self, release: &str) -> Option<Usage> {
        let mut usage = Usage { written: Some(BTreeMap::new()), ..Usage::default() };
        for s in &self.ctx.config.services {
            for pid in self.ctx.manager.pids(&self.ctx.process_name(&s.name, release)).await.ok()? {
                let dir = Path::new("/proc").join(pid.to_string());
                // One that has just ended uses nothing any more.
                let Ok(stat) = self.text(dir.join("stat")).await else { continue };
                if let Some(ticks) = watching::process_ticks(&stat) {
                    usage.ticks.insert(pid, ticks);
                }
                let status = self.text(dir.join("status")).await.unwrap_or_default();
                let resident = watching::field(&status, "VmRSS").unwrap_or(0);
                usage.memory_kb = usage.memory_kb.saturating_add(resident);
                let io = self.text(dir.join("io")).await.ok();
                let bytes = io.and_then(|t| watching::field(&t, "write_bytes"));
                usage.written = usage.written.take().zip(bytes).map(|(mut all, n)| {
                    all.insert(pid, n);
                    all
                });
            }
        }
        Some(usage)
    }
}

/// Share of the host's time that processes took between two readings.
fn own_cpu(times: ((u64, u64), (u64, u64)), usage: (&Usage, &Usage)) -> Option<f64> {
    let total = times.1.1.checked_sub(times.0.1).filter(|t| *t > 0)?;
    Some(percent(watching::growth(&usage.0.ticks, &usage.1.ticks), total))
}

#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}
