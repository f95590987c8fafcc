//! Accounts, sessions, set-up links and login attempts.

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::now_ms;
use crate::error::ApiError;
use crate::model::UserRole;

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
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    let role: String = row.get(2)?;
    Ok(User {
        id: row.get(0)?,
        email: row.get(1)?,
        role: if role == "admin" { UserRole::Admin } else { UserRole::User },
        password_hash: row.get(3)?,
    })
}

/// Adds an account and returns its id, or none when the email is taken.
///
/// # Errors
/// Those of SQLite.
pub fn create(
    tx: &Transaction<'_>,
    email: &str,
    role: UserRole,
    password_hash: Option<&str>,
) -> rusqlite::Result<Option<i64>> {
    let added = tx.execute(
        "INSERT INTO users (email, role, password_hash, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (email) DO NOTHING",
        (email, role.as_str(), password_hash, now_ms()),
    )?;
    Ok((added == 1).then(|| tx.last_insert_rowid()))
}

/// The account of an email.
///
/// # Errors
/// Those of SQLite.
pub fn by_email(conn: &Connection, email: &str) -> rusqlite::Result<Option<User>> {
    conn.prepare_cached("SELECT id, email, role, password_hash FROM users WHERE email = ?1")?
        .query_row([email], user)
        .optional()
}

/// How many accounts there are.
///
/// # Errors
/// Those of SQLite.
pub fn count(conn: &Connection) -> rusqlite::Result<u64> {
    conn.query_row("SELECT count(*) FROM users", [], |r| Ok(r.get::<_, i64>(0)?.unsigned_abs()))
}

/// Opens a session until `expires_at` (ms) and forgets those that have run out.
///
/// # Errors
/// Those of SQLite.
pub fn open_session(
    tx: &Transaction<'_>,
    user_id: i64,
    token_hash: &[u8],
    expires_at: i64,
) -> rusqlite::Result<()> {
    let now = now_ms();
    tx.execute("DELETE FROM sessions WHERE expires_at <= ?1", [now])?;
    tx.execute(
        "INSERT INTO sessions (token_hash, user_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
        (token_hash, user_id, now, expires_at),
    )?;
    Ok(())
}

/// The account of a session that has not run out.
///
/// # Errors
/// Those of SQLite.
pub fn by_session(conn: &Connection, token_hash: &[u8]) -> rusqlite::Result<Option<User>> {
    conn.prepare_cached(
        "SELECT u.id, u.email, u.role, u.password_hash FROM sessions s JOIN users u ON u.id = s.user_id
         WHERE s.token_hash = ?1 AND s.expires_at > ?2",
    )?
    .query_row((token_hash, now_ms()), user)
    .optional()
}

/// Ends a session.
///
/// # Errors
/// Those of SQLite.
pub fn close_session(conn: &Connection, token_hash: &[u8]) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM sessions WHERE token_hash = ?1", [token_hash])?;
    Ok(())
}

/// Stores the token of a set-up link until `expires_at` (ms).
///
/// # Errors
/// Those of SQLite.
pub fn add_setup_token(
    tx: &Transaction<'_>,
    user_id: i64,
    token_hash: &[u8],
    expires_at: i64,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO setup_tokens (token_hash, user_id, expires_at) VALUES (?1, ?2, ?3)",
        (token_hash, user_id, expires_at),
    )?;
    Ok(())
}

/// Uses a set-up link: sets the password and ends the account's other links and sessions.
///
/// # Errors
/// [`ApiError::NotFound`] when the link is unknown, used or has run out.
pub fn use_setup_token(tx: &Transaction<'_>, token_hash: &[u8], password_hash: &str) -> Result<(), ApiError> {
    let user_id: Option<i64> = tx
        .query_row(
            "SELECT user_id FROM setup_tokens WHERE token_hash = ?1 AND expires_at > ?2",
            (token_hash, now_ms()),
            |r| r.get(0),
        )
        .optional()?;
    let user_id = user_id.ok_or(ApiError::NotFound)?;
    tx.execute("UPDATE users SET password_hash = ?2 WHERE id = ?1", (user_id, password_hash))?;
    tx.execute("DELETE FROM setup_tokens WHERE user_id = ?1", [user_id])?;
    tx.execute("DELETE FROM sessions WHERE user_id = ?1", [user_id])?;
    Ok(())
}

/// Counts an attempt against a subject before the password is looked at, so that guesses sent at
/// the same moment count too.
///
/// # Errors
/// [`ApiError::TooManyAttempts`] when the subject has used up its tries in the window.
pub fn reserve_attempt(
    tx: &Transaction<'_>,
    subject: &str,
    max: u32,
    window_ms: i64,
) -> Result<(), ApiError> {
    let now = now_ms();
    tx.execute("DELETE FROM login_attempts WHERE at <= ?1", [now - window_ms])?;
    let (tries, oldest): (u32, Option<i64>) =
        tx.query_row("SELECT count(*), min(at) FROM login_attempts WHERE subject = ?1", [subject], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })?;
    if tries >= max {
        let wait_ms = oldest.unwrap_or(now) + window_ms - now;
        return Err(ApiError::TooManyAttempts(u64::try_from(wait_ms / 1000 + 1).unwrap_or(1)));
    }
    tx.execute("INSERT INTO login_attempts (subject, at) VALUES (?1, ?2)", (subject, now))?;
    Ok(())
}

/// Gives the newest attempt back: the login was right.
///
/// # Errors
/// Those of SQLite.
pub fn release_attempt(tx: &Transaction<'_>, subject: &str) -> rusqlite::Result<()> {
    tx.execute(
        "DELETE FROM login_attempts WHERE id = (SELECT max(id) FROM login_attempts WHERE subject = ?1)",
        [subject],
    )?;
    Ok(())
}
