CREATE TABLE notes (
  id INTEGER PRIMARY KEY,
  text TEXT NOT NULL CHECK (length(text) BETWEEN 1 AND 2000),
  created TEXT NOT NULL DEFAULT (datetime('now'))
);
