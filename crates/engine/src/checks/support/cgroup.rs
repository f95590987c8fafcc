//! Which limits the control groups of this process set, in version 1, version 2 and the hybrid of both.
//! Reads files only; what a limit means is for the checks to say.

use super::read_text;
use crate::driver::host::Host;
use std::path::{Path, PathBuf};

const MOUNT: &str = "/sys/fs/cgroup";
/// Version 1 says "no limit" with the largest multiple of the page size below 2^63; page sizes differ, so anything
/// close to it counts.
const V1_UNLIMITED: u64 = 1 << 60;

/// One control group that limits CPU time.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checks) struct CpuLimit {
    /// Its directory.
    pub(in crate::checks) dir: PathBuf,
    /// CPUs it may use, `0.5` for half of one.
    pub(in crate::checks) cpus: f64,
    unified: bool,
}

/// One control group that limits memory, with what it uses.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::checks) struct MemoryLimit {
    /// Its directory.
    pub(in crate::checks) dir: PathBuf,
    /// Bytes it may use.
    pub(in crate::checks) limit: u64,
    /// Bytes in use that the kernel could not simply drop: usage less `inactive_file`; `None` when unreadable.
    pub(in crate::checks) used: Option<u64>,
}

/// The group of this process and every group above it, nearest first.
struct Chain {
    dirs: Vec<PathBuf>,
    unified: bool,
}

/// Paths of one line of `/proc/self/cgroup`: the group itself, then its ancestors up to the mount.
fn upwards(mount: &Path, path: &str) -> Vec<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    // A group outside of this cgroup namespace shows as `/../x`: only the namespace's own root can be read then.
    let normal = relative.components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if !normal {
        return vec![mount.to_path_buf()];
    }
    let mut dirs: Vec<PathBuf> = mount
        .join(relative)
        .ancestors()
        .take_while(|d| d.starts_with(mount))
        .map(|d| d.components().collect())
        .collect();
    dirs.dedup();
    dirs
}

fn chains(membership: &str, controller: &str) -> Vec<Chain> {
    let mut out = Vec::new();
    let hybrid = membership.lines().any(|l| !l.starts_with("0::") && l.matches(':').count() >= 2);
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if id == "0" && names.is_empty() {
            let mount = if hybrid { Path::new(MOUNT).join("unified") } else { PathBuf::from(MOUNT) };
            out.push(Chain { dirs: upwards(&mount, path), unified: true });
        } else if names.split(',').any(|n| n == controller) {
            out.push(Chain { dirs: upwards(&Path::new(MOUNT).join(names), path), unified: false });
        }
    }
    out
}

async fn number(host: &dyn Host, file: PathBuf) -> Option<i64> {
    read_text(host, file).await.ok()?.trim().parse().ok()
}

async fn field(host: &dyn Host, file: PathBuf, name: &str) -> Option<u64> {
    let text = read_text(host, file).await.ok()?;
    text.lines().find_map(|l| {
        let (key, value) = l.split_once(' ')?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

/// Every group from this process's own upwards that limits CPU time. Empty when there is none, or no control groups.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a period are small")]
pub(in crate::checks) async fn cpu_limits(host: &dyn Host) -> Vec<CpuLimit> {
    let Ok(membership) = read_text(host, "/proc/self/cgroup").await else { return Vec::new() };
    let mut out = Vec::new();
    for chain in chains(&membership, "cpu") {
        for dir in chain.dirs {
            let (quota, period) = if chain.unified {
                let Ok(text) = read_text(host, dir.join("cpu.max")).await else { continue };
                let mut words = text.split_whitespace();
                let quota = words.next().and_then(|q| q.parse::<i64>().ok());
                (quota, words.next().and_then(|p| p.parse::<i64>().ok()))
            } else {
                let quota = number(host, dir.join("cpu.cfs_quota_us")).await;
                (quota, number(host, dir.join("cpu.cfs_period_us")).await)
            };
            // `max` does not parse and -1 is not positive: both mean no limit.
            if let (Some(quota @ 1..), Some(period @ 1..)) = (quota, period) {
                out.push(CpuLimit { dir, cpus: quota as f64 / period as f64, unified: chain.unified });
            }
        }
    }
    out
}

/// CPU time a group has used so far, in microseconds.
pub(in crate::checks) async fn cpu_used(host: &dyn Host, limit: &CpuLimit) -> Option<u64> {
    if limit.unified {
        return field(host, limit.dir.join("cpu.stat"), "usage_usec").await;
    }
    let nanos = number(host, limit.dir.join("cpuacct.usage")).await?;
    u64::try_from(nanos).ok().map(|n| n / 1000)
}

/// Every group from this process's own upwards that limits memory. Empty when there is none.
pub(in crate::checks) async fn memory_limits(host: &dyn Host) -> Vec<MemoryLimit> {
    let Ok(membership) = read_text(host, "/proc/self/cgroup").await else { return Vec::new() };
    let mut out = Vec::new();
    for chain in chains(&membership, "memory") {
        for dir in chain.dirs {
            let (limit, usage, inactive) = if chain.unified {
                ("memory.max", "memory.current", "inactive_file")
            } else {
                ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            };
            let Some(limit) = number(host, dir.join(limit)).await.and_then(|n| u64::try_from(n).ok()) else {
                continue;
            };
            if limit == 0 || limit >= V1_UNLIMITED {
                continue;
            }
            let usage = number(host, dir.join(usage)).await.and_then(|n| u64::try_from(n).ok());
            let inactive = field(host, dir.join("memory.stat"), inactive).await.unwrap_or(0);
            out.push(MemoryLimit { dir, limit, used: usage.map(|u| u.saturating_sub(inactive)) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::FakeHost;

    #[tokio::test]
    async fn a_group_and_all_its_ancestors_are_looked_at_and_max_is_no_limit() {
        let host = FakeHost::new()
            .file("/proc/self/cgroup", "0::/system.slice/app.service\n")
            .file("/sys/fs/cgroup/system.slice/app.service/cpu.max", "max 100000\n")
            .file("/sys/fs/cgroup/system.slice/cpu.max", "50000 100000\n")
            .file("/sys/fs/cgroup/system.slice/app.service/memory.max", "max\n")
            .file("/sys/fs/cgroup/system.slice/memory.max", "1000\n")
            .file("/sys/fs/cgroup/system.slice/memory.current", "900\n")
            .file("/sys/fs/cgroup/system.slice/memory.stat", "anon 1\ninactive_file 300\n");
        let cpu = cpu_limits(&host).await;
        assert_eq!(cpu.len(), 1);
        assert!((cpu[0].cpus - 0.5).abs() < 1e-9);
        let memory = memory_limits(&host).await;
        assert_eq!((memory[0].limit, memory[0].used), (1000, Some(600)));
    }

    #[tokio::test]
    async fn version_one_quota_counts_and_its_sentinels_mean_unlimited() {
        let base = FakeHost::new()
            .file("/proc/self/cgroup", "5:cpu,cpuacct:/box\n4:memory:/box\n1:name=systemd:/box\n0::/box\n");
        let free = base
            .clone()
            .file("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "-1\n")
            .file("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
            .file("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
        assert!(cpu_limits(&free).await.is_empty());
        assert!(memory_limits(&free).await.is_empty());
        let tight = base
            .file("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "200000\n")
            .file("/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n")
            .file("/sys/fs/cgroup/cpu,cpuacct/box/cpuacct.usage", "5000000\n")
            .file("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1000\n");
        let cpu = cpu_limits(&tight).await;
        assert!((cpu[0].cpus - 2.0).abs() < 1e-9);
        assert_eq!(cpu_used(&tight, &cpu[0]).await, Some(5000));
        assert_eq!(memory_limits(&tight).await[0].used, None, "usage unreadable is not zero");
    }

    #[test]
    fn a_group_outside_of_the_namespace_leaves_only_its_root() {
        assert_eq!(upwards(Path::new(MOUNT), "/../../other"), [PathBuf::from(MOUNT)]);
        assert_eq!(upwards(Path::new(MOUNT), "/"), [PathBuf::from(MOUNT)]);
        assert_eq!(upwards(Path::new(MOUNT), "/a/b").len(), 3);
    }
}
