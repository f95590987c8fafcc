//! The risk register: ten named risks of the mission, the user's own, and the state of each as the findings leave it.
//! Holds no opinion on whether to go; that is the verdict's.

use crate::{
    config::{Config, Waiver},
    finding::{Finding, Outcome},
    text::Text,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A risk's id: `R1` to `R10`, or the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RiskId(pub String);

impl From<&str> for RiskId {
    fn from(s: &str) -> Self {
        Self(s.to_owned())
    }
}

impl std::fmt::Display for RiskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How bad it would be.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// An annoyance.
    Low,
    /// Part of the service suffers.
    Medium,
    /// The service or its data is lost.
    High,
}

impl Severity {
    /// A word for tables.
    #[must_use]
    pub fn word(self) -> Text {
        match self {
            Self::Low => Text::new("low", "低"),
            Self::Medium => Text::new("medium", "中"),
            Self::High => Text::new("high", "高"),
        }
    }
}

/// Where a risk stands after the findings are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RiskState {
    /// No check that speaks to it applies to this app; the findings say why.
    NotApplicable,
    /// Every linked check that applies passed (or warned).
    Mitigated,
    /// A blocking finding is covered by waivers that are in force.
    Waived,
    /// At least one linked check could not look, or none has looked at all.
    Unknown,
    /// At least one linked check failed.
    Open,
}

impl RiskState {
    /// A word for tables.
    #[must_use]
    pub fn word(self) -> Text {
        match self {
            Self::NotApplicable => Text::new("not applicable", "不适用"),
            Self::Mitigated => Text::new("mitigated", "已缓解"),
            Self::Waived => Text::new("waived", "已豁免"),
            Self::Unknown => Text::new("unknown", "未知"),
            Self::Open => Text::new("open", "未缓解"),
        }
    }
}

/// A waiver as it applied to a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedWaiver {
    /// The check it waives.
    pub check: String,
    /// Who took the decision.
    pub who: String,
    /// Why.
    pub reason: String,
    /// Until when it holds.
    pub until: Timestamp,
}

/// One line of the register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Risk {
    /// Its id.
    pub id: RiskId,
    /// Its name.
    pub title: Text,
    /// How bad it would be.
    pub severity: Severity,
    /// What users would see.
    pub impact: Text,
    /// What is done against it.
    pub mitigations: Vec<Text>,
    /// Where it stands.
    pub state: RiskState,
    /// The findings that say so, as `id subject`.
    pub findings: Vec<String>,
    /// Waivers that were needed to keep it from blocking.
    #[serde(default)]
    pub waivers: Vec<AppliedWaiver>,
}

/// The whole register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RiskRegister(pub Vec<Risk>);

type Pair = (&'static str, &'static str);
struct Known {
    id: &'static str,
    severity: Severity,
    title: Pair,
    impact: Pair,
    mitigations: &'static [Pair],
}

/// The ten risks of the mission, in its own words and severities.
const KNOWN: &[Known] = &[
    Known {
        id: "R1",
        severity: Severity::High,
        title: ("Service outage", "服务中断"),
        impact: ("Users cannot reach the site or its API", "用户无法访问站点和 API"),
        mitigations: &[
            (
                "The new release starts beside the old one and takes traffic only when it is healthy",
                "新版本与旧版本并行启动，健康后才接流量",
            ),
            ("Traffic goes back to the warm old release at once", "流量可立刻切回仍在运行的旧版本"),
            ("Deploy in the low-peak window", "在低峰窗口部署"),
        ],
    },
    Known {
        id: "R2",
        severity: Severity::High,
        title: ("Data loss", "数据丢失"),
        impact: ("Photos and user data may be lost", "照片、用户数据可能丢失"),
        mitigations: &[
            (
                "A full backup, restored and queried before anything changes",
                "变更前完整备份，并真正恢复、查询一次",
            ),
            ("The old release is kept", "保留旧版本"),
        ],
    },
    Known {
        id: "R3",
        severity: Severity::High,
        title: ("Object storage misconfigured", "对象存储配置错误"),
        impact: ("Uploads fail, photos do not show, callbacks are lost", "图片无法上传或显示，回调失败"),
        mitigations: &[
            ("Every key, style and callback is tried for real", "密钥、样式、回调逐一实测"),
            ("Local storage stays ready as the fallback", "保留本地存储作为降级方案"),
        ],
    },
    Known {
        id: "R4",
        severity: Severity::High,
        title: ("Domain or TLS failure", "域名或证书故障"),
        impact: ("The whole site is unreachable", "整个网站无法访问"),
        mitigations: &[(
            "DNS and certificates of every domain are checked on every address",
            "逐个域名、逐个地址检查 DNS 与证书",
        )],
    },
    Known {
        id: "R5",
        severity: Severity::High,
        title: ("Server out of resources", "服务器资源不足"),
        impact: ("The deploy fails, or the service slows down or dies", "部署失败，服务变慢或崩溃"),
        mitigations: &[
            ("CPU, memory and disk are measured first", "先测量 CPU、内存与磁盘"),
            ("Old releases, caches and logs can be pruned", "可清理旧版本、缓存与日志"),
        ],
    },
    Known {
        id: "R6",
        severity: Severity::Medium,
        title: ("Conflict with other services on the host", "与主机上其他服务冲突"),
        impact: ("Other services may stop working", "其他服务可能无法正常运行"),
        mitigations: &[(
            "Ports, processes and process managers are looked at before",
            "事先检查端口、进程与进程管理器",
        )],
    },
    Known {
        id: "R7",
        severity: Severity::Medium,
        title: ("Code incompatible with the host", "代码与主机环境不兼容"),
        impact: ("The code does not run after the deploy", "部署后代码无法运行"),
        mitigations: &[
            (
                "Runtime and tools are checked by the binaries the service will run",
                "以服务实际使用的程序检查运行时与工具",
            ),
            (
                "The health gate keeps a release that does not run away from users",
                "健康门禁把跑不起来的版本挡在用户之外",
            ),
        ],
    },
    Known {
        id: "R8",
        severity: Severity::Medium,
        title: ("Wrong environment variables", "环境变量配置错误"),
        impact: ("Some functions do not work", "部分功能无法正常工作"),
        mitigations: &[
            ("Every required variable is present before the deploy", "部署前核对全部必需变量"),
            (
                "The environment is part of the release and goes back with it",
                "环境变量属于版本的一部分，随版本一起回滚",
            ),
        ],
    },
    Known {
        id: "R9",
        severity: Severity::Low,
        title: ("Slower than before", "性能下降"),
        impact: ("Pages answer slowly", "响应变慢"),
        mitigations: &[("Latency is compared per version during the watch", "观察期内按版本比较延迟")],
    },
    Known {
        id: "R10",
        severity: Severity::Low,
        title: ("Users notice the deploy", "用户感知到部署"),
        impact: ("Users may see an error page for a moment", "用户可能短暂看到错误页"),
        mitigations: &[(
            "Requests are moved between running processes; none is dropped",
            "请求在运行中的进程之间切换，不丢一个",
        )],
    },
];

fn text(p: Pair) -> Text {
    Text::new(p.0, p.1)
}

impl RiskRegister {
    /// Folds findings (with their waivers, see [`apply_waivers`]) into the register. Pure: the same input gives the
    /// same register.
    #[must_use]
    pub fn assess(config: &Config, findings: &[Finding]) -> Self {
        let mut risks: Vec<Risk> = KNOWN
            .iter()
            .map(|k| Risk {
                id: k.id.into(),
                title: text(k.title),
                severity: k.severity,
                impact: text(k.impact),
                mitigations: k.mitigations.iter().map(|m| text(*m)).collect(),
                state: RiskState::NotApplicable,
                findings: Vec::new(),
                waivers: Vec::new(),
            })
            .collect();
        risks.extend(config.risks.iter().map(|r| Risk {
            id: RiskId(r.id.clone()),
            title: Text::same(&r.title),
            severity: r.severity,
            impact: Text::same(&r.impact),
            mitigations: r.mitigations.iter().map(Text::same).collect(),
            state: RiskState::NotApplicable,
            findings: Vec::new(),
            waivers: Vec::new(),
        }));
        for risk in &mut risks {
            let own: &[String] =
                config.risks.iter().find(|r| r.id == risk.id.0).map_or(&[], |r| r.checks.as_slice());
            let linked: Vec<&Finding> =
                findings.iter().filter(|f| f.risks.contains(&risk.id) || own.contains(&f.id)).collect();
            risk.findings = linked.iter().map(|f| format!("{} {}", f.id, f.subject)).collect();
            for f in &linked {
                let contribution = match (f.outcome, &f.waiver) {
                    (Outcome::Skipped, _) => RiskState::NotApplicable,
                    (Outcome::Pass | Outcome::Warn, _) => RiskState::Mitigated,
                    (Outcome::Unknown | Outcome::Fail, Some(w)) => {
                        if !risk.waivers.contains(w) {
                            risk.waivers.push(w.clone());
                        }
                        RiskState::Waived
                    }
                    (Outcome::Fail, None) => RiskState::Open,
                    (Outcome::Unknown, None) => RiskState::Unknown,
                };
                risk.state = risk.state.max(contribution);
            }
            let proof = proof_of(&risk.id);
            let looked = |f: &&Finding| proof.contains(&f.id.as_str()) && f.outcome != Outcome::Skipped;
            if risk.state == RiskState::Mitigated && !proof.is_empty() && !linked.iter().any(looked) {
                risk.state = RiskState::NotApplicable;
            }
            // The user linked checks to this risk and none of them has looked: nothing proves it is under control.
            if linked.is_empty() && !own.is_empty() {
                risk.state = RiskState::Unknown;
            }
        }
        Self(risks)
    }
}

/// The checks of which one has to have looked before the mitigations of a risk may be called true; empty when any linked
/// one will do. Free disk space alone keeps no data safe: without a database, Safelight knows nothing of the app's data.
fn proof_of(risk: &RiskId) -> &'static [&'static str] {
    match risk.0.as_str() {
        "R2" => &["P16", "P27"],
        _ => &[],
    }
}

/// Attaches to each blocking finding the waiver that covers it and is still in force at `now`.
pub fn apply_waivers(findings: &mut [Finding], waivers: &[Waiver], now: Timestamp) {
    for f in findings.iter_mut().filter(|f| f.outcome.blocks()) {
        f.waiver = waivers
            .iter()
            .find(|w| w.check == f.id && w.subject.as_ref().is_none_or(|s| *s == f.subject) && w.until > now)
            .map(|w| AppliedWaiver {
                check: w.check.clone(),
                who: w.who.clone(),
                reason: w.reason.clone(),
                until: w.until,
            });
    }
}
