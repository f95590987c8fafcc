//! How a whole host has to look after whatever has happened on it.

use super::{Bed, HOST, TEST_HOST};
use crate::processes;
use serde_json::Value;
use std::fs;

impl Bed {
    /// Users get `version`, and everything else on the host fits to that: the record, the processes, the routes, the
    /// directories. No run is open.
    ///
    /// # Panics
    /// When something does not fit.
    #[track_caller]
    pub fn serves_exactly(&self, version: &str) -> String {
        self.serves_with(version, &["api", "web"])
    }

    /// The same for a release with these services, in the order of their names; all of them have a path.
    ///
    /// # Panics
    /// When something does not fit.
    #[track_caller]
    pub fn serves_with(&self, version: &str, wanted: &[&str]) -> String {
        for path in ["/", "/api"] {
            let (status, body) = self.get(HOST, path).expect("the proxy answers");
            assert_eq!((status, body.split(' ').next()), (200, Some(version)), "{path}: {body}");
        }
        let app = self.app();
        assert!(app["run"].is_null(), "a run is open: {}", app["run"]);
        let id = app["current"]["id"].as_str().expect("a release is on record").to_owned();
        let on_disk = fs::read_to_string(self.app_dir().join(format!("releases/{id}/VERSION")));
        assert_eq!(
            on_disk.unwrap_or_default().trim(),
            version,
            "the release on record, {id}, is another one"
        );
        let mut names: Vec<(String, String)> = app["processes"]
            .as_array()
            .expect("processes")
            .iter()
            .map(|p| {
                (p["name"].as_str().unwrap_or("").to_owned(), p["state"].as_str().unwrap_or("").to_owned())
            })
            .collect();
        names.sort();
        let running: Vec<(String, String)> =
            wanted.iter().map(|s| (format!("shop.production.{s}.{id}"), "running".to_owned())).collect();
        assert_eq!(names, running, "processes on record");
        let in_proc = processes::running_releases(&self.app_dir());
        assert_eq!(in_proc, vec![id.clone(); wanted.len()], "processes in /proc");
        let (status, body) = self.get(TEST_HOST, "/").expect("the proxy answers");
        assert!(status >= 400, "the test host still leads somewhere: {status} {body}");
        let routed = self.routes();
        let services: Vec<&str> = routed.iter().filter_map(|s| s["service"].as_str()).collect();
        assert_eq!(services, wanted, "services that have a route");
        for s in &routed {
            assert_eq!(s["stable"]["version"], id.as_str(), "{s}");
            assert!(s["candidate"].is_null() && s["held"].is_null(), "{s}");
        }
        id
    }

    /// Waits until users are answered on both paths, as after a process that serves has died.
    ///
    /// # Panics
    /// When they are not.
    pub fn users_are_served(&self) {
        self.wait_until("it serves", |b| {
            ["/", "/api"].iter().all(|path| b.get(HOST, path).is_some_and(|(status, _)| status == 200))
        });
    }

    /// What the proxy routes: its services, by name.
    ///
    /// # Panics
    /// When the proxy does not answer.
    #[must_use]
    pub fn routes(&self) -> Vec<Value> {
        let state: Value =
            serde_json::from_str(&self.safelight(&["proxy", "state"]).ended(0).out).expect("JSON");
        state["services"].as_array().expect("services").clone()
    }
}
