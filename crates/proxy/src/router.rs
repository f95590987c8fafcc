//! Finds the service for a host and a path: exact host, then the longest wildcard, then any host; within
//! one host the longest prefix wins. Built once per table; a lookup allocates nothing.

use std::collections::HashMap;

use crate::table::{Arm, RouteTable};

/// A service by its place in the list that the builder handed out.
pub(crate) type ServiceIndex = usize;

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// This service; `forced` says that the host is a test host and which release it asks for, `https_port` where
    /// plain requests are sent on to.
    Service { index: ServiceIndex, forced: Option<Arm>, https_port: Option<u16> },
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
    https_port: Option<u16>,
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
                    https_port: route.https_port,
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
                    Entry {
                        prefix: route.prefix.as_str().into(),
                        index: index_of(&route.service),
                        forced,
                        // Tests come from this machine, over the plain listener.
                        https_port: None,
                    }
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
                return Found::Service {
                    index: entry.index,
                    forced: entry.forced,
                    https_port: entry.https_port,
                };
            }
        }
        if known { Found::NoRoute } else { Found::UnknownHost }
    }
}

fn takes(prefix: &str, path: &str) -> bool {
    prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Candidate, Release, Route, Service};

    fn service(test_hosts: &[&str]) -> Service {
        let release = |v: &str| Release { version: v.into(), targets: vec!["127.0.0.1:1".parse().unwrap()] };
        let candidate = (!test_hosts.is_empty()).then(|| Candidate {
            release: release("v2"),
            test_hosts: test_hosts.iter().map(|h| (*h).into()).collect(),
            share: 0.0,
            salt: String::new(),
        });
        let (timeouts, split_cookie, certificates) = Default::default();
        let stable = release("v1");
        Service { stable, candidate, token: None, timeouts, split_cookie, certificates, hold: None }
    }

    fn table(routes: &[(&str, &str, &str)], tested: &str) -> RouteTable {
        let mut table = RouteTable::default();
        for (host, prefix, name) in routes {
            let hosts: &[&str] = if *name == tested { &["next.example.com"] } else { &[] };
            let (host, prefix) = ((*host).into(), (*prefix).into());
            let route = Route { host, prefix, service: (*name).into(), https_port: None };
            table.upsert("shop", name, vec![route], service(hosts));
        }
        table.normalise();
        table.validate().unwrap();
        table
    }

    fn name(table: &RouteTable, host: &str, path: &str) -> Option<String> {
        match Router::new(table).find(host, path) {
            Found::Service { index, .. } => table.apps[0].services.keys().nth(index).cloned(),
            _ => None,
        }
    }

    #[test]
    fn the_most_exact_host_wins_and_a_path_it_does_not_take_falls_to_the_next() {
        let t = table(
            &[
                ("*", "/", "any"),
                ("*.example.com", "/", "wild"),
                ("*.a.example.com", "/", "deep"),
                ("example.com", "/x", "exact"),
            ],
            "",
        );
        for (host, path, expected) in [
            ("example.com", "/x", "exact"),
            ("example.com", "/y", "any"),
            ("b.example.com", "/", "wild"),
            ("b.a.example.com", "/", "deep"),
            ("a.example.com", "/", "wild"),
            ("badexample.com", "/", "any"),
        ] {
            assert_eq!(name(&t, host, path).as_deref(), Some(expected), "{host}{path}");
        }
    }

    #[test]
    fn an_unknown_host_is_told_from_an_unknown_path() {
        let t = table(&[("example.com", "/x", "a")], "");
        let router = Router::new(&t);
        assert_eq!(router.find("example.com", "/y"), Found::NoRoute);
        assert_eq!(router.find("example.org", "/x"), Found::UnknownHost);
    }

    #[test]
    fn a_test_host_forces_the_tried_release_and_shows_the_rest_of_the_app_as_it_is() {
        let t = table(&[("example.com", "/", "site"), ("example.com", "/api", "api")], "api");
        let router = Router::new(&t);
        let arm = |path| match router.find("next.example.com", path) {
            Found::Service { forced, .. } => forced,
            other => panic!("{other:?}"),
        };
        assert_eq!((arm("/api/x"), arm("/")), (Some(Arm::Candidate), Some(Arm::Stable)));
    }

    #[test]
    fn tables_that_make_no_sense_are_refused_by_the_name_of_the_field() {
        let refused = |edit: &dyn Fn(&mut Service), expected: &str| {
            let mut t = table(&[("example.com", "/", "web")], "web");
            edit(t.service_mut("shop", "web").unwrap());
            let error = t.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(&|s| s.stable.targets.clear(), "shop/web stable targets");
        refused(&|s| s.stable.version.clear(), "shop/web stable version");
        refused(&|s| s.token = Some("short".into()), "shop/web token");
        refused(&|s| s.timeouts.read_ms = 0, "shop/web timeouts");
        refused(&|s| s.split_cookie = Some("a b".into()), "shop/web split_cookie");
        let candidate = |s: &mut Service, edit: &dyn Fn(&mut Candidate)| edit(s.candidate.as_mut().unwrap());
        refused(&|s| candidate(s, &|c| c.share = f64::NAN), "shop/web share");
        refused(&|s| candidate(s, &|c| c.share = 1.01), "shop/web share");
        refused(&|s| candidate(s, &|c| c.release.version = "v1".into()), "version of the stable release");
        refused(&|s| candidate(s, &|c| c.test_hosts = vec!["example.com".into()]), "users reach the site");
        refused(&|s| candidate(s, &|c| c.test_hosts = vec!["*.example.com".into()]), "one exact name");
    }

    #[test]
    fn hosts_have_one_spelling() {
        use crate::table::normal_host;
        for (given, expected) in [
            ("Example.COM", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(normal_host(given), expected, "{given}");
        }
    }
}
