"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { open } = require("./db");

const dir = path.join(__dirname, "migrations");
const db = open();
db.exec("CREATE TABLE IF NOT EXISTS schema_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL)");
const last = db.prepare("SELECT coalesce(max(number), 0) AS number FROM schema_migrations").get().number;
for (const name of fs.readdirSync(dir).sort()) {
  const number = Number.parseInt(name, 10);
  if (!name.endsWith(".sql") || number <= last) continue;
  // All of a migration, or none of it.
  db.exec("BEGIN IMMEDIATE");
  try {
    db.exec(fs.readFileSync(path.join(dir, name), "utf8"));
    db.prepare("INSERT INTO schema_migrations VALUES (?, ?)").run(number, name);
    db.exec("COMMIT");
  } catch (e) {
    db.exec("ROLLBACK");
    throw new Error(`${name}: ${e.message}`);
  }
  console.log(`applied ${name}`);
}
db.close();
