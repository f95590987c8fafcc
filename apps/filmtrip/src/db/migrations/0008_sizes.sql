-- What each stored size of a photo takes, in bytes. NULL where nobody has measured it yet: photos of before, and those
-- that a release writes which knows nothing of it. A worker measures them. Sizes that the CDN makes stay NULL.
ALTER TABLE photos ADD COLUMN thumb_jpg_bytes INTEGER;
ALTER TABLE photos ADD COLUMN thumb_webp_bytes INTEGER;
ALTER TABLE photos ADD COLUMN preview_jpg_bytes INTEGER;
ALTER TABLE photos ADD COLUMN preview_webp_bytes INTEGER;
ALTER TABLE photos ADD COLUMN large_jpg_bytes INTEGER;
ALTER TABLE photos ADD COLUMN large_webp_bytes INTEGER;
CREATE INDEX photos_unmeasured ON photos (id) WHERE thumb_jpg_bytes IS NULL AND variants <> 'style';
