-- Rolls: what a film photographer thinks in. A photo may belong to none.
CREATE TABLE rolls (
    id         INTEGER PRIMARY KEY,
    key        TEXT    NOT NULL UNIQUE,
    owner_id   INTEGER NOT NULL REFERENCES users (id),
    title      TEXT    NOT NULL,
    film_stock TEXT    NOT NULL DEFAULT '',
    camera     TEXT    NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL
);
CREATE INDEX rolls_by_owner ON rolls (owner_id, id);
ALTER TABLE photos ADD COLUMN roll_id INTEGER REFERENCES rolls (id) ON DELETE SET NULL;
CREATE INDEX photos_by_roll ON photos (roll_id, id);
