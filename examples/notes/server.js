"use strict";
const http = require("node:http");
const { version } = require("./package.json");
const { open } = require("./db");

const title = process.env.NOTES_TITLE || "Notes";
const db = open();

const escape = (s) => s.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

function page() {
  const notes = db.prepare("SELECT text FROM notes ORDER BY id DESC LIMIT 50").all();
  const items = notes.map((n) => `<li>${escape(n.text)}</li>`).join("");
  return `<!doctype html><meta charset="utf-8"><title>${escape(title)}</title>
<h1>${escape(title)}</h1><ul>${items}</ul><p>notes ${version}</p>`;
}

function body(request) {
  return new Promise((resolve, reject) => {
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (part) => {
      text += part;
      if (text.length > 10_000) reject(Object.assign(new Error("too long"), { status: 413 }));
    });
    request.on("end", () => resolve(text));
    request.on("error", reject);
  });
}

async function answer(request) {
  const { method } = request;
  const { pathname } = new URL(request.url, "http://notes");
  const note = /^\/api\/notes\/(\d+)$/.exec(pathname);
  if (method === "GET" && pathname === "/") return { html: page() };
  if (method === "GET" && pathname === "/health") {
    // Well means: the table is there and can be read.
    return { json: { ok: true, version, notes: db.prepare("SELECT count(*) AS n FROM notes").get().n } };
  }
  if (method === "GET" && pathname === "/api/notes") {
    return { json: db.prepare("SELECT id, text, created FROM notes ORDER BY id DESC LIMIT 50").all() };
  }
  if (method === "POST" && pathname === "/api/notes") {
    let text;
    try {
      text = JSON.parse(await body(request)).text;
    } catch (e) {
      return { status: e.status || 400, json: { error: e.message } };
    }
    if (typeof text !== "string" || !text || text.length > 2000) {
      return { status: 400, json: { error: "text must have 1 to 2000 characters" } };
    }
    const { lastInsertRowid } = db.prepare("INSERT INTO notes (text) VALUES (?)").run(text);
    return { status: 201, json: { id: Number(lastInsertRowid), text } };
  }
  if (method === "DELETE" && note) {
    const { changes } = db.prepare("DELETE FROM notes WHERE id = ?").run(Number(note[1]));
    return changes ? { status: 204 } : { status: 404, json: { error: "no such note" } };
  }
  return { status: 404, json: { error: "not found" } };
}

const server = http.createServer(async (request, response) => {
  let a;
  try {
    a = await answer(request);
  } catch (e) {
    console.error(`ERROR ${request.method} ${request.url}: ${e.message}`);
    a = { status: 500, json: { error: "internal error" } };
  }
  const type = a.html ? "text/html; charset=utf-8" : "application/json";
  response.writeHead(a.status || 200, a.status === 204 ? {} : { "content-type": type });
  response.end(a.html ?? (a.json && JSON.stringify(a.json)));
});

// Keep-alive connections that a proxy reuses must not be closed under its hands.
server.keepAliveTimeout = 75_000;
server.listen(Number(process.env.PORT || 3000), "127.0.0.1", () => {
  console.log(`notes ${version} listens on ${server.address().port}`);
});

// PM2 sends SIGINT, everything else SIGTERM. Requests under way are answered first.
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    server.close(() => {
      db.close();
      process.exit(0);
    });
    server.closeIdleConnections();
  });
}
