//! P3: is there room on the disks that a deploy writes to?
//! Each file system is judged once, however many paths lie on it.

use super::support::{percent, percent_limit, share, unknown, unknown_host};
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::ByteSize,
    driver::host::{FsStat, HostErrorKind},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::path::PathBuf;

/// Share of inodes, in percent, below which files soon cannot be made any more.
const INODES_FAIL: f64 = 5.0;
/// Share of inodes, in percent, that wants attention.
const INODES_WARN: f64 = 10.0;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disk;

struct Place {
    path: PathBuf,
    /// A deploy writes there.
    written: bool,
}

fn places(ctx: &CheckContext) -> Vec<Place> {
    let mut out = vec![
        Place { path: ctx.state.data_dir.clone(), written: true },
        Place { path: ctx.project.clone(), written: false },
    ];
    // A relative database lies in the shared directory, and so below the data directory.
    if let Some(dir) = ctx.config.database.as_ref().and_then(|d| d.path.parent())
        && dir.is_absolute()
    {
        out.push(Place { path: dir.to_path_buf(), written: true });
    }
    out.retain(|p| !p.path.as_os_str().is_empty());
    out
}

#[async_trait]
impl Check for Disk {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P3", title: ("Disk", "磁盘空间"), risks: &["R5", "R2"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let places = places(ctx);
        let stats = futures_util::future::join_all(places.iter().map(|p| ctx.host.stat_fs(&p.path))).await;
        let mut found = Vec::new();
        let mut systems: Vec<(FsStat, Vec<&Place>)> = Vec::new();
        for (place, stat) in places.iter().zip(stats) {
            match stat {
                Err(e) if e.kind == HostErrorKind::Timeout => {
                    let path = place.path.display();
                    found.push(unknown(
                        &spec,
                        path.to_string(),
                        crate::text!(
                            "the file system that holds {path} does not answer",
                            "{path} 所在的文件系统没有响应"
                        ),
                        crate::text!(
                            "a network mount may hang: look with `findmnt -T {path}` and `dmesg -T | tail`, and repair or unmount it",
                            "可能是网络挂载卡死：用 `findmnt -T {path}`、`dmesg -T | tail` 查看，修复或卸载后重试"
                        ),
                    ));
                }
                Err(e) => found.push(unknown_host(&spec, place.path.display().to_string(), &e)),
                Ok(stat) => match systems.iter_mut().find(|(s, _)| s.device == stat.device) {
                    Some((_, on)) => on.push(place),
                    None => systems.push((stat, vec![place])),
                },
            }
        }
        found.extend(systems.iter().map(|(stat, on)| judge(&spec, ctx, stat, on)));
        found
    }
}

fn judge(spec: &CheckSpec, ctx: &CheckContext, stat: &FsStat, on: &[&Place]) -> Finding {
    let mount = stat.mount.display().to_string();
    let limits = &ctx.config.checks;
    let used = stat.total.saturating_sub(stat.free);
    // As df does it: what is reserved for root is neither used nor available.
    let denominator = used.saturating_add(stat.available);
    let Some(free) = share(stat.available, denominator) else {
        return unknown(
            spec,
            mount.clone(),
            crate::text!("the file system at {mount} does not tell its size", "{mount} 的文件系统不报告容量"),
            crate::text!(
                "look with `df -h {mount}`; keep releases on an ordinary disk",
                "用 `df -h {mount}` 查看；请把版本目录放在普通磁盘上"
            ),
        );
    };
    let inodes = share(stat.inodes_available, stat.inodes);
    let written = on.iter().any(|p| p.written);
    let mut wrong: Vec<Text> = Vec::new();
    let mut worst = Outcome::Pass;
    let mut add = |outcome: Outcome, text: Text| {
        worst = worst.max(outcome);
        wrong.push(text);
    };
    if stat.read_only && written {
        add(Outcome::Fail, Text::new("mounted read-only", "以只读方式挂载"));
    }
    if free <= limits.disk_min_free_percent {
        let p = percent(free);
        add(Outcome::Fail, crate::text!("only {p} free", "仅剩 {p} 可用"));
    }
    if stat.available < limits.disk_min_free.0 {
        let b = ByteSize(stat.available);
        add(Outcome::Fail, crate::text!("only {b} available", "仅剩 {b} 可用"));
    }
    if let Some(i) = inodes.filter(|i| *i < INODES_WARN) {
        let p = percent(i);
        let outcome = if i < INODES_FAIL { Outcome::Fail } else { Outcome::Warn };
        add(outcome, crate::text!("only {p} of inodes left", "inode 仅剩 {p}"));
    }
    // Where a deploy only reads, a full disk is a bad sign and no obstacle.
    let outcome = if written { worst } else { worst.min(Outcome::Warn) };
    let summary = if wrong.is_empty() {
        let (p, b) = (percent(free), ByteSize(stat.available));
        crate::text!("{mount}: {p} free, {b}", "{mount}：剩余 {p}，{b}")
    } else {
        let en = wrong.iter().map(|t| t.en.as_str()).collect::<Vec<_>>().join(", ");
        let zh = wrong.iter().map(|t| t.zh.as_str()).collect::<Vec<_>>().join("，");
        crate::text!("{mount}: {en}", "{mount}：{zh}")
    };
    let paths = on.iter().map(|p| p.path.display().to_string()).collect::<Vec<_>>().join(", ");
    let mut finding = Finding::new(spec, mount.clone(), outcome, summary)
        .with_limit(
            Text::new("free", "可用比例"),
            percent(free),
            percent_limit(">", limits.disk_min_free_percent),
        )
        .with_limit(
            Text::new("available", "可用空间"),
            ByteSize(stat.available).to_string(),
            format!(">= {}", limits.disk_min_free),
        )
        .with_fact(Text::new("holds", "涉及的目录"), paths);
    if let Some(i) = inodes {
        finding = finding.with_limit(
            Text::new("inodes left", "剩余 inode"),
            percent(i),
            percent_limit(">=", INODES_FAIL),
        );
    }
    if stat.read_only {
        finding = finding.with_note(Text::new("mount", "挂载方式"), Text::new("read-only", "只读"));
    }
    match outcome {
        Outcome::Pass => finding,
        _ => finding.with_help(crate::text!(
            "see what fills it with `du -xh --max-depth=2 {mount} | sort -h | tail` and `df -i {mount}`; prune old releases (`app.keep-releases`), caches (`npm cache clean --force`) and logs (`journalctl --vacuum-size=200M`); a read-only mount is often a disk error: `dmesg -T | grep -i error`",
            "用 `du -xh --max-depth=2 {mount} | sort -h | tail`、`df -i {mount}` 找出占用；清理旧版本（`app.keep-releases`）、缓存（`npm cache clean --force`）和日志（`journalctl --vacuum-size=200M`）；变为只读往往是磁盘故障：`dmesg -T | grep -i error`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error, value};

    const GB: u64 = 1_000_000_000;

    fn fs(device: u64, total: u64, free: u64, available: u64) -> FsStat {
        FsStat {
            mount: format!("/m{device}").into(),
            device,
            total,
            free,
            available,
            inodes: 1000,
            inodes_available: 900,
            read_only: false,
        }
    }

    fn world(data: FsStat, project: FsStat) -> World {
        let mut w = World::new("");
        w.host.fs.insert("/var/lib/safelight".into(), Ok(data));
        w.host.fs.insert("/home/dev/app".into(), Ok(project));
        w
    }

    #[tokio::test]
    async fn free_space_is_counted_as_df_does_and_a_file_system_once() {
        // Of 100 GB, 92 are free and 28 may be used: the rest is reserved for root.
        let f = world(fs(1, 100 * GB, 92 * GB, 28 * GB), fs(1, 100 * GB, 92 * GB, 28 * GB)).one(Disk).await;
        assert_eq!((f.outcome, value(&f, "free")), (Outcome::Pass, "77.8 %"));
        assert_eq!(value(&f, "holds"), "/var/lib/safelight, /home/dev/app");
    }

    #[tokio::test]
    async fn too_small_a_share_or_too_few_bytes_fail() {
        let share = world(fs(1, 100 * GB, 20 * GB, 20 * GB), fs(1, 100 * GB, 20 * GB, 20 * GB));
        assert_eq!(share.one(Disk).await.outcome, Outcome::Fail, "exactly 20 % is too little");
        let bytes = world(fs(1, 6 * GB, 4_999_999_999, 4_999_999_999), fs(1, 6 * GB, GB, GB));
        let f = bytes.one(Disk).await;
        assert_eq!(
            (f.outcome, f.evidence[1].limit.as_ref().unwrap().en.as_str()),
            (Outcome::Fail, ">= 5.0 GB")
        );
    }

    #[tokio::test]
    async fn no_inodes_and_a_read_only_mount_fail_and_none_counted_is_fine() {
        let full = FsStat { inodes_available: 10, ..fs(1, 100 * GB, 90 * GB, 90 * GB) };
        assert_eq!(world(full.clone(), full).one(Disk).await.outcome, Outcome::Fail);
        let ro = FsStat { read_only: true, ..fs(1, 100 * GB, 90 * GB, 90 * GB) };
        assert_eq!(world(ro.clone(), ro).one(Disk).await.outcome, Outcome::Fail);
        let btrfs = FsStat { inodes: 0, inodes_available: 0, ..fs(1, 100 * GB, 90 * GB, 90 * GB) };
        assert_eq!(world(btrfs.clone(), btrfs).one(Disk).await.outcome, Outcome::Pass);
    }

    #[tokio::test]
    async fn a_disk_that_is_only_read_from_never_blocks() {
        let ro = FsStat { read_only: true, ..fs(2, 100 * GB, GB, GB) };
        let found = world(fs(1, 100 * GB, 90 * GB, 90 * GB), ro).run(Disk).await;
        let outcomes: Vec<Outcome> = found.iter().map(|f| f.outcome).collect();
        assert_eq!(outcomes, [Outcome::Pass, Outcome::Warn]);
    }

    #[tokio::test]
    async fn a_file_system_without_blocks_is_unknown_and_not_nan() {
        let f = world(fs(1, 0, 0, 0), fs(1, 0, 0, 0)).one(Disk).await;
        assert_eq!(f.outcome, Outcome::Unknown);
        assert!(!format!("{f:?}").contains("NaN"));
    }

    #[tokio::test]
    async fn a_hung_file_system_is_unknown_and_the_others_are_judged() {
        let mut w = world(fs(1, 100 * GB, 90 * GB, 90 * GB), fs(1, 100 * GB, 90 * GB, 90 * GB));
        w.host.fs.insert("/var/lib/safelight".into(), Err(host_error(HostErrorKind::Timeout)));
        let found = w.run(Disk).await;
        assert_eq!((found[0].outcome, found[0].subject.as_str()), (Outcome::Unknown, "/var/lib/safelight"));
        assert_eq!(found[1].outcome, Outcome::Pass);
    }

    #[tokio::test]
    async fn the_disk_of_an_absolute_database_path_is_judged_too() {
        let mut w = world(fs(1, 100 * GB, 90 * GB, 90 * GB), fs(1, 100 * GB, 90 * GB, 90 * GB));
        w.toml.push_str("[database]\nkind = \"sqlite\"\npath = \"/srv/db/app.db\"\n");
        w.host.fs.insert("/srv/db".into(), Ok(fs(3, 100 * GB, GB, GB)));
        let found = w.run(Disk).await;
        assert_eq!((found[1].subject.as_str(), found[1].outcome), ("/m3", Outcome::Fail));
    }
}
