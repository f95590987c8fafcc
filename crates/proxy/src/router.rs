//! Finds the service for a host and a path: exact host, then the longest wildcard, then any host; within
//! one host the longest prefix wins. Built once per table; a lookup allocates nothing.

use std::collections::HashMap;

use crate::table::{Arm, RouteTable};

/// A service by its place in the list that the builder handed out.
pub(crate) type ServiceIndex = usize;

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// This service; `forced` says that the host is a test host and which release it asks for.
    Service { index: ServiceIndex, forced: Option<Arm> },
    /// The host is known and no prefix takes the path.
    NoRoute,
    /// No route takes this host.
    UnknownHost,
}

#[derive(Debug, Clone)]
struct Entry {
    prefix: Box<str>,
    index: ServiceIndex,
    forced: Option<Arm>,
}

/// Lookup structure over one table.
#[derive(Debug, Default)]
pub(crate) struct Router {
    exact: HashMap<Box<str>, Vec<Entry>>,
    /// Suffixes with their leading dot, longest first.
    wildcard: Vec<(Box<str>, Vec<Entry>)>,
    any: Vec<Entry>,
}

impl Router {
    /// Builds the lookup for a valid table. The index of a service is its position when apps, and the
    /// services within them by name, are listed one after the other.
    pub(crate) fn new(table: &RouteTable) -> Self {
        let mut router = Self::default();
        let mut wildcard: HashMap<Box<str>, Vec<Entry>> = HashMap::new();
        let mut first = 0;
        for app in &table.apps {
            let index_of = |service: &str| first + app.services.keys().take_while(|n| *n != service).count();
            for route in &app.routes {
                let entry = Entry {
                    prefix: route.prefix.as_str().into(),
                    index: index_of(&route.service),
                    forced: None,
                };
                match route.host.strip_prefix('*') {
                    Some("") => router.any.push(entry),
                    Some(suffix) => wildcard.entry(suffix.into()).or_default().push(entry),
                    None => router.exact.entry(route.host.as_str().into()).or_default().push(entry),
                }
            }
            let candidates = app.services.values().filter_map(|s| s.candidate.as_ref());
            for host in candidates.flat_map(|c| &c.test_hosts) {
                // A test host shows the whole app: the tried release where there is one, else the stable one.
                let entries = app.routes.iter().map(|route| {
                    let tried = app.services.get(&route.service).and_then(|s| s.candidate.as_ref());
                    let tried = tried.is_some_and(|c| c.test_hosts.contains(host));
                    let forced = Some(if tried { Arm::Candidate } else { Arm::Stable });
                    Entry { prefix: route.prefix.as_str().into(), index: index_of(&route.service), forced }
                });
                router.exact.insert(host.as_str().into(), entries.collect());
            }
            first += app.services.len();
        }
        router.wildcard = wildcard.into_iter().collect();
        router.wildcard.sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let by_length = |e: &Entry| (std::cmp::Reverse(e.prefix.len()), e.forced != Some(Arm::Candidate));
        router.exact.values_mut().for_each(|list| list.sort_by_key(by_length));
        router.wildcard.iter_mut().for_each(|(_, list)| list.sort_by_key(by_length));
        router.any.sort_by_key(by_length);
        router
    }

    /// Finds the service for a normalised host and a path (without query).
    pub(crate) fn find(&self, host: &str, path: &str) -> Found {
        let exact = self.exact.get(host);
        let wild =
            self.wildcard.iter().filter(|(suffix, _)| host.len() > suffix.len() && host.ends_with(&**suffix));
        let mut known = false;
        for list in exact.into_iter().chain(wild.map(|(_, list)| list)).chain(Some(&self.any)) {
            known |= !list.is_empty();
            if let Some(entry) = list.iter().find(|e| takes(&e.prefix, path)) {
                return Found::Service { index: entry.index, forced: entry.forced };
            }
        }
        if known { Found::NoRoute } else { Found::UnknownHost }
    }
}

fn takes(prefix: &str, path: &str) -> bool {
    prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
