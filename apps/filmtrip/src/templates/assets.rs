//! Files that are served beside the pages: the icon and the scripts, built by `cargo xtask web`.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// The icon of the site.
pub const ICON: &str = include_str!("icon.svg");

/// A script; its address holds the hash of its content, so that two releases never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Placeholders, the photo viewer, keys on the page of a photo.
    Site,
    /// Uploads, selection, order.
    Studio,
    /// Zoom and pan of the map.
    Map,
}

static PATHS: LazyLock<[String; 3]> = LazyLock::new(|| {
    [Script::Site, Script::Studio, Script::Map].map(|script| {
        let hash = Sha256::digest(script.text().as_bytes());
        let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("/assets/{}.{hash}.js", script.name())
    })
});

impl Script {
    fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Studio => "studio",
            Self::Map => "map",
        }
    }

    /// Its content.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Site => include_str!("../../web/dist/site.js"),
            Self::Studio => include_str!("../../web/dist/studio.js"),
            Self::Map => include_str!("../../web/dist/map.js"),
        }
    }

    /// Its address.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Site => &PATHS[0],
            Self::Studio => &PATHS[1],
            Self::Map => &PATHS[2],
        }
    }

    /// The script of an address; none when it is another release's.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        [Self::Site, Self::Studio, Self::Map].into_iter().find(|script| script.path() == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_has_an_address_of_its_own_and_small_content() {
        let mut total = 0;
        for script in [Script::Site, Script::Studio, Script::Map] {
            assert_eq!(Script::at(script.path()), Some(script));
            total += script.text().len();
        }
        assert!(total < 40_000, "{total} bytes of script");
        assert_eq!(Script::at("/assets/site.0000000000000000.js"), None);
    }
}
