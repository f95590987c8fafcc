//! The HTML form: one file, no script, no network, readable in light and dark, on a phone and on paper.

mod chart;

use super::{Mood, Report, StepOutcome, StepReport, duration, escape};
use crate::{
    finding::{Finding, Outcome},
    risk::RiskState,
    run::RunEnd,
    text::{Lang, Text},
};
use chart::Series;
use std::{collections::BTreeMap, fmt::Write as _};

struct Page {
    lang: Lang,
    o: String,
}

impl Page {
    fn t(&self, x: &Text) -> String {
        escape(x.get(self.lang))
    }
    fn l(&self, en: &'static str, zh: &'static str) -> &'static str {
        if self.lang == Lang::Zh { zh } else { en }
    }
}

/// A whole report.
#[must_use]
pub fn render(r: &Report, lang: Lang) -> String {
    let mut p = Page { lang, o: String::with_capacity(64 * 1024) };
    let (word, mood) = r.headline();
    let title = format!("{} · {}", escape(&r.app), escape(&r.env));
    let _ = write!(
        p.o,
        "<!doctype html><html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"generator\" content=\"Safelight {}\"><title>{title}: {}</title><style>{}</style></head><body><main>",
        lang.tag(),
        env!("CARGO_PKG_VERSION"),
        p.t(&word),
        include_str!("style.css")
    );
    header(&mut p, r, &title);
    banner(&mut p, r, &word, mood);
    facts(&mut p, r);
    steps(&mut p, r);
    watch(&mut p, r);
    risks(&mut p, r);
    findings(&mut p, r);
    let made = p.l("Made by Safelight", "由 Safelight 生成");
    let _ = write!(
        p.o,
        "<footer>{made} {} · {}</footer></main></body></html>",
        env!("CARGO_PKG_VERSION"),
        moment(r.ended.unwrap_or(r.began))
    );
    p.o
}

fn moment(t: jiff::Timestamp) -> String {
    t.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
}

fn header(p: &mut Page, r: &Report, title: &str) {
    let kind = match (&r.run, r.kind) {
        (None, _) => p.l("Preflight check", "部署前检查"),
        (_, Some(crate::plan::PlanKind::Rollback)) => p.l("Rollback", "回滚"),
        _ => p.l("Deploy", "部署"),
    };
    let mut sub = format!("{kind} · {} · {}", escape(&r.host), moment(r.began));
    if let Some(who) = &r.who {
        let _ = write!(sub, " · {}", escape(who));
    }
    if let Some(run) = &r.run {
        let _ = write!(sub, " · {}", escape(run));
    }
    let _ = write!(
        p.o,
        "<header><div class=\"lamp\" aria-hidden=\"true\"></div><div><h1>{title}</h1><p class=\"sub\">{sub}</p></div></header>"
    );
}

fn banner(p: &mut Page, r: &Report, word: &Text, mood: Mood) {
    let class = match mood {
        Mood::Good => "good",
        Mood::Careful => "careful",
        Mood::Bad => "bad",
    };
    let detail = match &r.end {
        // As in a terminal: the app's own last lines stand with the step that failed.
        Some(RunEnd::Undone { reason, .. }) => p.t(reason).lines().next().unwrap_or("").to_owned(),
        Some(RunEnd::NeedsPerson { stuck, .. }) => p.t(stuck),
        _ => match &r.verdict {
            Some(v) if !v.blocking.is_empty() => escape(&v.blocking.join(" · ")),
            _ => String::new(),
        },
    };
    let word = p.t(word);
    let _ = write!(p.o, "<div class=\"banner {class}\">{word}<small>{detail}</small></div>");
}

fn facts(p: &mut Page, r: &Report) {
    let mut list: Vec<(String, &str)> = Vec::new();
    if let Some((to, revision)) = &r.to {
        let from = r.from.as_deref().unwrap_or("–");
        list.push((format!("{} → {}", escape(from), escape(to)), p.l("release", "版本")));
        list.push((escape(revision), p.l("revision", "修订")));
    }
    if let Some(v) = &r.verdict {
        list.push((p.t(&v.word()), p.l("verdict", "判定")));
        let c = v.counts;
        list.push((
            format!("{} / {} / {} / {}", c.pass, c.warn, c.fail, c.unknown),
            p.l("pass / warn / fail / unknown", "通过 / 警告 / 失败 / 未知"),
        ));
    }
    if let Some(ended) = r.ended {
        let ms = u64::try_from(ended.duration_since(r.began).as_millis()).unwrap_or(0);
        list.push((duration(ms), p.l("in all", "总用时")));
    }
    p.o.push_str("<div class=\"facts\">");
    for (value, label) in list {
        let _ = write!(p.o, "<div class=\"fact\"><b>{value}</b><span>{label}</span></div>");
    }
    p.o.push_str("</div>");
}

fn steps(p: &mut Page, r: &Report) {
    if r.steps.is_empty() {
        return;
    }
    let _ = write!(p.o, "<h2>{}</h2><div class=\"list steps\">", p.l("Steps", "步骤"));
    for s in &r.steps {
        step(p, s);
    }
    p.o.push_str("</div>");
}

fn step(p: &mut Page, s: &StepReport) {
    let (class, mark, name) = match s.outcome {
        StepOutcome::Done => ("done", "✓", p.l("done", "完成")),
        StepOutcome::Failed => ("failed", "✗", p.l("failed", "失败")),
        StepOutcome::Stuck => ("stuck", "✗", p.l("stuck", "卡住")),
        StepOutcome::Warned => ("warned", "!", p.l("warning", "警告")),
        StepOutcome::Undone => ("undone", "↶", p.l("undone", "已撤销")),
        StepOutcome::Running => ("running", "…", p.l("running", "进行中")),
        StepOutcome::Pending => ("pending", "·", p.l("not reached", "未执行")),
    };
    let (phase, title) = (p.t(&s.phase), p.t(&s.title));
    let _ = write!(
        p.o,
        "<div class=\"row\"><span class=\"{class}\" role=\"img\" aria-label=\"{name}\">{mark}</span><span class=\"id\">{phase}</span><div class=\"what\"><b class=\"{}\">{title}</b>",
        if s.outcome == StepOutcome::Pending { "pending" } else { "" }
    );
    if let Some(m) = &s.message {
        let class = if s.outcome == StepOutcome::Failed { "err" } else { "" };
        let m = p.t(m);
        let _ = write!(p.o, "<p class=\"{class}\">{m}</p>");
    }
    if let Some(h) = &s.help {
        let h = p.t(h);
        let _ = write!(p.o, "<div class=\"help\">→ {h}</div>");
    }
    for j in &s.journeys {
        let (class, mark) = if j.ok { ("done", "✓") } else { ("failed", "✗") };
        let detail = j.failure.as_deref().map_or_else(String::new, |f| format!(": {}", escape(f)));
        let _ = write!(
            p.o,
            "<p><span class=\"{class}\">{mark}</span> {} ({}){detail}</p>",
            escape(&j.name),
            duration(j.millis)
        );
    }
    if let Some(u) = &s.undone {
        let u = p.t(u);
        let _ = write!(p.o, "<p><span class=\"undone\">↶</span> {u}</p>");
    }
    if !s.output.is_empty() {
        let _ = write!(
            p.o,
            "<details><summary class=\"ms\">{}</summary><pre>{}</pre></details>",
            p.l("output", "输出"),
            escape(&s.output.join("\n"))
        );
    }
    let time = s.millis.map(duration).unwrap_or_default();
    let _ = write!(p.o, "</div><span class=\"ms\">{time}</span></div>");
}

#[expect(clippy::cast_precision_loss, reason = "counts of a chart")]
fn watch(p: &mut Page, r: &Report) {
    if r.looks.len() < 2 {
        return;
    }
    let mut errors: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut p95: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut rate: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut machine: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    let mut marks = Vec::new();
    let first = r.looks[0].look.at;
    for l in &r.looks {
        let x = l.look.at.duration_since(first).as_secs_f64();
        if l.breaches.iter().any(|b| b.undoes) {
            marks.push(x);
        }
        for s in &l.look.services {
            rate.entry(&s.service).or_default().push((x, s.requests as f64));
            if s.requests > 0 {
                errors.entry(&s.service).or_default().push((x, s.errors as f64 / s.requests as f64 * 100.0));
            }
            if let Some(v) = s.p95_ms {
                p95.entry(&s.service).or_default().push((x, v));
            }
        }
        let values = [("CPU", l.look.cpu_percent), (p.l("memory", "内存"), l.look.memory_percent)];
        for (name, v) in values {
            if let Some(v) = v {
                machine.entry(name).or_default().push((x, v));
            }
        }
    }
    let series = |m: BTreeMap<&str, Vec<(f64, f64)>>| -> Vec<Series> {
        m.into_iter().map(|(name, points)| Series { name: name.to_owned(), points }).collect()
    };
    let n = r.looks.len();
    let heading = p.l("Watch", "观察");
    let looks = p.l("looks", "次");
    let _ = write!(p.o, "<h2>{heading} · {n} {looks}</h2><div class=\"charts\">");
    let charts = [
        chart::draw(
            p.l("Requests per look, new release", "每次观察的请求数（新版本）"),
            "",
            &series(rate),
            None,
            &marks,
        ),
        chart::draw(p.l("Failed requests, %", "失败请求占比"), "%", &series(errors), None, &marks),
        chart::draw(p.l("95th percentile, ms", "p95 延迟（毫秒）"), "", &series(p95), None, &[]),
        chart::draw(p.l("Machine, %", "主机资源"), "%", &series(machine), None, &[]),
    ];
    charts.iter().for_each(|c| p.o.push_str(c));
    p.o.push_str("</div>");
    if let Some(last) = r.looks.iter().rev().find(|l| !l.breaches.is_empty()) {
        for b in &last.breaches {
            let what = p.t(&b.what);
            let (class, count) = if b.undoes {
                ("failed", format!(" ({}/{})", b.in_a_row, b.of))
            } else {
                ("warn", String::new())
            };
            let _ = write!(p.o, "<div class=\"help\"><span class=\"{class}\">●</span> {what}{count}</div>");
        }
    }
}

fn risks(p: &mut Page, r: &Report) {
    let Some(risks) = &r.risks else { return };
    let _ = write!(p.o, "<h2>{}</h2><div class=\"risks\">", p.l("Risk register", "风险登记表"));
    for k in &risks.0 {
        let class = match k.state {
            RiskState::Mitigated => "mitigated",
            RiskState::Open => "open",
            RiskState::Unknown => "unknown",
            RiskState::Waived => "waived",
            RiskState::NotApplicable => "na",
        };
        let (title, state, severity, impact) =
            (p.t(&k.title), p.t(&k.state.word()), p.t(&k.severity.word()), p.t(&k.impact));
        let _ = write!(
            p.o,
            "<div class=\"risk {class}\"><h3><span>{} {title}</span><span class=\"tag\">{state}</span></h3><p>{severity} · {impact}</p>",
            escape(&k.id.0)
        );
        if k.state != RiskState::NotApplicable {
            let how: Vec<String> = k.mitigations.iter().map(|m| p.t(m)).collect();
            let _ = write!(p.o, "<p>{}</p>", how.join(p.l("; ", "；")));
        }
        for w in &k.waivers {
            let _ = write!(
                p.o,
                "<p class=\"warn\">{} {}: {} ({})</p>",
                p.l("waived by", "豁免人"),
                escape(&w.who),
                escape(&w.reason),
                moment(w.until)
            );
        }
        p.o.push_str("</div>");
    }
    p.o.push_str("</div>");
}

fn findings(p: &mut Page, r: &Report) {
    if r.findings.is_empty() {
        return;
    }
    let _ = write!(p.o, "<h2>{}</h2><div class=\"list\">", p.l("Findings", "检查结果"));
    for f in &r.findings {
        finding(p, f);
    }
    p.o.push_str("</div>");
}

fn finding(p: &mut Page, f: &Finding) {
    let class = match f.outcome {
        Outcome::Pass => "pass",
        Outcome::Warn => "warn",
        Outcome::Fail => "fail",
        Outcome::Unknown => "unk",
        Outcome::Skipped => "skip",
    };
    let (word, title, summary) = (p.t(&f.outcome.word()), p.t(&f.title), p.t(&f.summary));
    let open = if f.outcome.blocks() { " open" } else { "" };
    let _ = write!(
        p.o,
        "<details{open}><summary class=\"row\"><span class=\"tag {class}\">{word}</span><span class=\"id\">{}</span><span><b>{title}</b> · {}</span><span>{summary}</span><span class=\"ms\">{}</span></summary><div class=\"body\"><dl class=\"ev\">",
        escape(&f.id),
        escape(&f.subject),
        duration(f.millis)
    );
    for e in &f.evidence {
        let limit =
            e.limit.as_ref().map(|l| format!(" <span class=\"id\">({})</span>", p.t(l))).unwrap_or_default();
        let (label, value) = (p.t(&e.label), p.t(&e.value));
        let _ = write!(p.o, "<dt>{label}</dt><dd>{value}{limit}</dd>");
    }
    let risks: Vec<String> = f.risks.iter().map(|k| escape(&k.0)).collect();
    let _ = write!(p.o, "<dt>{}</dt><dd>{}</dd></dl>", p.l("risks", "相关风险"), risks.join(", "));
    if let Some(h) = &f.help {
        let h = p.t(h);
        let _ = write!(p.o, "<div class=\"help\">→ {h}</div>");
    }
    p.o.push_str("</div></details>");
}
