-- The whole catalogue, uploads straight to an object store, and the queue. Only additions: a release that knows
-- schema 3 goes on working, and shows no photo of the trash, since those are private.
ALTER TABLE users ADD COLUMN disabled_at INTEGER;

ALTER TABLE rolls ADD COLUMN format TEXT NOT NULL DEFAULT '135';
ALTER TABLE rolls ADD COLUMN box_iso INTEGER;
ALTER TABLE rolls ADD COLUMN exposure_index INTEGER;
ALTER TABLE rolls ADD COLUMN lens TEXT NOT NULL DEFAULT '';
ALTER TABLE rolls ADD COLUMN scanner TEXT NOT NULL DEFAULT '';
ALTER TABLE rolls ADD COLUMN lab TEXT NOT NULL DEFAULT '';
ALTER TABLE rolls ADD COLUMN developer TEXT NOT NULL DEFAULT '';
ALTER TABLE rolls ADD COLUMN loaded_on TEXT;
ALTER TABLE rolls ADD COLUMN unloaded_on TEXT;
ALTER TABLE rolls ADD COLUMN notes TEXT NOT NULL DEFAULT '';

-- Where the original is, when it is not where its key says (uploads straight to the object store).
ALTER TABLE photos ADD COLUMN object_key TEXT NOT NULL DEFAULT '';
-- Without it the object store gives out the original only to its operator.
ALTER TABLE photos ADD COLUMN content_secret TEXT;
-- 'style': the CDN makes the sizes. Else the backend that holds them.
ALTER TABLE photos ADD COLUMN variants TEXT NOT NULL DEFAULT 'local';
ALTER TABLE photos ADD COLUMN webp INTEGER NOT NULL DEFAULT 0;
ALTER TABLE photos ADD COLUMN md5 TEXT;
ALTER TABLE photos ADD COLUMN frame INTEGER;
ALTER TABLE photos ADD COLUMN film_stock TEXT NOT NULL DEFAULT '';
ALTER TABLE photos ADD COLUMN camera TEXT NOT NULL DEFAULT '';
ALTER TABLE photos ADD COLUMN lens TEXT NOT NULL DEFAULT '';
ALTER TABLE photos ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE photos ADD COLUMN taken_at TEXT;
ALTER TABLE photos ADD COLUMN lat DOUBLE PRECISION;
ALTER TABLE photos ADD COLUMN lon DOUBLE PRECISION;
ALTER TABLE photos ADD COLUMN location_shown INTEGER NOT NULL DEFAULT 0;
ALTER TABLE photos ADD COLUMN exif TEXT NOT NULL DEFAULT '{}';
ALTER TABLE photos ADD COLUMN thumbhash BLOB;
ALTER TABLE photos ADD COLUMN short TEXT;
-- Everything that a search looks in, in lower case. Empty until the row is written again; then titles are searched.
ALTER TABLE photos ADD COLUMN search TEXT NOT NULL DEFAULT '';
-- In the trash since; the visibility before is kept aside, and meanwhile it is private.
ALTER TABLE photos ADD COLUMN deleted_at INTEGER;
ALTER TABLE photos ADD COLUMN visibility_before TEXT;
CREATE UNIQUE INDEX photos_by_short ON photos (short) WHERE short IS NOT NULL;
CREATE INDEX photos_by_hash ON photos (owner_id, sha256);
CREATE INDEX photos_trashed ON photos (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX photos_located ON photos (id) WHERE lat IS NOT NULL;

CREATE TABLE photo_tags (
    photo_id INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
    tag      TEXT    NOT NULL,
    PRIMARY KEY (photo_id, tag)
);
CREATE INDEX photo_tags_by_tag ON photo_tags (tag, photo_id);

-- Every file on its way in has a row before it has bytes: so nothing that arrives is ever without an owner.
CREATE TABLE uploads (
    id             INTEGER PRIMARY KEY,
    key            TEXT    NOT NULL UNIQUE,
    owner_id       INTEGER NOT NULL REFERENCES users (id),
    state          TEXT    NOT NULL,
    backend        TEXT    NOT NULL,
    object_key     TEXT    NOT NULL UNIQUE,
    content_secret TEXT,
    file_name      TEXT    NOT NULL DEFAULT '',
    bytes          INTEGER NOT NULL,
    about          TEXT    NOT NULL DEFAULT '{}',
    md5            TEXT,
    photo_id       INTEGER REFERENCES photos (id) ON DELETE SET NULL,
    duplicate      INTEGER NOT NULL DEFAULT 0,
    code           TEXT,
    message        TEXT,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
);
CREATE INDEX uploads_by_owner ON uploads (owner_id, id);
CREATE INDEX uploads_open ON uploads (expires_at) WHERE state IN ('receiving', 'pending');

-- The queue, shared by all instances. A job belongs to a worker until its lease runs out.
CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY,
    kind         TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    run_at       INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    leased_until INTEGER,
    worker       TEXT,
    error        TEXT,
    failed_at    INTEGER,
    created_at   INTEGER NOT NULL,
    UNIQUE (kind, subject)
);
CREATE INDEX jobs_due ON jobs (run_at) WHERE failed_at IS NULL;

-- What the last look through all files found.
CREATE TABLE integrity_faults (
    photo_id INTEGER PRIMARY KEY REFERENCES photos (id) ON DELETE CASCADE,
    problem  TEXT    NOT NULL
);
CREATE TABLE notes (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
