-- Captions. A column with a default: a release that does not know it goes on inserting rows.
ALTER TABLE photos ADD COLUMN caption TEXT NOT NULL DEFAULT '';
CREATE INDEX photos_captioned ON photos (id) WHERE caption <> '';
