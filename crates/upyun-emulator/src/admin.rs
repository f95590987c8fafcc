//! Changes while the emulator runs; the library and the control API share them.
use std::collections::BTreeMap;

use safelight_upyun::{CredentialError, FormKey, Operator, Separator, TokenKey};
use serde::Deserialize;
use thiserror::Error;

use crate::config::Rights;
use crate::image;
use crate::server::Shared;
use crate::world::{Bucket, OperatorState, World};

/// A change that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EditError {
    /// No such bucket.
    #[error("there is no bucket {name:?}; name one that the emulator was started with")]
    NoBucket {
        /// The name.
        name: String,
    },
    /// A value that cannot be used.
    #[error("{what} cannot be used: {why}")]
    Invalid {
        /// Which value.
        what: String,
        /// Why.
        why: String,
    },
    /// An empty secret or a bad name.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
}

/// Settings of a bucket; absent ones stay.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketChange {
    /// Whether the form API is on.
    pub form_api: Option<bool>,
    /// The form API secret.
    pub form_key: Option<String>,
    /// `!`, `-` or `_`.
    pub separator: Option<String>,
    /// Whether every request is refused with 40100013.
    pub blocked: Option<bool>,
}

/// Settings of an operator; absent ones stay.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorChange {
    /// A new password.
    pub password: Option<String>,
    /// Rights by bucket; replaces all of them.
    pub rights: Option<BTreeMap<String, Rights>>,
    /// Whether every request is refused with 40100007.
    pub blocked: Option<bool>,
}

fn known<'w>(world: &'w mut World, name: &str) -> Result<&'w mut Bucket, EditError> {
    world.buckets.get_mut(name).ok_or_else(|| EditError::NoBucket { name: name.to_owned() })
}

impl Shared {
    pub(crate) fn change_bucket(&self, name: &str, change: BucketChange) -> Result<(), EditError> {
        let separator = change.separator.map(|text| text.parse::<Separator>()).transpose();
        let separator = separator
            .map_err(|bad| EditError::Invalid { what: "the separator".into(), why: bad.to_string() })?;
        let form_key = change.form_key.map(FormKey::new).transpose()?;
        let mut world = self.world();
        let bucket = known(&mut world, name)?;
        bucket.form_api = change.form_api.unwrap_or(bucket.form_api);
        bucket.blocked = change.blocked.unwrap_or(bucket.blocked);
        bucket.separator = separator.unwrap_or(bucket.separator);
        if let Some(form_key) = form_key {
            bucket.form_key = form_key;
        }
        Ok(())
    }

    pub(crate) fn set_style(&self, bucket: &str, style: &str, parameters: &str) -> Result<(), EditError> {
        let what = || format!("the style {style:?}");
        image::check(parameters).map_err(|why| EditError::Invalid { what: what(), why })?;
        if style.is_empty() || style.contains('/') {
            return Err(EditError::Invalid { what: what(), why: "its name is empty or has a slash".into() });
        }
        let mut world = self.world();
        known(&mut world, bucket)?.styles.insert(style.to_owned(), parameters.to_owned());
        Ok(())
    }

    pub(crate) fn remove_style(&self, bucket: &str, style: &str) -> Result<(), EditError> {
        known(&mut self.world(), bucket)?.styles.remove(style);
        Ok(())
    }

    pub(crate) fn change_operator(&self, name: &str, change: OperatorChange) -> Result<(), EditError> {
        let operator = change.password.map(|password| Operator::new(name, &password)).transpose()?;
        let mut world = self.world();
        let old = world.operators.remove(name);
        let (known, rights, blocked) = match old {
            Some(old) => (Some(old.operator), old.rights, old.blocked),
            None => (None, BTreeMap::new(), false),
        };
        let Some(operator) = operator.or(known) else {
            let why = "a new operator needs a password".to_owned();
            return Err(EditError::Invalid { what: format!("the operator {name:?}"), why });
        };
        let state = OperatorState {
            operator,
            rights: change.rights.unwrap_or(rights),
            blocked: change.blocked.unwrap_or(blocked),
        };
        world.operators.insert(name.to_owned(), state);
        Ok(())
    }

    pub(crate) fn bind_domain(&self, host: &str, bucket: &str, token: Option<&str>) -> Result<(), EditError> {
        let token = token.map(TokenKey::new).transpose()?;
        let mut world = self.world();
        known(&mut world, bucket)?;
        world.bind(host, bucket, token);
        Ok(())
    }

    pub(crate) fn flush_cdn(&self) {
        for domain in self.world().domains.values_mut() {
            domain.cache.clear();
        }
    }
}
