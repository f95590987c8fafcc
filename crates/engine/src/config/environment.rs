//! What follows from the settings of an environment.

use super::Environment;
use std::path::Path;

impl Environment {
    /// The `pm2` program: a name to look for on the PATH, or a path; relative ones begin at `project`, the directory of
    /// the configuration.
    #[must_use]
    pub fn pm2_program(&self, project: &Path) -> String {
        match &self.pm2 {
            None => "pm2".to_owned(),
            Some(path) if path.components().count() > 1 => project.join(path).to_string_lossy().into_owned(),
            Some(name) => name.to_string_lossy().into_owned(),
        }
    }
}
