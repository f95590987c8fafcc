//! The plan of a run: a list of steps that can be printed before anything happens, stored, and resumed.
//! Deciding is done here; doing is the host's.

use crate::{
    config::{Config, Environment, ProcessKind, Service},
    text::Text,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the stored form of plans. A host refuses to resume a plan of another version.
pub const SCHEMA: u32 = 1;

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanKind {
    /// A new release goes to users.
    Deploy,
    /// An earlier verified release goes back to users.
    Rollback,
}

/// Where in a deploy a step belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Measure the risk.
    Assess,
    /// Put the release on the host.
    Stage,
    /// Copy what could be lost, and prove the copy.
    BackUp,
    /// Prove the way back on the restored backup.
    Rehearse,
    /// Last look before production changes.
    Gate,
    /// Change the schema.
    Migrate,
    /// Start the new release beside the old one.
    Start,
    /// Meet the new release by the test host name only.
    DarkTest,
    /// Move users.
    Promote,
    /// Do what users do, where users are.
    Verify,
    /// Keep looking.
    Watch,
    /// Clear away what is no longer needed.
    Retire,
}

impl Phase {
    /// Its name for people.
    #[must_use]
    pub fn word(self) -> Text {
        let (en, zh) = match self {
            Self::Assess => ("assess", "评估"),
            Self::Stage => ("stage", "就位"),
            Self::BackUp => ("back up", "备份"),
            Self::Rehearse => ("rehearse", "演练"),
            Self::Gate => ("gate", "门禁"),
            Self::Migrate => ("migrate", "迁移"),
            Self::Start => ("start", "启动"),
            Self::DarkTest => ("dark test", "暗测"),
            Self::Promote => ("promote", "切流"),
            Self::Verify => ("verify", "验证"),
            Self::Watch => ("watch", "观察"),
            Self::Retire => ("retire", "收尾"),
        };
        Text::new(en, zh)
    }
}

/// Everything a step can do. Closed on purpose: a plan can be printed, stored and resumed because of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Action {
    /// Runs every check and folds the findings into a verdict; a no-go ends the run here.
    Assess,
    /// Puts content, dependencies, build output, links and environment of the release in place.
    Stage,
    /// Copies the live database.
    BackUpDatabase,
    /// Restores that copy into a scratch database and queries it.
    ProveBackup,
    /// Migrates the scratch database with the new release, then runs the old release on it.
    Rehearse,
    /// Looks at the clock, the window and the state of the host once more.
    Gate,
    /// Migrates the live database with the new release.
    Migrate,
    /// Starts one service of the release on a private port and waits until it is healthy.
    Start {
        /// Name of the service.
        service: String,
    },
    /// Opens the test host name to the new release and runs the journeys through it.
    DarkTest,
    /// Moves users of one service to the new release.
    Promote {
        /// Name of the service.
        service: String,
    },
    /// Exchanges old for new on the one port the app can use, while the proxy holds its requests.
    Exchange {
        /// Name of the service.
        service: String,
    },
    /// Takes a service out of routing that the release before has and this one does not.
    Close {
        /// Name of the service.
        service: String,
    },
    /// Runs the journeys through the address that users use.
    Verify,
    /// Lets requests wait, stops the release that serves, and puts `backup` in the place of the live database.
    RestoreDatabase {
        /// Which one. Plans of earlier versions do not say; the same rule chooses it then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backup: Option<ChosenBackup>,
    },
    /// Records the new release as the one that serves.
    Commit,
    /// Watches the new release; a breach undoes the run.
    Watch,
    /// Stops the processes of the release that no longer serves.
    Retire,
    /// Removes releases that are no longer kept.
    Prune,
}

/// A backup as a plan names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenBackup {
    /// The run that made it, before it took users from the release that is gone back to.
    pub run: String,
    /// The release that the run led to.
    pub before: String,
    /// Writes after this moment are not in it.
    pub taken_at: Timestamp,
}

/// How a step is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "how")]
pub enum UndoPlan {
    /// It changes nothing that would have to be taken back.
    NothingToDo,
    /// By itself.
    Automatic(Text),
    /// Only after a person agrees.
    Ask(Text),
    /// Not at all, and why that is all right or not.
    Impossible(Text),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Position in the plan, from 1.
    pub id: u32,
    /// Phase.
    pub phase: Phase,
    /// What it does.
    pub action: Action,
    /// What it does, in words.
    pub title: Text,
    /// The commands it runs, as far as they are known beforehand.
    pub commands: Vec<String>,
    /// How it is taken back.
    pub undo: UndoPlan,
    /// It only clears up after the deploy has succeeded: when it fails, that is a warning.
    pub tidy: bool,
}

/// A release as a plan names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// `r12`.
    pub id: String,
    /// Tag, commit or directory.
    pub revision: String,
    /// Commit, for git sources.
    pub commit: Option<String>,
}

/// The whole plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Id of the run that carries it out.
    pub run: String,
    /// What it is for.
    pub kind: PlanKind,
    /// Name of the app.
    pub app: String,
    /// Name of the environment.
    pub env: String,
    /// The machine.
    pub host: String,
    /// Who asked for it.
    pub who: String,
    /// The release that serves now.
    pub from: Option<ReleaseRef>,
    /// The release that will.
    pub to: ReleaseRef,
    /// When it was made.
    pub created: Timestamp,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// What a plan is made from, besides the configuration.
pub struct PlanInput<'a> {
    /// The configuration of the release that will serve: the present one for a deploy, its own for a rollback.
    pub config: &'a Config,
    /// Name of the environment.
    pub env_name: &'a str,
    /// The environment.
    pub env: &'a Environment,
    /// Id of the run.
    pub run: String,
    /// The machine.
    pub host: String,
    /// Who asks.
    pub who: String,
    /// The release that serves now.
    pub from: Option<ReleaseRef>,
    /// Its services.
    pub serving: &'a [Service],
    /// The release to deploy or to go back to.
    pub to: ReleaseRef,
    /// The time.
    pub now: Timestamp,
}

struct Builder {
    steps: Vec<Step>,
}

impl Builder {
    fn add(&mut self, phase: Phase, action: Action, title: Text, commands: Vec<String>, undo: UndoPlan) {
        let id = u32::try_from(self.steps.len() + 1).unwrap_or(u32::MAX);
        let tidy = phase == Phase::Retire;
        self.steps.push(Step { id, phase, action, title, commands, undo, tidy });
    }
}

impl Plan {
    /// The plan of a deploy.
    #[must_use]
    pub fn deploy(input: PlanInput<'_>) -> Self {
        let mut b = Builder { steps: Vec::new() };
        let c = input.config;
        let n = crate::checks::all().len();
        b.add(
            Phase::Assess,
            Action::Assess,
            crate::text!("run {n} checks and decide go or no-go", "运行 {n} 项检查，判定能否部署"),
            Vec::new(),
            UndoPlan::NothingToDo,
        );
        let rev = &input.to.revision;
        b.add(
            Phase::Stage,
            Action::Stage,
            crate::text!("put {rev} on the host, with its environment", "把 {rev} 连同环境变量放到主机"),
            [&c.build.install, &c.build.build].into_iter().flatten().map(|l| l.display()).collect(),
            UndoPlan::Automatic(Text::new("remove the release", "删除该版本")),
        );
        if let Some(db) = &c.database {
            let path = db.path.display();
            b.add(
                Phase::BackUp,
                Action::BackUpDatabase,
                crate::text!("back up {path} while it is in use", "在线备份 {path}"),
                Vec::new(),
                UndoPlan::Impossible(Text::new("the backup is kept on purpose", "备份会特意保留")),
            );
            b.add(
                Phase::BackUp,
                Action::ProveBackup,
                Text::new(
                    "restore the backup into a scratch database and query it",
                    "把备份恢复到临时库并查询，证明可用",
                ),
                db.proof_queries.clone(),
                UndoPlan::Automatic(Text::new("remove the scratch database", "删除临时库")),
            );
            if let (Some(migrate), Some(from)) = (&db.migrate, &input.from) {
                let old = &from.id;
                b.add(
                    Phase::Rehearse,
                    Action::Rehearse,
                    rehearsal(c, input.env, old),
                    vec![migrate.display()],
                    UndoPlan::NothingToDo,
                );
            }
        }
        b.add(
            Phase::Gate,
            Action::Gate,
            Text::new("look at the window and the host once more", "再次确认部署窗口与主机状态"),
            Vec::new(),
            UndoPlan::NothingToDo,
        );
        if let Some((db, migrate)) = c.database.as_ref().and_then(|d| Some((d, d.migrate.as_ref()?))) {
            let undo = match (&db.unmigrate, &input.from) {
                (Some(u), _) => {
                    let u = u.display();
                    UndoPlan::Automatic(crate::text!("run `{u}`", "运行 `{u}`"))
                }
                (None, Some(_)) if !c.rehearsal_proves(input.env) => UndoPlan::Automatic(Text::new(
                    "the schema stays, and the rehearsal does not prove that the old release runs on it; the backup is kept",
                    "保留新表结构，但演练未证明旧版本可在其上运行；备份会保留",
                )),
                (None, Some(_)) => UndoPlan::Automatic(Text::new(
                    "the schema stays: the rehearsal has proven that the old release runs on it; the backup is kept",
                    "保留新表结构：演练已证明旧版本可在其上运行；备份会保留",
                )),
                (None, None) => UndoPlan::Ask(Text::new(
                    "no release served before: the schema stays, and the backup is kept",
                    "此前没有任何版本：保留新表结构与备份",
                )),
            };
            b.add(
                Phase::Migrate,
                Action::Migrate,
                Text::new("migrate the live database", "迁移生产数据库"),
                vec![migrate.display()],
                undo,
            );
        }
        start_and_promote(&mut b, c, &input);
        Self::finish(input, PlanKind::Deploy, b)
    }

    /// The plan of a rollback to `input.to`, which is on the host already: the same steps as a deploy, less those that
    /// make a release. With `backup` that also takes the place of the live database. The old release starts after that,
    /// on the data that it will serve: it may not know the schema of now at all.
    #[must_use]
    pub fn rollback(input: PlanInput<'_>, backup: Option<ChosenBackup>) -> Self {
        let mut b = Builder { steps: Vec::new() };
        let database = backup.is_some();
        if let Some(backup) = backup {
            b.add(
                Phase::BackUp,
                Action::BackUpDatabase,
                Text::new("back up the database as it is now", "先备份数据库现状"),
                Vec::new(),
                UndoPlan::Impossible(Text::new("the backup is kept on purpose", "备份会特意保留")),
            );
            let at = backup.taken_at.strftime("%Y-%m-%d %H:%M:%S UTC");
            let before = &backup.before;
            b.add(
                Phase::Migrate,
                Action::RestoreDatabase { backup: Some(backup.clone()) },
                crate::text!(
                    "let requests wait, stop the release that serves, and restore the backup of {at}, taken before {before}; later writes are lost",
                    "暂存请求，停止正在服务的版本，恢复 {at}（{before} 上线前）的备份；其后的写入会丢失"
                ),
                Vec::new(),
                UndoPlan::Automatic(Text::new(
                    "put the replaced database back and start the release that served",
                    "放回被替换的数据库，并重新启动原版本",
                )),
            );
        }
        start_and_promote(&mut b, input.config, &input);
        // After a rollback the good old release serves: there is nothing new to watch. While requests wait, nobody
        // takes the time for a dark test.
        b.steps.retain(|s| s.action != Action::Watch && !(database && s.action == Action::DarkTest));
        for (i, s) in b.steps.iter_mut().enumerate() {
            s.id = u32::try_from(i + 1).unwrap_or(u32::MAX);
        }
        Self::finish(input, PlanKind::Rollback, b)
    }

    fn finish(input: PlanInput<'_>, kind: PlanKind, b: Builder) -> Self {
        Self {
            schema: SCHEMA,
            run: input.run,
            kind,
            app: input.config.app.name.clone(),
            env: input.env_name.to_owned(),
            host: input.host,
            who: input.who,
            from: input.from,
            to: input.to,
            created: input.now,
            steps: b.steps,
        }
    }

    /// The step that puts a backup in the place of the live database, when there is one.
    #[must_use]
    pub fn restores(&self) -> Option<&Step> {
        self.steps.iter().find(|s| matches!(s.action, Action::RestoreDatabase { .. }))
    }

    /// The step with this id.
    #[must_use]
    pub fn step(&self, id: u32) -> Option<&Step> {
        self.steps.iter().find(|s| s.id == id)
    }
}

/// A service that users reach and that the new release does not have would answer them with the old release for ever.
fn close_what_ends(b: &mut Builder, c: &Config, input: &PlanInput<'_>) {
    let routed = |name: &str| c.services.iter().any(|s| s.name == name && s.path.is_some());
    for s in input.serving.iter().filter(|s| s.path.is_some() && !routed(&s.name)) {
        let (name, release) = (&s.name, &input.to.id);
        b.add(
            Phase::Promote,
            Action::Close { service: name.clone() },
            crate::text!(
                "close {name}: {release} serves none of that name",
                "关闭 {name}：{release} 不再对外提供该服务"
            ),
            Vec::new(),
            UndoPlan::Automatic(Text::new("open it on the old release again", "在旧版本上重新开放")),
        );
    }
}

/// What the rehearsal will do, and what it will not.
fn rehearsal(c: &Config, env: &Environment, old: &str) -> Text {
    if c.rehearsal_proves(env) {
        return crate::text!(
            "migrate the scratch database, then run the new release and after it the old one, {old}, on it, with the journeys",
            "在临时库上迁移，再让新版本与旧版本 {old} 先后在其上运行并执行用户路径"
        );
    }
    let bound = c.bound_services();
    if bound.is_empty() {
        return crate::text!(
            "migrate the scratch database, then start the new release and after it the old one, {old}, on it; no journey can be run there, so the way back is not proven",
            "在临时库上迁移，再让新版本与旧版本 {old} 先后在其上启动；无法在其上运行用户路径，因此回滚路径未经证明"
        );
    }
    let names = bound.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    crate::text!(
        "migrate the scratch database; {names} cannot run beside {old} on one port and is left out, so the way back is not proven",
        "在临时库上迁移；{names} 只能使用一个端口，无法与 {old} 并行，不参与演练，因此回滚路径未经证明"
    )
}

fn start_and_promote(b: &mut Builder, c: &Config, input: &PlanInput<'_>) {
    let (env, release, old_serves) = (input.env, &input.to.id, input.from.is_some());
    let manager = match env.process {
        ProcessKind::Detached => "detached",
        ProcessKind::Pm2 => "pm2",
    };
    for s in c.services.iter().filter(|s| s.fixed_port.is_none()) {
        let (name, health) = (&s.name, &s.health);
        b.add(
            Phase::Start,
            Action::Start { service: name.clone() },
            crate::text!(
                "start {name} of {release} on a private port under {manager}; healthy when GET {health} is 2xx",
                "用 {manager} 在私有端口启动 {release} 的 {name}；GET {health} 返回 2xx 即健康"
            ),
            vec![format!("PORT=<private> {}", s.command.display())],
            UndoPlan::Automatic(Text::new("stop it", "停止该进程")),
        );
    }
    // A service on its one port cannot run beside the old one, so the test host would show half a release.
    let side_by_side = c.services.iter().all(|s| s.path.is_none() || s.fixed_port.is_none());
    if let Some(host) = env.test_host.as_ref().filter(|_| side_by_side && !c.journeys.files.is_empty()) {
        let n = c.journeys.files.len();
        b.add(
            Phase::DarkTest,
            Action::DarkTest,
            crate::text!(
                "route only {host} to the new release and run {n} journeys through it",
                "仅把 {host} 指向新版本，跑 {n} 条用户路径"
            ),
            Vec::new(),
            UndoPlan::Automatic(Text::new("close the test host name", "关闭测试域名路由")),
        );
    }
    for s in &c.services {
        let name = &s.name;
        let (action, title) = if s.fixed_port.is_some() {
            (
                Action::Exchange { service: name.clone() },
                crate::text!(
                    "exchange {name} in place while the proxy holds its requests",
                    "代理暂存请求，原地更换 {name}"
                ),
            )
        } else {
            (
                Action::Promote { service: name.clone() },
                crate::text!(
                    "move users of {name} to {release}; the old process stays warm",
                    "把 {name} 的用户切到 {release}；旧进程保持热备"
                ),
            )
        };
        let served = input.serving.iter().any(|o| o.name == s.name);
        let undo = if old_serves && served {
            UndoPlan::Automatic(Text::new("move them back to the old release", "切回旧版本"))
        } else {
            UndoPlan::Automatic(Text::new(
                "close the route: nothing served before",
                "关闭路由：此前没有版本在服务",
            ))
        };
        b.add(Phase::Promote, action, title, Vec::new(), undo);
    }
    close_what_ends(b, c, input);
    let n = c.journeys.files.len();
    let url = &env.url;
    b.add(
        Phase::Verify,
        Action::Verify,
        crate::text!(
            "health of every service and {n} journeys through {url}",
            "经 {url} 检查每个服务的健康并跑 {n} 条用户路径"
        ),
        Vec::new(),
        UndoPlan::NothingToDo,
    );
    b.add(
        Phase::Verify,
        Action::Commit,
        crate::text!(
            "record {release} as the verified release that serves",
            "把 {release} 记为正在服务的已验证版本"
        ),
        Vec::new(),
        UndoPlan::Automatic(Text::new("record the old release again", "恢复旧版本的记录")),
    );
    let (span, looks) = (c.watch.duration, c.watch.breaches_to_undo);
    b.add(
        Phase::Watch,
        Action::Watch,
        crate::text!(
            "watch for {span}; {looks} bad looks in a row undo everything",
            "观察 {span}；连续 {looks} 次异常即全部撤销"
        ),
        Vec::new(),
        UndoPlan::NothingToDo,
    );
    if old_serves {
        b.add(
            Phase::Retire,
            Action::Retire,
            Text::new("stop the old release; it stays on disk", "停止旧版本进程；文件保留"),
            Vec::new(),
            UndoPlan::NothingToDo,
        );
    }
    let keep = c.app.keep_releases;
    b.add(
        Phase::Retire,
        Action::Prune,
        crate::text!(
            "keep the newest {keep} verified releases, remove older ones",
            "保留最近 {keep} 个已验证版本，清理更旧的"
        ),
        Vec::new(),
        UndoPlan::NothingToDo,
    );
}
