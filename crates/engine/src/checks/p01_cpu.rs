//! P1: is the CPU idle enough to start a second release beside the first?
//! Never judges by load average, nor by the averages since boot: only by what is busy right now.

use super::support::{cgroup, percent, percent_limit, read_text, unknown, unknown_host};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    driver::host::Host,
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::Instant;

/// Time between the two samples. Less would measure noise.
const BETWEEN: Duration = Duration::from_secs(1);

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cpu;

/// Counters of the line `cpu` in /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. `guest` and
/// `guest_nice` follow there and are left out, because the kernel counts them in user and nice already.
type Sample = [u64; 8];

fn parse(stat: &str) -> Option<Sample> {
    let line = stat.lines().find_map(|l| l.strip_prefix("cpu "))?;
    let mut sample = Sample::default();
    let mut words = line.split_whitespace();
    for (i, slot) in sample.iter_mut().enumerate() {
        match words.next() {
            Some(w) => *slot = w.parse().ok()?,
            // Kernels before 2.6.11 have no steal; idle is what nobody can do without.
            None if i > 3 => break,
            None => return None,
        }
    }
    Some(sample)
}

/// Busy share in percent between two samples; `None` when no time passed at all.
#[expect(clippy::cast_precision_loss, reason = "ticks of one second")]
fn busy(before: Sample, after: Sample) -> Option<f64> {
    // Counters of idle and iowait can go backwards; such a step is no time, rather than an age.
    let delta: Vec<u64> = before.iter().zip(after).map(|(b, a)| a.saturating_sub(*b)).collect();
    let total = delta.iter().fold(0_u64, |sum, d| sum.saturating_add(*d));
    let idle = delta[3].saturating_add(delta[4]);
    (total > 0).then(|| total.saturating_sub(idle) as f64 / total as f64 * 100.0)
}

async fn sample(host: &dyn Host) -> Result<String, crate::driver::host::HostError> {
    read_text(host, "/proc/stat").await
}

#[async_trait]
impl Check for Cpu {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P1", title: ("CPU", "CPU 占用"), risks: &["R5", "R9"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        vec![look(&self.spec(), ctx).await]
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of one second")]
async fn look(spec: &CheckSpec, ctx: &CheckContext) -> Finding {
    let host = ctx.host.as_ref();
    let subject = host.name().to_owned();
    let limits = cgroup::cpu_limits(host).await;
    let mut groups = Vec::new();
    for limit in limits {
        let used = cgroup::cpu_used(host, &limit).await;
        groups.push((limit, used, Instant::now()));
    }
    let first = match sample(host).await {
        Ok(t) => t,
        Err(e) => return unknown_host(spec, subject, &e),
    };
    tokio::time::sleep(BETWEEN).await;
    let second = match sample(host).await {
        Ok(t) => t,
        Err(e) => return unknown_host(spec, subject, &e),
    };
    let (Some(first), Some(second)) = (parse(&first), parse(&second)) else {
        return unknown(
            spec,
            subject,
            Text::new("/proc/stat has no readable line `cpu`", "/proc/stat 中没有可识别的 `cpu` 行"),
            Text::new("look at `head -1 /proc/stat` on the host", "在主机上查看 `head -1 /proc/stat`"),
        );
    };
    let Some(whole) = busy(first, second) else {
        return unknown(
            spec,
            subject,
            Text::new(
                "two samples of /proc/stat one second apart are the same: the counters stand still",
                "相隔一秒的两次 /proc/stat 采样完全相同：计数器没有变化",
            ),
            Text::new(
                "compare `grep '^cpu ' /proc/stat` twice; in a container, /proc may be a frozen copy: run the check on the host itself",
                "连续两次执行 `grep '^cpu ' /proc/stat` 对比；容器内的 /proc 可能是静态副本，请在宿主机上运行检查",
            ),
        );
    };
    // The group that is closest to its limit decides: the kernel throttles there first.
    let mut tightest: Option<(f64, &cgroup::CpuLimit)> = None;
    let mut unreadable = None;
    for (limit, before, since) in &groups {
        let after = cgroup::cpu_used(host, limit).await;
        let micros = since.elapsed().as_micros() as f64;
        match (before, after) {
            (Some(b), Some(a)) if micros > 0.0 => {
                let p = a.saturating_sub(*b) as f64 / (micros * limit.cpus) * 100.0;
                if tightest.is_none_or(|(t, _)| p > t) {
                    tightest = Some((p, limit));
                }
            }
            _ => unreadable = Some(limit),
        }
    }
    let max = ctx.config.checks.cpu_max_percent;
    // A group that is idle has little of a host that others keep busy.
    let judged = tightest.map_or(whole, |(p, _)| p.max(whole));
    // 100 says that any load is fine: a host that is meant to be busy.
    let outcome = if max < 100.0 && judged >= max {
        Outcome::Fail
    } else if unreadable.is_some() {
        Outcome::Warn
    } else {
        Outcome::Pass
    };
    let shown = percent(judged);
    let mut finding = Finding::new(
        spec,
        subject,
        outcome,
        crate::text!("{shown} of the CPU is busy", "CPU 忙碌率为 {shown}"),
    )
    .with_limit(Text::new("busy, over 1 s", "1 秒内忙碌率"), &shown, percent_limit("<", max));
    if let Some((_, limit)) = tightest {
        finding = finding
            .with_fact(
                Text::new("control group that limits it", "限制它的 cgroup"),
                format!("{} ({:.2} CPU)", limit.dir.display(), limit.cpus),
            )
            .with_fact(Text::new("the whole host", "整机"), percent(whole));
    }
    let steal = second[7].saturating_sub(first[7]);
    if steal > 0 {
        finding = finding.with_fact(
            Text::new("ticks stolen by the hypervisor", "被虚拟化平台占用的时钟周期"),
            steal.to_string(),
        );
    }
    if let Some(limit) = unreadable {
        let dir = limit.dir.display();
        finding = finding.with_note(
            Text::new("not looked at", "未能检查"),
            crate::text!(
                "{dir} limits the CPU, but what it uses cannot be read; the whole host was judged",
                "{dir} 限制了 CPU，但无法读取其用量，因此改按整机判断"
            ),
        );
    }
    match outcome {
        Outcome::Pass => finding,
        _ => finding.with_help(Text::new(
            "see what is busy with `ps aux --sort=-%cpu | head` and wait for it or stop it; the limit is `checks.cpu-max-percent`",
            "用 `ps aux --sort=-%cpu | head` 找出占用者，等待其结束或停掉；阈值为 `checks.cpu-max-percent`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{FakeHost, World, value};
    use crate::driver::host::HostErrorKind;

    fn world(first: &str, second: &str) -> World {
        let mut w = World::new("");
        w.host = FakeHost::new().file("/proc/stat", first).file("/proc/stat", second);
        w
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_cpu_passes_whatever_it_did_since_boot() {
        let f = world("cpu  6300 0 0 3700 0 0 0 0 0 0\n", "cpu  6310 0 0 3790 0 0 0 0 0 0\n").one(Cpu).await;
        assert_eq!((f.outcome, value(&f, "busy")), (Outcome::Pass, "10.0 %"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_cpu_fails_although_its_average_since_boot_is_low() {
        let f = world("cpu  10 0 0 99990 0 0 0 0 0 0\n", "cpu  110 0 0 99990 0 0 0 0 0 0\n").one(Cpu).await;
        assert_eq!((f.outcome, value(&f, "busy")), (Outcome::Fail, "100.0 %"));
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_the_limit_is_too_much() {
        let f = world("cpu  0 0 0 0 0 0 0 0\n", "cpu  80 0 0 20 0 0 0 0\n").one(Cpu).await;
        assert_eq!(f.outcome, Outcome::Fail);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_a_hundred_percent_accepts_any_load() {
        let mut w = World::from_toml(
            "[app]\nname = \"a\"\n[[service]]\nname = \"web\"\ncommand = \"x\"\npath = \"/\"\n\
             [checks]\ncpu-max-percent = 100\n[env.production]\nurl = \"https://example.com\"\n",
        );
        w.host = FakeHost::new()
            .file("/proc/stat", "cpu  0 0 0 0 0 0 0 0\n")
            .file("/proc/stat", "cpu  100 0 0 0 0 0 0 0\n");
        let f = w.one(Cpu).await;
        assert_eq!((f.outcome, value(&f, "busy")), (Outcome::Pass, "100.0 %"));
    }

    #[test]
    fn steal_is_busy_guest_is_in_user_already_and_iowait_is_idle() {
        let at = |s: &str| parse(s).unwrap();
        let zero = at("cpu  0 0 0 0 0 0 0 0 0 0");
        assert_eq!(busy(zero, at("cpu  0 0 0 50 0 0 0 50 0 0")), Some(50.0));
        assert_eq!(busy(zero, at("cpu  50 0 0 50 0 0 0 0 50 0")), Some(50.0));
        assert_eq!(busy(zero, at("cpu  0 0 0 50 50 0 0 0 0 0")), Some(0.0));
    }

    #[test]
    fn counters_that_go_backwards_count_as_no_time() {
        let a = parse("cpu  100 0 0 1000 500 0 0 0").unwrap();
        let b = parse("cpu  150 0 0 1050 400 0 0 0").unwrap();
        assert_eq!(busy(a, b), Some(50.0));
    }

    #[tokio::test(start_paused = true)]
    async fn identical_samples_are_unknown() {
        let same = "cpu  5 5 5 5 5 5 5 5 0 0\n";
        assert_eq!(world(same, same).one(Cpu).await.outcome, Outcome::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn unreadable_or_malformed_counters_are_unknown() {
        let mut w = World::new("");
        w.host = FakeHost::new().broken_file("/proc/stat", HostErrorKind::Permission);
        assert_eq!(w.one(Cpu).await.outcome, Outcome::Unknown);
        for bad in ["", "cpu \n", "cpu  a b c d\n", "cpu  1 2 3\n", "cpu0 1 2 3 4\n"] {
            assert_eq!(world(bad, bad).one(Cpu).await.outcome, Outcome::Unknown, "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_control_group_at_its_quota_fails_on_an_idle_host() {
        let mut w = world("cpu  0 0 0 0 0 0 0 0\n", "cpu  5 0 0 95 0 0 0 0\n");
        w.host = w
            .host
            .file("/proc/self/cgroup", "0::/app\n")
            .file("/sys/fs/cgroup/app/cpu.max", "50000 100000\n")
            .file("/sys/fs/cgroup/app/cpu.stat", "usage_usec 0\nuser_usec 0\n")
            .file("/sys/fs/cgroup/app/cpu.stat", "usage_usec 490000\nuser_usec 0\n");
        let f = w.one(Cpu).await;
        assert_eq!((f.outcome, value(&f, "busy")), (Outcome::Fail, "98.0 %"));
        assert_eq!(value(&f, "whole host"), "5.0 %");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_control_group_on_a_busy_host_does_not_pass() {
        let mut w = world("cpu  0 0 0 0 0 0 0 0\n", "cpu  97 0 0 3 0 0 0 0\n");
        w.host = w
            .host
            .file("/proc/self/cgroup", "0::/app\n")
            .file("/sys/fs/cgroup/app/cpu.max", "50000 100000\n")
            .file("/sys/fs/cgroup/app/cpu.stat", "usage_usec 0\nuser_usec 0\n");
        let f = w.one(Cpu).await;
        assert_eq!((f.outcome, value(&f, "busy")), (Outcome::Fail, "97.0 %"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_whose_use_cannot_be_read_is_no_clean_pass() {
        let mut w = world("cpu  0 0 0 0 0 0 0 0\n", "cpu  5 0 0 95 0 0 0 0\n");
        w.host = w
            .host
            .file("/proc/self/cgroup", "0::/app\n")
            .file("/sys/fs/cgroup/app/cpu.max", "50000 100000\n");
        assert_eq!(w.one(Cpu).await.outcome, Outcome::Warn);
    }
}
