//! Reading single variables. Every fault names the variable.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Fault;
use crate::db::DatabaseUrl;

/// The environment, and what is wrong with it.
pub(super) struct Reader<'a> {
    /// A copy of the environment.
    pub(super) env: &'a BTreeMap<String, String>,
    /// What is wrong, so far.
    pub(super) faults: Vec<Fault>,
}

impl Reader<'_> {
    /// The value, or none when unset. Set but empty counts as a mistake, not as unset.
    pub(super) fn get(&mut self, variable: &'static str) -> Option<String> {
        let value = self.env.get(variable)?.trim();
        if value.is_empty() {
            self.fault(variable, "is set but empty; give it a value or remove it");
            return None;
        }
        Some(value.to_owned())
    }

    pub(super) fn fault(&mut self, variable: &'static str, problem: impl Into<String>) {
        self.faults.push(Fault { variable, problem: problem.into() });
    }

    pub(super) fn flag(&mut self, variable: &'static str, default: bool) -> bool {
        match self.get(variable).as_deref() {
            None => default,
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            Some(other) => {
                let problem = format!("`{other}` is neither true nor false");
                self.fault(variable, problem);
                default
            }
        }
    }

    pub(super) fn number(&mut self, variable: &'static str, default: u64, min: u64, max: u64) -> u64 {
        let Some(text) = self.get(variable) else { return default };
        match text.parse::<u64>() {
            Ok(n) if (min..=max).contains(&n) => n,
            _ => {
                self.fault(variable, format!("`{text}` is not a whole number from {min} to {max}"));
                default
            }
        }
    }

    pub(super) fn seconds(&mut self, variable: &'static str, default: u64, min: u64, max: u64) -> Duration {
        Duration::from_secs(self.number(variable, default, min, max))
    }

    /// An http(s) URL without query, fragment, user or trailing slash.
    pub(super) fn url(&mut self, variable: &'static str) -> Option<String> {
        let text = self.get(variable)?;
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let ok = rest.is_some_and(|r| {
            let host = r.split('/').next().unwrap_or_default();
            !host.is_empty()
                && !host.contains('@')
                && !r.contains(['?', '#', ' ', '"', '\'', '<', '>', ';', ','])
                && format!("http://{r}").parse::<axum::http::Uri>().is_ok()
        });
        if !ok {
            // Not repeated: who writes a password into an address finds it in no log.
            self.fault(variable, "is not an http:// or https:// URL without user, query or fragment");
            return None;
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    pub(super) fn database(&mut self) -> Option<DatabaseUrl> {
        let text = self.get("DATABASE_URL")?;
        DatabaseUrl::parse(&text).map_err(|problem| self.fault("DATABASE_URL", problem)).ok()
    }

    /// Faults of `names` that are not set, each with why it is needed.
    pub(super) fn need(&mut self, names: &[&'static str], why: &str) {
        for name in names {
            if !self.env.contains_key(*name) {
                self.fault(name, format!("is not set, but {why}"));
            }
        }
    }

    pub(super) fn proxies(&mut self) -> Vec<IpAddr> {
        let Some(text) = self.get("FILMTRIP_TRUSTED_PROXIES") else {
            return vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        };
        if text == "none" {
            return Vec::new();
        }
        let mut proxies = Vec::new();
        for part in text.split(',').map(str::trim) {
            match part.parse() {
                Ok(ip) => proxies.push(ip),
                Err(_) => self.fault(
                    "FILMTRIP_TRUSTED_PROXIES",
                    format!("`{part}` is not an IP address (a list with commas, or `none`)"),
                ),
            }
        }
        proxies
    }
}
