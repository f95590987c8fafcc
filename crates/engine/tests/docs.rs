//! Reference pages are test output: they are made from the code and cannot drift from it.
//! `UPDATE_DOCS=1 cargo test -p safelight-engine --test docs` writes them anew.

#![allow(clippy::unwrap_used)]

use safelight_engine::{checks, config::Config, risk::RiskRegister};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

fn same_as_file(name: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "docs/{name} is stale: UPDATE_DOCS=1 cargo test -p safelight-engine --test docs");
}

fn resolve<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    if let Some(r) = schema["$ref"].as_str() {
        return resolve(root.pointer(r.trim_start_matches('#')).unwrap(), root);
    }
    match schema["anyOf"].as_array() {
        Some(options) => {
            options.iter().map(|o| resolve(o, root)).find(|o| o["type"] != "null").unwrap_or(schema)
        }
        None => schema,
    }
}

fn kind(schema: &Value, root: &Value) -> String {
    let s = resolve(schema, root);
    if let Some(one_of) = s["oneOf"].as_array() {
        let words: Vec<String> =
            one_of.iter().filter_map(|o| Some(format!("`{}`", o["const"].as_str()?))).collect();
        return words.join(" or ");
    }
    match s["type"].as_str() {
        Some("array") => format!("list of {}", kind(&s["items"], root)),
        Some("object") if s["properties"].is_null() => "table".to_owned(),
        Some(t) => t.to_owned(),
        None => match s["type"].as_array() {
            Some(a) => a.iter().filter_map(Value::as_str).find(|t| *t != "null").unwrap_or("any").to_owned(),
            None if s["anyOf"].is_array() => "string or list of strings".to_owned(),
            None => "any".to_owned(),
        },
    }
}

fn section(out: &mut String, heading: &str, schema: &Value, root: &Value) {
    let s = resolve(schema, root);
    let required: BTreeSet<&str> =
        s["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let _ = writeln!(
        out,
        "## {heading}\n\n{}\n\n| key | type | default | meaning |\n|---|---|---|---|",
        s["description"].as_str().unwrap_or("")
    );
    let mut below = Vec::new();
    for (key, p) in s["properties"].as_object().unwrap() {
        let inner = resolve(p, root);
        let table = |v: &Value| v["type"] == "object" && v["properties"].is_object();
        if table(inner) {
            below.push((format!("[{key}]"), p.clone()));
            continue;
        }
        if inner["type"] == "array" && table(resolve(&inner["items"], root)) {
            below.push((format!("[[{key}]]"), inner["items"].clone()));
            continue;
        }
        if let Some(values) = inner.get("additionalProperties").filter(|v| table(resolve(v, root))) {
            below.push((format!("[{key}.NAME]"), values.clone()));
            continue;
        }
        let default = match (&p["default"], required.contains(key.as_str())) {
            (_, true) => "required".to_owned(),
            (Value::Null, false) => "–".to_owned(),
            (d, false) => format!("`{d}`"),
        };
        let text = p["description"]
            .as_str()
            .or(inner["description"].as_str())
            .unwrap_or("")
            .replace('\n', " ")
            .replace('|', "\\|");
        let _ = writeln!(out, "| `{key}` | {} | {default} | {text} |", kind(p, root));
    }
    out.push('\n');
    for (name, schema) in below {
        section(out, &name, &schema, root);
    }
}

#[test]
fn the_configuration_reference_is_made_from_the_schema() {
    let root = Config::schema();
    let mut out = String::from(
        "# safelight.toml\n\nMade from the schema; `safelight init --schema` prints it for editors. Lengths of time are written `90s`, `1h 30m`, `250ms`; sizes `5GB`, `2GiB`. Unknown keys are refused.\n\n",
    );
    section(&mut out, "Top level", &root, &root);
    same_as_file(
        "config.md",
        &out.replace(
            "## Top level\n\nThe whole file.\n\n| key | type | default | meaning |\n|---|---|---|---|\n\n",
            "",
        ),
    );
}

#[test]
fn the_list_of_checks_and_risks_is_made_from_the_code() {
    let mut out = String::from(
        "# Checks and risks\n\nEvery check ends as **pass**, **warn**, **fail**, **unknown** or **skipped**. Unknown (\"could not look\") ranks worse than warn and blocks a deploy as a failure does.\n\n| id | check | 检查 | risks |\n|---|---|---|---|\n",
    );
    for c in checks::all() {
        let s = c.spec();
        let _ = writeln!(out, "| {} | {} | {} | {} |", s.id, s.title.0, s.title.1, s.risks.join(" "));
    }
    let config = safelight_engine::config::load::parse(
        "x",
        "[app]\nname=\"x\"\n[[service]]\nname=\"x\"\ncommand=\"x\"\npath=\"/\"\n[env.production]\nurl=\"http://x.localhost\"\n",
    )
    .unwrap();
    out.push_str("\n| id | risk | 风险 | severity | impact |\n|---|---|---|---|---|\n");
    for r in RiskRegister::assess(&config, &[]).0 {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            r.id,
            r.title.en,
            r.title.zh,
            r.severity.word().en,
            r.impact.en
        );
    }
    same_as_file("checks.md", &out);
}
