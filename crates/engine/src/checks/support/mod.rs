//! What several checks share: control groups, kinds of host names, version ranges, and turns of phrase.
//! Judges nothing: that is each check's own business.

pub(super) mod certificate_files;
pub(super) mod cgroup;
pub(super) mod names;
pub(super) mod version;

use crate::{
    check::CheckSpec,
    driver::host::{Host, HostError, HostErrorKind},
    finding::{Finding, Outcome},
    text::Text,
};
use std::path::Path;

/// "Could not look", with the reason and what to do about it.
pub(super) fn unknown(spec: &CheckSpec, subject: impl Into<String>, why: Text, help: Text) -> Finding {
    Finding::new(spec, subject, Outcome::Unknown, why).with_help(help)
}

/// "Could not look", because the host would not answer.
pub(super) fn unknown_host(spec: &CheckSpec, subject: impl Into<String>, e: &HostError) -> Finding {
    let help = match e.kind {
        HostErrorKind::Permission => Text::new(
            "run `safelight check` as the user that deploys, or give that user the right to read this",
            "请以部署用户的身份运行 `safelight check`，或为该用户开放此项的读取权限",
        ),
        HostErrorKind::Timeout => Text::new(
            "the host answers too slowly: look for hung mounts and load with `uptime` and `dmesg -T | tail`, then run the check again",
            "主机响应过慢：用 `uptime`、`dmesg -T | tail` 查看负载与卡死的挂载，然后重新检查",
        ),
        HostErrorKind::Unreachable => Text::new(
            "make sure that the host can be reached, then run the check again",
            "请确认主机可以连通，然后重新检查",
        ),
        _ => Text::new("clear the cause named above, then run the check again", "排除上述原因后重新运行检查"),
    };
    unknown(spec, subject, crate::text!("could not look: {e}", "无法检查：{e}"), help)
}

/// "Does not apply here", with the reason.
pub(super) fn skipped(spec: &CheckSpec, subject: impl Into<String>, why: Text) -> Finding {
    Finding::new(spec, subject, Outcome::Skipped, why)
}

/// A file of the host as text; bytes that are not UTF-8 are replaced.
pub(super) async fn read_text(host: &dyn Host, path: impl AsRef<Path>) -> Result<String, HostError> {
    host.read(path.as_ref()).await.map(|b| String::from_utf8_lossy(&b).into_owned())
}

/// `84.2 %`.
pub(super) fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

/// A limit as the user wrote it, without needless zeros: `80 %`.
pub(super) fn percent_limit(sign: &str, value: f64) -> String {
    format!("{sign} {value} %")
}

/// `part / whole` in percent; `None` when there is no whole.
#[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 53 bits")]
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64 * 100.0)
}

/// Words of a list for a sentence, at most `most` of them, then how many more there are.
pub(super) fn list(items: &[String], most: usize) -> Text {
    let shown = items.iter().take(most).cloned().collect::<Vec<_>>();
    let more = items.len().saturating_sub(most);
    if more == 0 {
        return Text::new(shown.join(", "), shown.join("、"));
    }
    let (en, zh) = (shown.join(", "), shown.join("、"));
    crate::text!("{en} and {more} more", "{zh} 等另外 {more} 项")
}

/// Several things that are wrong with one subject, folded into one finding: the worst outcome, all sentences.
#[derive(Default)]
pub(super) struct Problems {
    worst: Option<Outcome>,
    what: Vec<Text>,
    help: Vec<Text>,
}

impl Problems {
    /// One more thing, and what to do about it.
    pub(super) fn add(&mut self, outcome: Outcome, what: Text, help: Text) {
        self.worst = self.worst.max(Some(outcome));
        self.what.push(what);
        if !self.help.contains(&help) {
            self.help.push(help);
        }
    }

    /// True while nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.what.is_empty()
    }

    /// The finding; `fine` is its summary when nothing is wrong.
    pub(super) fn finding(&self, spec: &CheckSpec, subject: impl Into<String>, fine: Text) -> Finding {
        let Some(worst) = self.worst else { return Finding::new(spec, subject, Outcome::Pass, fine) };
        Finding::new(spec, subject, worst, join(&self.what)).with_help(join(&self.help))
    }
}

fn join(texts: &[Text]) -> Text {
    let en = texts.iter().map(|t| t.en.as_str()).collect::<Vec<_>>().join("; ");
    let zh = texts.iter().map(|t| t.zh.as_str()).collect::<Vec<_>>().join("；");
    Text { en, zh }
}
