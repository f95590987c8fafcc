import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { deliver, fields } from "../src/sender.ts";

// A server of which each test says the answers, in their order.
let script = [];
let asked = [];
globalThis.XMLHttpRequest = class {
  upload = {};
  open(method, url) {
    this.line = `${method} ${url}`;
  }
  setRequestHeader() {}
  abort() {}
  send(body) {
    asked.push(this.line);
    if (body instanceof FormData) this.names = [...body.keys()];
    const [line, status, answer] = script.shift() ?? ["nothing", 0, null];
    assert.equal(this.line, line);
    if (this.names) posted.push(this.names);
    this.status = status;
    this.responseText = answer === null ? "" : JSON.stringify(answer);
    queueMicrotask(() => this.onloadend());
  }
};
let posted = [];
const about = { title: "", caption: "", visibility: "public", roll: null, frame: 3, tags: ["a", "b"], album: null, keep_duplicate: false };
const soon = () => new Date(Date.now() + 600_000).toISOString();
const info = (state, more = {}) => ({ key: "u1", state, expires_at: soon(), ...more });
const form = { url: "https://store/bucket", fields: { policy: "p", authorization: "a" } };
const item = (more = {}) => ({ id: "1", owner: "o", name: "a.jpg", size: 3, type: "image/jpeg", about, state: "sending", tries: 0, directFailures: 0, due: 0, ...more });
const page = () => ({
  rules: { direct: true, max_bytes: 99, max_files: 9, types: ["image/jpeg"], direct_types: ["image/jpeg"] },
  csrf: "t", keep: async () => undefined, progress: () => undefined, processing: () => undefined, sleep: async () => undefined,
});
const go = (p, i) => deliver(p, i, new Blob(["abc"]), new AbortController().signal);
beforeEach(() => {
  script = [];
  asked = [];
  posted = [];
});
const SIGN = "POST /api/uploads";
const STORE = "POST https://store/bucket";
const COMPLETE = "POST /api/uploads/u1/complete";
const LOOK = "GET /api/uploads/u1";
const GIVE_UP = "DELETE /api/uploads/u1";
const API = "POST /api/photos";

test("a direct upload signs, posts the form in its order, completes and waits for the photo", async () => {
  script = [
    [SIGN, 201, info("pending", { form })], [STORE, 200, {}], [COMPLETE, 200, info("uploaded")],
    [LOOK, 200, info("uploaded")], [LOOK, 200, info("done", { photo: { key: "p1" } })],
  ];
  assert.deepEqual(await go(page(), item()), { photo: "p1", duplicate: false });
  assert.deepEqual(posted, [["authorization", "policy", "file"]]);
  assert.equal(script.length, 0);
});

test("with direct uploads off the file goes through the API, and the next one at once", async () => {
  const p = page();
  script = [[SIGN, 409, { error: { code: "direct_disabled" } }], [API, 201, { photos: [{ key: "p2" }], refused: [] }]];
  assert.equal((await go(p, item())).photo, "p2");
  script = [[API, 200, { photos: [{ key: "p2", duplicate: true }], refused: [] }]];
  assert.deepEqual(await go(p, item()), { photo: "p2", duplicate: true });
});

test("a store that fails twice is left for the API, and never without having been asked", async () => {
  const [p, i] = [page(), item()];
  script = [[SIGN, 201, info("pending", { form })], [STORE, 0, null], [COMPLETE, 409, { error: { code: "not_there" } }]];
  await assert.rejects(go(p, i), { kind: "again" });
  assert.equal(i.directFailures, 1);
  script = [
    [LOOK, 200, info("pending")], [COMPLETE, 200, info("pending")], [STORE, 503, null], [COMPLETE, 200, info("pending")],
    [GIVE_UP, 204, null], [API, 201, { photos: [{ key: "p3" }], refused: [] }],
  ];
  assert.equal((await go(p, i)).photo, "p3");
  assert.equal(script.length, 0);
});

test("a connection that is gone is not the store's failure", async () => {
  const [p, i] = [page(), item()];
  script = [[SIGN, 201, info("pending", { form })], [STORE, 0, null], [COMPLETE, 0, null]];
  await assert.rejects(go(p, i), { kind: "again", status: 0 });
  assert.equal(i.directFailures, 0);
});

test("a lost answer of the store does not send the file again", async () => {
  script = [
    [SIGN, 201, info("pending", { form })], [STORE, 0, null], [COMPLETE, 200, info("done", { photo: { key: "p4" } })],
  ];
  assert.equal((await go(page(), item())).photo, "p4");
});

test("after a reload what has arrived is not sent again", async () => {
  const upload = { key: "u1", form, expires: soon() };
  script = [[LOOK, 200, info("done", { photo: { key: "p5" } })]];
  assert.equal((await go(page(), item({ upload }))).photo, "p5");
  script = [[LOOK, 200, info("pending")], [COMPLETE, 200, info("uploaded")], [LOOK, 200, info("done", { photo: { key: "p6" } })]];
  assert.equal((await go(page(), item({ upload }))).photo, "p6");
  assert.ok(!asked.includes(STORE));
});

test("after a reload an upload of which the server knows nothing begins anew", async () => {
  const upload = { key: "u1", form, expires: soon() };
  script = [
    [LOOK, 404, { error: { code: "not_found" } }], [SIGN, 201, info("pending", { form })], [STORE, 200, {}],
    [COMPLETE, 200, info("done", { photo: { key: "p7" } })],
  ];
  assert.equal((await go(page(), item({ upload }))).photo, "p7");
});

test("a refusal says why", async () => {
  script = [[SIGN, 413, { error: { code: "too_large" } }]];
  await assert.rejects(go(page(), item()), { kind: "refused", code: "too_large" });
  script = [[SIGN, 201, info("pending", { form })], [STORE, 200, {}], [COMPLETE, 200, info("failed", { code: "bad_image" })]];
  await assert.rejects(go(page(), item()), { kind: "refused", code: "bad_image" });
  script = [[SIGN, 401, { error: { code: "unauthenticated" } }]];
  await assert.rejects(go(page(), item()), { kind: "logged-out" });
});

test("only what is known is told with a file", () => {
  assert.deepEqual(fields(about), [["visibility", "public"], ["frame", "3"], ["tags", "a,b"]]);
  assert.deepEqual(fields({ ...about, tags: [], position: 7 }), [["visibility", "public"], ["frame", "3"], ["position", "7"]]);
});
