//! Which list of photos a page is about: it becomes the query of the API and that of the links to its photos.

use super::fields::{Fields, is_key};
use crate::templates::parts::enc;

const KEYS: [&str; 2] = ["roll", "album"];
const WORDS: [&str; 6] = ["tag", "q", "film", "camera", "lens", "scanner"];
/// Longest value in bytes.
const LONGEST: usize = 600;

/// Filters of a list; what is not known or makes no sense is left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Scope(String);

impl Scope {
    /// What a query asks for.
    pub(super) fn of(query: &Fields) -> Self {
        let mut scope = Self::default();
        for (name, value) in &query.0 {
            let (name, value) = (name.as_str(), value.trim());
            let key = KEYS.contains(&name) && is_key(value);
            let word = WORDS.contains(&name) && !value.is_empty() && value.len() <= LONGEST;
            if key || word {
                scope.add(name, value);
            }
        }
        scope
    }

    /// One filter.
    pub(super) fn one(name: &str, value: &str) -> Self {
        Self::of(&Fields(vec![(name.to_owned(), value.to_owned())]))
    }

    fn add(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(&format!("{name}={}", enc(value)));
    }

    /// The query.
    pub(super) fn query(&self) -> &str {
        &self.0
    }

    /// How many photos a page of the list has, as a parameter of the API: a roll is looked at and edited as a whole, and
    /// half frames make 72 of it.
    pub(super) fn limit(&self) -> &'static str {
        if self.0.split('&').any(|part| part.starts_with("roll=")) { "limit=100" } else { "" }
    }

    /// The list in the API. `more` are further parameters.
    pub(super) fn api(&self, before: Option<&str>, more: &str) -> String {
        let before = before.map(|b| format!("before={}", enc(b)));
        let parts: Vec<&str> = [self.0.as_str(), before.as_deref().unwrap_or_default(), more]
            .into_iter()
            .filter(|p| !p.is_empty())
            .collect();
        if parts.is_empty() { "/api/photos".to_owned() } else { format!("/api/photos?{}", parts.join("&")) }
    }
}

/// The page of a list, as its links say it.
pub(super) fn before(query: &Fields) -> Option<String> {
    query.filled("before").filter(|b| b.len() <= 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_filters_get_through_and_stay_values() {
        let query = Fields(vec![
            ("tag".to_owned(), "rain & night".to_owned()),
            ("mine".to_owned(), "true".to_owned()),
            ("roll".to_owned(), "../x".to_owned()),
            ("album".to_owned(), "Ab1".to_owned()),
        ]);
        let scope = Scope::of(&query);
        assert_eq!(scope.query(), "tag=rain%20%26%20night&album=Ab1");
        assert_eq!(
            scope.api(Some("k 1"), "limit=3"),
            "/api/photos?tag=rain%20%26%20night&album=Ab1&before=k%201&limit=3"
        );
        assert_eq!(Scope::default().api(None, ""), "/api/photos");
        assert_eq!((Scope::default().limit(), scope.limit()), ("", ""));
        assert_eq!(Scope::one("roll", "Ab1").limit(), "limit=100");
    }
}
