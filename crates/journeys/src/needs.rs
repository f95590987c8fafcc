//! The files that a journey reads, so that they can be kept with it.

use std::collections::{BTreeMap, BTreeSet};

use hurl_core::ast::Template;
use hurl_core::ast::visit::Visitor;

use crate::parse::Journey;
use crate::scope::Scope;
use crate::value::Value;

/// Collects the names; `None` once one of them cannot be told.
struct Names {
    scope: Scope,
    found: Option<BTreeSet<String>>,
}

impl Visitor for Names {
    fn visit_filename(&mut self, filename: &Template) {
        let name = self.scope.text(filename).ok();
        self.found = self.found.take().zip(name).map(|(mut all, name)| {
            all.insert(name);
            all
        });
    }
}

impl Journey {
    /// Names of all files that the journey reads, as it writes them: relative to its file root. `None` when one of them
    /// is made from a value that only a run knows, such as a capture.
    #[must_use]
    pub fn files(&self, variables: &BTreeMap<String, String>) -> Option<BTreeSet<String>> {
        let values = variables.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        let mut names = Names { scope: Scope::new(&values, &BTreeMap::new()), found: Some(BTreeSet::new()) };
        names.visit_hurl_file(&self.ast);
        names.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_journey_are_told_wherever_they_stand() {
        let text = "POST http://x/a\nfile,body.json;\nHTTP 200\nfile,answer.txt;\n\n\
                    POST http://x/b\n[Multipart]\nphoto: file,{{photo}}; image/jpeg\nHTTP 200\n\
                    [Asserts]\nbytes == file,sub/same.bin;\n\nGET http://x/c\n[Options]\ncacert: ca.pem\nHTTP 200\n";
        let journey = Journey::parse("j", text).unwrap();
        let variables = BTreeMap::from([("photo".to_owned(), "p.jpg".to_owned())]);
        let found: Vec<String> = journey.files(&variables).unwrap().into_iter().collect();
        assert_eq!(found, ["answer.txt", "body.json", "ca.pem", "p.jpg", "sub/same.bin"]);
        assert_eq!(journey.files(&BTreeMap::new()), None, "nobody knows what {{photo}} is");
        assert_eq!(Journey::parse("j", "GET http://x/\n").unwrap().files(&variables), Some(BTreeSet::new()));
    }
}
