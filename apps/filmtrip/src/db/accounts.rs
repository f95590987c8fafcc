//! Accounts, sessions, set-up links and login attempts.

use std::collections::HashMap;

use super::sql::{DbResult, Row, Sql};
use super::{now_ms, rfc3339};
use crate::error::ApiError;
use crate::model::{AccountChange, AccountInfo, UserRole};
use crate::params;

/// An account.
#[derive(Debug, Clone)]
pub struct User {
    /// Row id.
    pub id: i64,
    /// Email in lower case.
    pub email: String,
    /// What it may do.
    pub role: UserRole,
    /// Argon2id hash; none until the set-up link was used.
    pub password_hash: Option<String>,
    /// Locked out.
    pub disabled: bool,
}

fn role(text: &str) -> UserRole {
    if text == "admin" { UserRole::Admin } else { UserRole::User }
}

const COLUMNS: &str = "u.id, u.email, u.role, u.password_hash, u.disabled_at";

fn user(row: &Row) -> DbResult<User> {
    Ok(User {
        id: row.get(0)?,
        email: row.get(1)?,
        role: role(&row.get::<String>(2)?),
        password_hash: row.get(3)?,
        disabled: row.get::<Option<i64>>(4)?.is_some(),
    })
}

/// Adds an account and returns its id, or none when the email is taken.
///
/// # Errors
/// Those of the database.
pub fn create(
    sql: &mut Sql,
    email: &str,
    role: UserRole,
    password_hash: Option<&str>,
) -> DbResult<Option<i64>> {
    let added = sql.first(
        "INSERT INTO users (email, role, password_hash, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (email) DO NOTHING RETURNING id",
        params![email, role.as_str(), password_hash, now_ms()],
    )?;
    added.map(|row| row.get(0)).transpose()
}

/// The account of an email.
///
/// # Errors
/// Those of the database.
pub fn by_email(sql: &mut Sql, email: &str) -> DbResult<Option<User>> {
    let query = format!("SELECT {COLUMNS} FROM users u WHERE u.email = ?1");
    sql.first(&query, params![email])?.as_ref().map(user).transpose()
}

/// The account of an id.
///
/// # Errors
/// Those of the database.
pub fn by_id(sql: &mut Sql, id: i64) -> DbResult<Option<User>> {
    let query = format!("SELECT {COLUMNS} FROM users u WHERE u.id = ?1");
    sql.first(&query, params![id])?.as_ref().map(user).transpose()
}

/// The emails of all accounts but one, by their row ids.
///
/// # Errors
/// Those of the database.
pub fn others(sql: &mut Sql, but: i64) -> DbResult<HashMap<i64, String>> {
    let rows = sql.query("SELECT id, email FROM users WHERE id <> ?1", params![but])?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// The emails of all accounts, by their row ids.
///
/// # Errors
/// Those of the database.
pub fn all(sql: &mut Sql) -> DbResult<HashMap<i64, String>> {
    others(sql, -1)
}

/// How many accounts there are.
///
/// # Errors
/// Those of the database.
pub fn count(sql: &mut Sql) -> DbResult<u64> {
    sql.value("SELECT count(*) FROM users", &[])
}

/// All accounts by email, with what they own.
///
/// # Errors
/// Those of the database.
pub fn list(sql: &mut Sql) -> DbResult<Vec<AccountInfo>> {
    let query = "SELECT u.id, u.email, u.role, u.password_hash, u.disabled_at, u.created_at, count(p.id),
                        CAST(coalesce(sum(p.bytes), 0) AS BIGINT)
                 FROM users u LEFT JOIN photos p ON p.owner_id = u.id
                 GROUP BY u.id, u.email, u.role, u.password_hash, u.disabled_at, u.created_at ORDER BY u.email";
    let info = |row: &Row| {
        let User { id, email, role, password_hash, disabled } = user(row)?;
        Ok(AccountInfo {
            id,
            email,
            role,
            active: password_hash.is_some(),
            disabled,
            photos: row.get(6)?,
            bytes: row.get(7)?,
            created_at: rfc3339(row.get(5)?),
        })
    };
    sql.query(query, &[])?.iter().map(info).collect()
}

/// Changes an account. Locking it out ends its sessions.
///
/// # Errors
/// [`ApiError::BadRequest`] when no admin who can log in would be left.
pub fn change(sql: &mut Sql, id: i64, change: &AccountChange) -> Result<(), ApiError> {
    if let Some(role) = change.role {
        sql.execute("UPDATE users SET role = ?2 WHERE id = ?1", params![id, role.as_str()])?;
    }
    match change.disabled {
        Some(true) => {
            sql.execute("UPDATE users SET disabled_at = ?2 WHERE id = ?1", params![id, now_ms()])?;
            sql.execute("DELETE FROM sessions WHERE user_id = ?1", params![id])?;
            sql.execute("DELETE FROM setup_tokens WHERE user_id = ?1", params![id])?;
        }
        Some(false) => {
            sql.execute("UPDATE users SET disabled_at = NULL WHERE id = ?1", params![id])?;
        }
        None => {}
    }
    let left = "SELECT count(*) FROM users WHERE role = 'admin' AND disabled_at IS NULL AND password_hash IS NOT NULL";
    if sql.value::<u64>(left, &[])? == 0 {
        return Err(ApiError::BadRequest("there would be no admin left".to_owned()));
    }
    Ok(())
}

/// Sets a password and ends the account's sessions but the one with this token.
///
/// # Errors
/// Those of the database.
pub fn set_password(sql: &mut Sql, id: i64, password_hash: &str, keep: &[u8]) -> DbResult<()> {
    sql.execute("UPDATE users SET password_hash = ?2 WHERE id = ?1", params![id, password_hash])?;
    sql.execute("DELETE FROM sessions WHERE user_id = ?1 AND token_hash <> ?2", params![id, keep])?;
    sql.execute("DELETE FROM setup_tokens WHERE user_id = ?1", params![id])?;
    Ok(())
}

/// Opens a session until `expires_at` (ms) and forgets those that have run out.
///
/// # Errors
/// Those of the database.
pub fn open_session(sql: &mut Sql, user_id: i64, token_hash: &[u8], expires_at: i64) -> DbResult<()> {
    let now = now_ms();
    sql.execute("DELETE FROM sessions WHERE expires_at <= ?1", params![now])?;
    sql.execute(
        "INSERT INTO sessions (token_hash, user_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        params![token_hash, user_id, now, expires_at],
    )?;
    Ok(())
}

/// The account of a session that has not run out, unless it is locked out.
///
/// # Errors
/// Those of the database.
pub fn by_session(sql: &mut Sql, token_hash: &[u8]) -> DbResult<Option<User>> {
    let query = format!(
        "SELECT {COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.token_hash = ?1 AND s.expires_at > ?2 AND u.disabled_at IS NULL"
    );
    sql.first(&query, params![token_hash, now_ms()])?.as_ref().map(user).transpose()
}

/// Ends a session.
///
/// # Errors
/// Those of the database.
pub fn close_session(sql: &mut Sql, token_hash: &[u8]) -> DbResult<()> {
    sql.execute("DELETE FROM sessions WHERE token_hash = ?1", params![token_hash])?;
    Ok(())
}

/// Stores the token of a set-up link until `expires_at` (ms).
///
/// # Errors
/// Those of the database.
pub fn add_setup_token(sql: &mut Sql, user_id: i64, token_hash: &[u8], expires_at: i64) -> DbResult<()> {
    sql.execute(
        "INSERT INTO setup_tokens (token_hash, user_id, expires_at) VALUES (?1, ?2, ?3)",
        params![token_hash, user_id, expires_at],
    )?;
    Ok(())
}

/// Uses a set-up link: sets the password and ends the account's other links and sessions.
///
/// # Errors
/// [`ApiError::NotFound`] when the link is unknown, used or has run out.
pub fn use_setup_token(sql: &mut Sql, token_hash: &[u8], password_hash: &str) -> Result<(), ApiError> {
    let query = "SELECT user_id FROM setup_tokens WHERE token_hash = ?1 AND expires_at > ?2";
    let row = sql.first(query, params![token_hash, now_ms()])?.ok_or(ApiError::NotFound)?;
    let user_id: i64 = row.get(0)?;
    sql.execute("UPDATE users SET password_hash = ?2 WHERE id = ?1", params![user_id, password_hash])?;
    sql.execute("DELETE FROM setup_tokens WHERE user_id = ?1", params![user_id])?;
    sql.execute("DELETE FROM sessions WHERE user_id = ?1", params![user_id])?;
    Ok(())
}

/// Refuses when a subject has used up its tries in the window. Counts nothing, and so takes no lock.
///
/// # Errors
/// As [`reserve_attempt`].
pub fn may_attempt(sql: &mut Sql, subject: &str, max: u32, window_ms: i64) -> Result<(), ApiError> {
    let now = now_ms();
    let query = "SELECT count(*), coalesce(min(at), ?2) FROM login_attempts WHERE subject = ?1 AND at > ?3";
    let row = sql.first(query, params![subject, now, now - window_ms])?.ok_or(ApiError::NotFound)?;
    let (tries, oldest): (u32, i64) = (row.get(0)?, row.get(1)?);
    if tries < max {
        return Ok(());
    }
    let wait_ms = oldest + window_ms - now;
    Err(ApiError::TooManyAttempts(u64::try_from(wait_ms / 1000 + 1).unwrap_or(1)))
}

/// Counts an attempt against a subject before the password is looked at, so that guesses sent at
/// the same moment count too.
///
/// # Errors
/// [`ApiError::TooManyAttempts`] when the subject has used up its tries in the window.
pub fn reserve_attempt(sql: &mut Sql, subject: &str, max: u32, window_ms: i64) -> Result<(), ApiError> {
    let now = now_ms();
    sql.execute("DELETE FROM login_attempts WHERE at <= ?1", params![now - window_ms])?;
    may_attempt(sql, subject, max, window_ms)?;
    sql.execute("INSERT INTO login_attempts (subject, at) VALUES (?1, ?2)", params![subject, now])?;
    Ok(())
}

/// Gives the newest attempt back: the login was right.
///
/// # Errors
/// Those of the database.
pub fn release_attempt(sql: &mut Sql, subject: &str) -> DbResult<()> {
    sql.execute(
        "DELETE FROM login_attempts WHERE id = (SELECT max(id) FROM login_attempts WHERE subject = ?1)",
        params![subject],
    )?;
    Ok(())
}
