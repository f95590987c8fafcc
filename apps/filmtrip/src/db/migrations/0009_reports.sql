-- What visitors report of photos. Reasons and outcomes are codes. A report outlives its photo: what was done about it, by
-- whom and when, stays known.
CREATE TABLE reports (
    id         INTEGER PRIMARY KEY,
    photo_id   INTEGER REFERENCES photos (id) ON DELETE SET NULL,
    photo_key  TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    note       TEXT    NOT NULL DEFAULT '',
    contact    TEXT    NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    outcome    TEXT,
    closed_by  INTEGER REFERENCES users (id),
    closed_at  INTEGER
);
-- Photos that an admin has taken from the public: their owners cannot show them again, an admin can.
CREATE TABLE holds (
    photo_id INTEGER PRIMARY KEY REFERENCES photos (id) ON DELETE CASCADE,
    held_by  INTEGER NOT NULL REFERENCES users (id),
    held_at  INTEGER NOT NULL
);
CREATE INDEX reports_open ON reports (photo_id, id) WHERE closed_at IS NULL;
CREATE INDEX reports_by_photo ON reports (photo_id);
CREATE INDEX reports_by_key ON reports (photo_key, id);
