//! The one rule of who may see what; everything that shows or lists a photo or an album asks here.

use super::photos::PhotoRow;
use super::sql::Value;
use crate::model::{UserRole, Visibility};

/// Who is looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Nobody is logged in.
    Anonymous,
    /// An account.
    User(i64),
    /// An admin.
    Admin,
}

impl Viewer {
    /// The viewer that an account is.
    #[must_use]
    pub fn of(id: i64, role: UserRole) -> Self {
        if role == UserRole::Admin { Self::Admin } else { Self::User(id) }
    }

    /// Owners and admins change, delete, and download the original.
    #[must_use]
    pub fn may_edit(self, owner_id: i64) -> bool {
        match self {
            Self::Anonymous => false,
            Self::User(id) => id == owner_id,
            Self::Admin => true,
        }
    }

    /// Private things and those in the trash are for those who may edit them.
    #[must_use]
    pub fn may_see(self, photo: &PhotoRow) -> bool {
        let open = photo.visibility != Visibility::Private && photo.deleted_at.is_none();
        open || self.may_edit(photo.owner_id)
    }

    /// The condition on `p` for a list of `scope`, and its parameters (placeholders are filled in by [`Wheres`]).
    pub(super) fn listed(self, scope: Scope, wheres: &mut Wheres) {
        wheres.add(
            if scope == Scope::Trash { "p.deleted_at IS NOT NULL" } else { "p.deleted_at IS NULL" },
            &[],
        );
        let open =
            if scope == Scope::Shared { "p.visibility <> 'private'" } else { "p.visibility = 'public'" };
        match (scope, self) {
            // What everybody sees is the same for everybody, admins too: they look at their site.
            (Scope::Public, _) | (_, Self::Anonymous) => wheres.add(open, &[]),
            (_, Self::Admin) => {}
            (Scope::Collection | Scope::Shared, Self::User(id)) => {
                wheres.add(&format!("({open} OR p.owner_id = ?)"), &[id.into()]);
            }
            (Scope::Own | Scope::Trash, Self::User(id)) => wheres.add("p.owner_id = ?", &[id.into()]),
        }
    }
}

/// Which list is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is public.
    Public,
    /// A roll or a public album: what is public, and one's own.
    Collection,
    /// An album that is reached by its link only: what is unlisted belongs to it.
    Shared,
    /// What the viewer may edit.
    Own,
    /// Of that, what is in the trash.
    Trash,
}

/// Conditions of a query with their parameters, each `?` numbered when it is added.
#[derive(Debug, Default)]
pub(super) struct Wheres {
    conditions: Vec<String>,
    /// The parameters so far.
    pub(super) values: Vec<Value>,
}

impl Wheres {
    /// Adds a condition; its `?` stand for `values` in order.
    pub(super) fn add(&mut self, condition: &str, values: &[Value]) {
        let numbered = self.number(condition, values);
        self.conditions.push(numbered);
    }

    /// Numbers the `?` of a piece of SQL and takes its parameters.
    pub(super) fn number(&mut self, sql: &str, values: &[Value]) -> String {
        let mut numbered = String::with_capacity(sql.len() + 8);
        let mut next = self.values.len();
        for c in sql.chars() {
            numbered.push(c);
            if c == '?' {
                next += 1;
                numbered.push_str(&next.to_string());
            }
        }
        self.values.extend_from_slice(values);
        numbered
    }

    /// ` WHERE ...`.
    pub(super) fn sql(&self) -> String {
        if self.conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", self.conditions.join(" AND "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_across_conditions() {
        let mut wheres = Wheres::default();
        wheres.add("a = ?", &[1_i64.into()]);
        wheres.add("(b > ? OR c > ?)", &[2_i64.into(), 3_i64.into()]);
        assert_eq!(wheres.sql(), " WHERE a = ?1 AND (b > ?2 OR c > ?3)");
        assert_eq!(wheres.values.len(), 3);
    }
}
