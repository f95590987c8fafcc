-- Rolls and albums in the trash. Their rows are gone, as every release knows it; what it takes to bring them back is kept
-- here as JSON until the trash is emptied. Photos are named by their keys: row ids are used again.
CREATE TABLE removed (
    id         INTEGER PRIMARY KEY,
    key        TEXT    NOT NULL UNIQUE,
    kind       TEXT    NOT NULL,
    owner_id   INTEGER NOT NULL REFERENCES users (id),
    title      TEXT    NOT NULL,
    photos     INTEGER NOT NULL,
    content    TEXT    NOT NULL,
    deleted_at INTEGER NOT NULL
);
CREATE INDEX removed_by_owner ON removed (owner_id, id);
CREATE INDEX removed_by_age ON removed (deleted_at);
