-- What a file was called when it was uploaded: people know their scans by it. Empty where nobody knows it any more. A
-- column with a default: a release that does not know it goes on inserting rows.
ALTER TABLE photos ADD COLUMN file_name TEXT NOT NULL DEFAULT '';
UPDATE photos
   SET file_name = (SELECT u.file_name FROM uploads u WHERE u.photo_id = photos.id AND u.duplicate = 0 ORDER BY u.id LIMIT 1)
 WHERE id IN (SELECT photo_id FROM uploads WHERE duplicate = 0 AND file_name <> '');
