"use strict";
const fs = require("node:fs");
const path = require("node:path");
// The interface of node:sqlite, for Node versions that lack it.
const { DatabaseSync } = require("@photostructure/sqlite");

/** Opens the database that DATABASE_URL names, a plain path. */
exports.open = () => {
  const file = process.env.DATABASE_URL || "data/notes.db";
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const db = new DatabaseSync(file);
  // Readers do not wait for the writer; two releases share the file during a deploy.
  db.exec("PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON");
  return db;
};
