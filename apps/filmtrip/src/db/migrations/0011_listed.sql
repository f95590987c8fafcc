-- The place of a photo in lists, newest batch first and each batch in the order in which it was sent: the milliseconds
-- of the batch times 1000, plus 999 less the number of the file. NULL for photos of which it is not known: those stand by
-- the moment they were done, also when a release writes them that knows nothing of it.
ALTER TABLE photos ADD COLUMN listed_at INTEGER;
CREATE INDEX photos_listed ON photos ((coalesce(listed_at, created_at * 1000 + 999)), id);
CREATE INDEX photos_listed_public ON photos ((coalesce(listed_at, created_at * 1000 + 999)), id) WHERE visibility = 'public';
CREATE INDEX photos_listed_by_owner ON photos (owner_id, (coalesce(listed_at, created_at * 1000 + 999)), id);
