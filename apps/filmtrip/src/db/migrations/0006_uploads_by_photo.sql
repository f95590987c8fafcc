-- Each photo that is deleted asks for the uploads that became it: without an index, by reading all of them.
CREATE INDEX uploads_by_photo ON uploads (photo_id);
