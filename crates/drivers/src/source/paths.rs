//! Paths of a release: which are allowed, which are left out.

use std::path::{Component, Path};

/// Why `path` cannot be part of a release; `None` when it can.
pub(super) fn bad_path(path: &str) -> Option<&'static str> {
    let mut parts = path.split('/').peekable();
    if parts.peek().is_none() || path.is_empty() {
        return Some("it is empty");
    }
    if path.contains('\0') {
        return Some("it contains a NUL character");
    }
    parts
        .any(|part| part.is_empty() || part == "." || part == "..")
        .then_some("it does not stay below the release")
}

/// True when the link at `path` (below the release) leads out of the release.
pub(super) fn escapes(path: &str, target: &str) -> bool {
    let mut depth = path.matches('/').count();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

/// Paths that are not part of a release. A word without `/` names a file or directory anywhere; with `/` it is a path
/// from the top. `*` stands for anything within one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Excludes(Vec<Vec<String>>, Vec<String>);

impl Excludes {
    pub(super) fn new(patterns: &[String]) -> Self {
        let mut this = Self::default();
        for pattern in patterns {
            let clean = pattern.trim().trim_end_matches('/');
            match clean.trim_start_matches("./").strip_prefix('/').or(clean.contains('/').then_some(clean)) {
                Some(path) => {
                    this.0.push(path.trim_start_matches("./").split('/').map(str::to_owned).collect());
                }
                None if !clean.is_empty() => this.1.push(clean.to_owned()),
                None => {}
            }
        }
        this
    }

    /// True when `path` or a directory above it is left out.
    pub(super) fn hit(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        self.0.iter().any(|pattern| {
            pattern.len() <= parts.len() && pattern.iter().zip(&parts).all(|(p, part)| matches(p, part))
        }) || parts.iter().any(|part| self.1.iter().any(|p| matches(p, part)))
    }
}

/// `*` matches any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((middle, after)) = rest.split_once('*') {
        let Some(at) = text.find(middle) else { return false };
        text = &text[at + middle.len()..];
        rest = after;
    }
    text.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_lead_out_of_the_release_are_told_apart() {
        for (path, target) in
            [("a", "/etc/passwd"), ("a", "../x"), ("d/a", "../../x"), ("d/a", "x/../../../y")]
        {
            assert!(escapes(path, target), "{path} -> {target}");
        }
        for (path, target) in [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../b/./c"), ("a", ".")] {
            assert!(!escapes(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn excludes_are_names_anywhere_or_paths_from_the_top() {
        let list = ["node_modules", "*.log", "/build", "docs/internal/", "./tmp/*.bin"].map(str::to_owned);
        let excludes = Excludes::new(&list);
        for hit in
            ["node_modules/a", "x/node_modules/b.js", "a/b.log", "build/x", "docs/internal/y", "tmp/a.bin"]
        {
            assert!(excludes.hit(hit), "{hit}");
        }
        for miss in ["src/build/x", "docs/x", "log", "a.logs", "node_modules2", "tmp/sub/a.bin"] {
            assert!(!excludes.hit(miss), "{miss}");
        }
    }

    #[test]
    fn paths_that_leave_the_release_are_bad() {
        for bad in ["", "/a", "a//b", "../a", "a/../b", "a/.", "a/"] {
            assert!(bad_path(bad).is_some(), "{bad:?}");
        }
        assert!(bad_path("a/b.c/..d").is_none());
    }
}
