-- Users, sessions and photos. Times are milliseconds since 1970 UTC. Keys are opaque and random.
CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    email         TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL CHECK (role IN ('user', 'admin')),
    password_hash TEXT,
    created_at    INTEGER NOT NULL
);
-- Tokens are stored as SHA-256: a leaked backup opens no session.
CREATE TABLE sessions (
    token_hash BLOB    PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE TABLE setup_tokens (
    token_hash BLOB    PRIMARY KEY,
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
-- Shared by every instance, so that starting a second one does not double the number of guesses.
CREATE TABLE login_attempts (
    id      INTEGER PRIMARY KEY,
    subject TEXT    NOT NULL,
    at      INTEGER NOT NULL
);
CREATE INDEX login_attempts_by_subject ON login_attempts (subject, at);
CREATE TABLE photos (
    id           INTEGER PRIMARY KEY,
    key          TEXT    NOT NULL UNIQUE,
    owner_id     INTEGER NOT NULL REFERENCES users (id),
    original_key TEXT    NOT NULL UNIQUE,
    format       TEXT    NOT NULL,
    bytes        INTEGER NOT NULL,
    sha256       BLOB    NOT NULL,
    width        INTEGER NOT NULL,
    height       INTEGER NOT NULL,
    sizes        TEXT    NOT NULL,
    title        TEXT    NOT NULL DEFAULT '',
    visibility   TEXT    NOT NULL CHECK (visibility IN ('public', 'unlisted', 'private')),
    backend      TEXT    NOT NULL DEFAULT 'local',
    created_at   INTEGER NOT NULL
);
CREATE INDEX photos_by_owner ON photos (owner_id, id);
CREATE INDEX photos_public ON photos (id) WHERE visibility = 'public';
CREATE TABLE heartbeat (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    beat_at INTEGER NOT NULL
);
INSERT INTO heartbeat (id, beat_at) VALUES (1, 0);
