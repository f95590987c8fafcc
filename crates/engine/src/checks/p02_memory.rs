//! P2: is there memory for a second release beside the first?
//! Page cache is not in use: only what the kernel cannot hand out counts.

use super::support::{cgroup, percent, percent_limit, read_text, share, unknown, unknown_host};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::ByteSize,
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory;

/// Bytes of a field of /proc/meminfo.
fn field(meminfo: &str, name: &str) -> Option<u64> {
    meminfo.lines().find_map(|l| {
        let rest = l.strip_prefix(name)?.strip_prefix(':')?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    })
}

#[async_trait]
impl Check for Memory {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P2", title: ("Memory", "内存占用"), risks: &["R5", "R1"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        vec![look(&self.spec(), ctx).await]
    }
}

async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
    let host = ctx.host.as_ref();
    let subject = host.name().to_owned();
    let meminfo = match read_text(host, "/proc/meminfo").await {
        Ok(t) => t,
        Err(e) => return unknown_host(spec, subject, &e),
    };
    let pair = field(&meminfo, "MemTotal").zip(field(&meminfo, "MemAvailable"));
    let used_of = |(total, available): (u64, u64)| share(total.saturating_sub(available), total);
    let Some(((total, available), whole)) = pair.and_then(|p| Some((p, used_of(p)?))) else {
        return unknown(
            spec,
            subject,
            Text::new(
                "/proc/meminfo lacks MemTotal or MemAvailable",
                "/proc/meminfo 缺少 MemTotal 或 MemAvailable",
            ),
            Text::new(
                "look at `head -3 /proc/meminfo`; kernels before 3.14 do not tell what is available: judge with `free -m` and waive P2",
                "查看 `head -3 /proc/meminfo`；3.14 之前的内核不提供可用内存，请用 `free -m` 自行判断并豁免 P2",
            ),
        );
    };
    let mut used = whole;
    let mut group = None;
    let mut blind = None;
    for limit in cgroup::memory_limits(host).await {
        // A limit above the machine's own memory limits nothing.
        if limit.limit >= total {
            continue;
        }
        match limit.used.and_then(|u| share(u, limit.limit)) {
            Some(p) if p > used => {
                used = p;
                group = Some(limit);
            }
            Some(_) => {}
            None => blind = Some(limit),
        }
    }
    let max = ctx.config.checks.memory_max_percent;
    // 100 says that any use is fine.
    let outcome = if max < 100.0 && used >= max {
        Outcome::Fail
    } else if blind.is_some() {
        Outcome::Warn
    } else {
        Outcome::Pass
    };
    let shown = percent(used);
    let mut finding =
        Finding::new(spec, subject, outcome, crate::text!("{shown} of memory is used", "内存已用 {shown}"))
            .with_limit(Text::new("used", "已用"), &shown, percent_limit("<", max))
            .with_fact(
                Text::new("available of total", "可用 / 总量"),
                format!("{} / {}", ByteSize(available), ByteSize(total)),
            );
    if let Some(g) = group {
        finding = finding
            .with_fact(
                Text::new("control group that limits it", "限制它的 cgroup"),
                format!("{} ({})", g.dir.display(), ByteSize(g.limit)),
            )
            .with_fact(Text::new("the whole host", "整机"), percent(whole));
    }
    if let Some(g) = blind {
        let dir = g.dir.display();
        finding = finding.with_note(
            Text::new("not looked at", "未能检查"),
            crate::text!(
                "{dir} limits memory, but what it uses cannot be read",
                "{dir} 限制了内存，但无法读取其用量"
            ),
        );
    }
    match outcome {
        Outcome::Pass => finding,
        _ => finding.with_help(Text::new(
            "see what takes it with `ps aux --sort=-rss | head`; old and new release run side by side for a while, so stop what is not needed or add memory; the limit is `checks.memory-max-percent`",
            "用 `ps aux --sort=-rss | head` 找出占用者；新旧版本会短时并行运行，请停掉不需要的进程或扩容；阈值为 `checks.memory-max-percent`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{FakeHost, World, value};
    use crate::driver::host::HostErrorKind;

    fn world(total: u64, free: u64, available: u64) -> World {
        let mut w = World::new("");
        w.host = FakeHost::new().file(
            "/proc/meminfo",
            format!("MemTotal: {total} kB\nMemFree: {free} kB\nMemAvailable:   {available} kB\n"),
        );
        w
    }

    #[tokio::test]
    async fn little_free_but_much_available_passes() {
        let f = world(1000, 20, 700).one(Memory).await;
        assert_eq!((f.outcome, value(&f, "used")), (Outcome::Pass, "30.0 %"));
    }

    #[tokio::test]
    async fn little_available_fails() {
        assert_eq!(world(1000, 100, 200).one(Memory).await.outcome, Outcome::Fail);
    }

    #[tokio::test]
    async fn no_total_no_available_and_no_file_are_unknown() {
        assert_eq!(world(0, 0, 0).one(Memory).await.outcome, Outcome::Unknown);
        let mut w = World::new("");
        w.host = FakeHost::new().file("/proc/meminfo", "MemTotal: 1000 kB\nMemFree: 900 kB\n");
        assert_eq!(w.one(Memory).await.outcome, Outcome::Unknown);
        w.host = FakeHost::new().broken_file("/proc/meminfo", HostErrorKind::NotFound);
        assert_eq!(w.one(Memory).await.outcome, Outcome::Unknown);
    }

    fn grouped(current: &str, inactive: u64) -> World {
        let mut w = world(1_000_000, 900_000, 900_000);
        w.host = w
            .host
            .file("/proc/self/cgroup", "0::/slice/app\n")
            .file("/sys/fs/cgroup/slice/app/memory.max", "max\n")
            .file("/sys/fs/cgroup/slice/memory.max", "1000000\n")
            .file("/sys/fs/cgroup/slice/memory.current", format!("{current}\n"))
            .file("/sys/fs/cgroup/slice/memory.stat", format!("anon 1\ninactive_file {inactive}\n"));
        w
    }

    #[tokio::test]
    async fn the_limit_of_an_ancestor_group_decides() {
        let f = grouped("950000", 0).one(Memory).await;
        assert_eq!((f.outcome, value(&f, "used")), (Outcome::Fail, "95.0 %"));
        assert!(value(&f, "control group").contains("/sys/fs/cgroup/slice "));
    }

    #[tokio::test]
    async fn cache_that_the_kernel_can_drop_is_not_used() {
        assert_eq!(grouped("950000", 500_000).one(Memory).await.outcome, Outcome::Pass);
    }

    #[tokio::test]
    async fn a_limit_whose_use_cannot_be_read_is_no_clean_pass() {
        assert_eq!(grouped("?", 0).one(Memory).await.outcome, Outcome::Warn);
    }
}
