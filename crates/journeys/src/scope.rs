//! Owns the variables of a run and what templates make of them. It must not send anything.

use std::collections::BTreeMap;

use hurl_core::ast::{
    Expr, ExprKind, Function, JsonValue, MultilineString, MultilineStringKind, Placeholder, Template,
    TemplateElement,
};
use hurl_core::reader::Pos;
use hurl_core::types::ToSource as _;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::secret::{Redactor, Secret};
use crate::value::Value;

/// Something that went wrong at a place in the journey's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Pos,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(at: Pos, what: impl Into<String>) -> Self {
        Self { at, what: what.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

pub(crate) type Evaluated<T> = Result<T, Fault>;

/// Variables by name, and what of them must not be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    values: BTreeMap<String, Value>,
    pub(crate) redactor: Redactor,
}

impl Scope {
    pub(crate) fn new(variables: &BTreeMap<String, Value>, secrets: &BTreeMap<String, Secret>) -> Self {
        let mut scope = Self { values: variables.clone(), redactor: Redactor::default() };
        for (name, secret) in secrets {
            scope.set_secret(name, secret.expose());
        }
        scope
    }

    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    pub(crate) fn set_secret(&mut self, name: &str, value: &str) {
        self.redactor.add(value);
        self.set(name, Value::from(value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    pub(crate) fn expr(&self, expr: &Expr) -> Evaluated<Value> {
        match &expr.kind {
            ExprKind::Function(Function::NewDate) => Ok(Value::Date(Timestamp::now())),
            ExprKind::Function(Function::NewUuid) => Ok(Value::String(new_uuid())),
            ExprKind::Variable(variable) => self.get(&variable.name).cloned().ok_or_else(|| {
                Fault::new(variable.source_info.start, format!("the variable {:?} is not set", variable.name))
                    .hint(
                        "give it with the variables or secrets of the run, or capture it in an earlier entry",
                    )
            }),
        }
    }

    fn render(&self, expr: &Expr) -> Evaluated<String> {
        let value = self.expr(expr)?;
        value.render().ok_or_else(|| {
            let what = format!("{{{{{expr}}}}} is a {} and has no text of its own", value.kind());
            Fault::new(expr.source_info.start, what)
                .hint("capture one element of it, for instance with a jsonpath")
        })
    }

    /// A template with every `{{name}}` replaced.
    pub(crate) fn text(&self, template: &Template) -> Evaluated<String> {
        let mut out = String::new();
        for element in &template.elements {
            match element {
                TemplateElement::String { value, .. } => out.push_str(value),
                TemplateElement::Placeholder(placeholder) => out.push_str(&self.render(&placeholder.expr)?),
            }
        }
        Ok(out)
    }

    /// A JSON text as written, its white space kept, with placeholders replaced: inside a string the value is
    /// escaped, outside of one it must be a number, a boolean or null.
    pub(crate) fn json(&self, json: &JsonValue) -> Evaluated<String> {
        let mut out = String::new();
        self.write_json(json, &mut out)?;
        Ok(out)
    }

    fn write_json(&self, json: &JsonValue, out: &mut String) -> Evaluated<()> {
        match json {
            JsonValue::Null => out.push_str("null"),
            JsonValue::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            JsonValue::Number(digits) => out.push_str(digits),
            JsonValue::String(template) => self.write_json_string(template, out)?,
            JsonValue::Placeholder(Placeholder { expr, .. }) => {
                let text = self.render(expr)?;
                match serde_json::from_str::<serde_json::Value>(&text) {
                    Ok(value) if value.is_number() || value.is_boolean() || value.is_null() => {
                        out.push_str(&text)
                    }
                    _ => {
                        let what =
                            format!("{{{{{expr}}}}} is {text:?}, which is no JSON number, boolean or null");
                        return Err(Fault::new(expr.source_info.start, what)
                            .hint(format!("put quotes around it to make it a string: \"{{{{{expr}}}}}\"")));
                    }
                }
            }
            JsonValue::List { space0, elements } => {
                out.push('[');
                out.push_str(space0);
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(&element.space0);
                    self.write_json(&element.value, out)?;
                    out.push_str(&element.space1);
                }
                out.push(']');
            }
            JsonValue::Object { space0, elements } => {
                out.push('{');
                out.push_str(space0);
                for (i, element) in elements.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(&element.space0);
                    self.write_json_string(&element.name, out)?;
                    out.push_str(&element.space1);
                    out.push(':');
                    out.push_str(&element.space2);
                    self.write_json(&element.value, out)?;
                    out.push_str(&element.space3);
                }
                out.push('}');
            }
        }
        Ok(())
    }

    fn write_json_string(&self, template: &Template, out: &mut String) -> Evaluated<()> {
        out.push('"');
        for element in &template.elements {
            match element {
                // As written: escapes of the file are escapes of JSON.
                TemplateElement::String { source, .. } => out.push_str(source.as_str()),
                TemplateElement::Placeholder(placeholder) => {
                    let quoted = serde_json::Value::String(self.render(&placeholder.expr)?).to_string();
                    out.push_str(&quoted[1..quoted.len() - 1]);
                }
            }
        }
        out.push('"');
        Ok(())
    }

    /// The text between ```` ``` ```` fences.
    pub(crate) fn multiline(&self, multiline: &MultilineString) -> Evaluated<String> {
        match &multiline.kind {
            MultilineStringKind::Text(text)
            | MultilineStringKind::Json(text)
            | MultilineStringKind::Xml(text) => self.text(text),
            MultilineStringKind::Raw(text) => Ok(text.to_source().to_string()),
            MultilineStringKind::GraphQl(graphql) => {
                let query = serde_json::Value::String(self.text(&graphql.value)?.trim().to_owned());
                Ok(match &graphql.variables {
                    None => format!("{{\"query\":{query}}}"),
                    Some(variables) => {
                        format!("{{\"query\":{query},\"variables\":{}}}", self.json(&variables.value)?)
                    }
                })
            }
        }
    }
}

/// Fresh from the system: unpredictable, and unique across runs.
pub(crate) fn random_bytes() -> [u8; 16] {
    StdRng::from_os_rng().random()
}

/// A random UUID (RFC 9562, version 4).
fn new_uuid() -> String {
    let mut bytes = random_bytes();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
