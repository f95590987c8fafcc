//! P5: which processes of the runtime run on the host already, and whose are they?
//! Informs only: what of them is in the way is for P6 and P7. Fails only where the process manager itself is missing.

use super::support::unknown_host;
use crate::{
    check::{Check, CheckContext, CheckSpec},
    config::ProcessKind,
    driver::host::{ProcessInfo, descends},
    finding::{Finding, Outcome},
    text::Text,
};
use async_trait::async_trait;
use std::{collections::HashMap, path::Path};

/// Names of runtimes and of what manages their processes.
const RUNTIMES: &[&str] = &["node", "nodejs", "npm", "npx", "pm2", "bun", "deno", "forever", "tsx"];
const SHOWN: usize = 30;

/// The check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processes;

fn base(program: &str) -> &str {
    Path::new(program).file_name().and_then(|n| n.to_str()).unwrap_or(program)
}

/// True for a process whose program is one of `programs`. A runtime may rename itself (`PM2 v7.0.4: God Daemon`,
/// `node-MainThread`): name, executable and command line are all looked at.
fn is_one_of(p: &ProcessInfo, programs: &[String]) -> bool {
    let exe = p.exe.as_deref().and_then(|e| e.file_name()).and_then(|n| n.to_str()).unwrap_or("");
    let first = base(p.command.split_whitespace().next().unwrap_or(""));
    [p.name.as_str(), exe, first].iter().any(|n| {
        let n = n.to_ascii_lowercase();
        programs
            .iter()
            .any(|k| n == *k || n.strip_prefix(k.as_str()).is_some_and(|r| r.starts_with(['-', ' '])))
    })
}

#[async_trait]
impl Check for Processes {
    fn spec(&self) -> CheckSpec {
        CheckSpec { id: "P5", title: ("Running processes", "运行中的进程"), risks: &["R6"] }
    }

    async fn run(&self, ctx: &CheckContext) -> Vec<Finding> {
        let spec = self.spec();
        let mut found = self.running(ctx, &spec).await;
        if ctx.env.process == ProcessKind::Pm2 {
            found.push(manager(ctx, &spec).await);
        }
        found
    }
}

/// PM2 is looked for, never run: every call of it, even `--version`, starts its daemon.
async fn manager(ctx: &CheckContext, spec: &CheckSpec) -> Finding {
    let program = ctx.env.pm2_program(&ctx.project);
    match ctx.host.find_program(&program).await {
        Ok(Some(path)) => {
            let path = path.display();
            Finding::new(spec, "pm2", Outcome::Pass, crate::text!("PM2 is {path}", "PM2 位于 {path}"))
        }
        Ok(None) => Finding::new(
            spec,
            "pm2",
            Outcome::Fail,
            crate::text!(
                "{program} is not there: nothing could start the app",
                "找不到 {program}：无法启动应用"
            ),
        )
        .with_help(Text::new(
            "install it (`npm install -g pm2`), or name it by its path in `pm2` of the environment: the PATH of the host daemon counts, not that of a login shell",
            "请安装（`npm install -g pm2`），或在该环境的 `pm2` 中写明路径：以主机守护进程的 PATH 为准，而不是登录 shell 的",
        )),
        Err(e) => unknown_host(spec, "pm2", &e),
    }
}

impl Processes {
    async fn running(&self, ctx: &CheckContext, spec: &CheckSpec) -> Vec<Finding> {
        let all = match ctx.host.processes().await {
            Ok(p) => p,
            Err(e) => return vec![unknown_host(spec, ctx.host.name(), &e)],
        };
        let mut programs: Vec<String> = RUNTIMES.iter().map(|s| (*s).to_owned()).collect();
        for s in &ctx.config.services {
            let program = s.command.argv().first().map(|a| base(a).to_ascii_lowercase());
            // A shell is everybody's: it says nothing about this app.
            programs.extend(program.filter(|p| !matches!(p.as_str(), "sh" | "bash" | "dash")));
        }
        programs.dedup();
        let parents: HashMap<u32, u32> = all.iter().map(|p| (p.pid, p.parent)).collect();
        let running: Vec<&ProcessInfo> = all.iter().filter(|p| is_one_of(p, &programs)).collect();
        let own = running.iter().filter(|p| descends(p.pid, &ctx.state.own_pids, &parents)).count();
        let (count, others) = (running.len(), running.len() - own);
        let summary = crate::text!(
            "{count} processes of the runtime run here: {own} of this app, {others} of others",
            "主机上有 {count} 个运行时进程：本应用 {own} 个，其他 {others} 个"
        );
        let mut finding = Finding::new(spec, ctx.host.name(), Outcome::Pass, summary)
            .with_fact(Text::new("looked for", "查找的程序"), programs.join(", "));
        for p in running.iter().take(SHOWN) {
            let (pid, command, user) = (p.pid, &p.command, &p.user);
            let cwd = p.cwd.as_ref().map_or_else(|| "?".to_owned(), |c| c.display().to_string());
            let whose = if descends(pid, &ctx.state.own_pids, &parents) {
                Text::new("this app", "本应用")
            } else {
                Text::new("other", "其他")
            };
            let (en, zh) = (whose.en, whose.zh);
            finding = finding.with_note(
                crate::text!("process {pid}", "进程 {pid}"),
                crate::text!(
                    "{command}; by {user} in {cwd}; {en}",
                    "{command}；用户 {user}，目录 {cwd}；{zh}"
                ),
            );
        }
        if count > SHOWN {
            let more = count - SHOWN;
            finding = finding
                .with_note(Text::new("not shown", "未列出"), crate::text!("{more} more", "另有 {more} 个"));
        }
        vec![finding]
    }
}

#[cfg(test)]
pub(super) fn process(pid: u32, parent: u32, name: &str, command: &str) -> ProcessInfo {
    ProcessInfo {
        pid,
        parent,
        start_ticks: 1,
        name: name.into(),
        exe: None,
        command: command.into(),
        user: "www".into(),
        cwd: Some("/srv/film".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::{World, host_error, value};
    use crate::driver::host::HostErrorKind;

    #[tokio::test]
    async fn runtime_processes_are_listed_with_their_owner() {
        let mut w = World::new("");
        w.state.own_pids = vec![50];
        w.host.processes = Ok(vec![
            process(1, 0, "init", "/sbin/init"),
            process(50, 1, "safelight", "safelight host"),
            process(60, 50, "node-MainThread", "node server.js"),
            process(70, 1, "PM2 v7.0.4: God", "PM2 v7.0.4: God Daemon"),
            process(71, 70, "node", "node /srv/blog/index.js"),
            process(72, 1, "nodemon", "nodemonitor"),
        ]);
        let f = w.one(Processes).await;
        assert_eq!(f.outcome, Outcome::Pass);
        assert_eq!(f.summary.en, "3 processes of the runtime run here: 1 of this app, 2 of others");
        assert!(value(&f, "process 60").ends_with("this app"));
        assert!(value(&f, "process 71").starts_with("node /srv/blog/index.js; by www in /srv/film"));
    }

    #[tokio::test]
    async fn a_process_table_that_cannot_be_read_is_unknown() {
        let mut w = World::new("");
        w.host.processes = Err(host_error(HostErrorKind::Permission));
        assert_eq!(w.one(Processes).await.outcome, Outcome::Unknown);
    }

    #[tokio::test]
    async fn a_pm2_that_is_not_there_fails_before_anything_is_done() {
        let mut w = World::new("");
        w.host.processes = Ok(vec![]);
        assert_eq!(w.run(Processes).await.len(), 1, "detached processes need no program");
        w.toml.push_str("process = \"pm2\"\n");
        let found = w.run(Processes).await;
        assert_eq!((found[1].subject.as_str(), found[1].outcome), ("pm2", Outcome::Fail));
        assert!(found[1].help.as_ref().unwrap().en.contains("PATH of the host daemon"));
        w.host.programs.insert("pm2".into(), Ok(Some("/usr/bin/pm2".into())));
        let found = w.run(Processes).await;
        assert_eq!((found[1].outcome, found[1].summary.en.as_str()), (Outcome::Pass, "PM2 is /usr/bin/pm2"));
        w.toml.push_str("pm2 = \"tools/pm2\"\n");
        let found = w.run(Processes).await;
        assert!(found[1].outcome == Outcome::Fail && found[1].summary.en.contains("tools/pm2 is not there"));
    }

    #[test]
    fn a_loop_in_the_process_table_ends() {
        let parents = HashMap::from([(5, 6), (6, 5), (7, 7)]);
        assert!(!descends(5, &[9], &parents));
        assert!(!descends(7, &[9], &parents));
        assert!(descends(8, &[1], &HashMap::from([(8, 1), (1, 0)])), "Safelight may be init of a container");
    }
}
