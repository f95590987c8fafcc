-- Albums and trips. A release on schema 4 has no pages for them; one that knows them shows them as soon as they are here.
CREATE TABLE albums (
    id          INTEGER PRIMARY KEY,
    key         TEXT    NOT NULL UNIQUE,
    owner_id    INTEGER NOT NULL REFERENCES users (id),
    title       TEXT    NOT NULL,
    description TEXT    NOT NULL DEFAULT '',
    kind        TEXT    NOT NULL DEFAULT 'album',
    visibility  TEXT    NOT NULL DEFAULT 'public',
    starts_on   TEXT,
    ends_on     TEXT,
    created_at  INTEGER NOT NULL
);
CREATE INDEX albums_by_owner ON albums (owner_id, id);
CREATE TABLE album_photos (
    album_id INTEGER NOT NULL REFERENCES albums (id) ON DELETE CASCADE,
    photo_id INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    PRIMARY KEY (album_id, photo_id)
);
CREATE INDEX album_photos_in_order ON album_photos (album_id, position);
CREATE INDEX album_photos_by_photo ON album_photos (photo_id);
