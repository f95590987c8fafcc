import assert from "node:assert/strict";
import { test } from "node:test";
import * as queue from "../src/queue.ts";

const item = (more = {}) => ({
  id: "1", owner: "here", name: "a.jpg", size: 9, type: "image/jpeg", about: {}, state: "waiting", tries: 0,
  directFailures: 0, due: 0, ...more,
});
const signed = { key: "k", form: { url: "u", fields: {} }, expires: "2026-05-01T10:00:00Z" };

test("at most three files are sent at once, in their order, and only when it is their time", () => {
  const items = [
    item({ id: "1", state: "sending" }), item({ id: "2", state: "processing" }), item({ id: "3", due: 100 }),
    item({ id: "4" }), item({ id: "5" }), item({ id: "6" }),
  ];
  assert.deepEqual(queue.startable(items, 50).map((i) => i.id), ["4", "5"]);
  assert.deepEqual(queue.startable(items, 100).map((i) => i.id), ["3", "4"]);
  const full = [1, 2, 3].map((id) => item({ id: String(id), state: "sending" }));
  assert.deepEqual(queue.startable([...full, item()], 0), []);
});

test("the queue sleeps until the next file is due", () => {
  assert.equal(queue.pause([item({ due: 500 }), item({ due: 300 })], 100), 200);
  assert.equal(queue.pause([item(), item({ state: "done", due: 900 })], 100), null);
});

test("the wait doubles, is scattered, and ends at a minute", () => {
  assert.equal(queue.delay(1, 0.5), 1000);
  assert.equal(queue.delay(4, 0.5), 8000);
  assert.equal(queue.delay(30, 0.5), 60_000);
  assert.ok(queue.delay(1, 0) === 750 && queue.delay(1, 1) === 1250);
});

test("answers are told apart: try again, refused, logged out, not direct", () => {
  for (const status of [0, 408, 429, 500, 503]) assert.equal(queue.verdict(status, ""), "again", String(status));
  for (const status of [400, 403, 413, 415, 422]) assert.equal(queue.verdict(status, ""), "refused", String(status));
  assert.equal(queue.verdict(401, "unauthenticated"), "logged-out");
  assert.equal(queue.verdict(409, "direct_disabled"), "not-direct");
  assert.equal(queue.verdict(409, "conflict"), "refused");
});

test("straight to the store only when it is on, takes the type, and has not failed twice", () => {
  const types = ["image/jpeg"];
  assert.ok(queue.goesDirect(item(), true, types));
  assert.ok(queue.goesDirect(item({ directFailures: 1 }), true, types));
  assert.ok(!queue.goesDirect(item({ directFailures: 2 }), true, types));
  assert.ok(!queue.goesDirect(item(), false, types));
  assert.ok(!queue.goesDirect(item({ type: "image/tiff" }), true, types));
});

test("after a reload the server is asked before anything is sent twice", () => {
  const info = (state) => ({ key: "k", state, expires_at: "" });
  assert.equal(queue.goOn(item(), null), "sign");
  assert.equal(queue.goOn(item({ upload: signed }), null), "sign");
  assert.equal(queue.goOn(item({ upload: signed }), info("done")), "settle");
  assert.equal(queue.goOn(item({ upload: signed }), info("failed")), "settle");
  assert.equal(queue.goOn(item({ upload: signed }), info("uploaded")), "poll");
  assert.equal(queue.goOn(item({ upload: signed }), info("pending")), "ask");
  assert.equal(queue.goOn(item({ upload: signed }), info("expired")), "sign");
});

test("a form is posted again only with a minute to go", () => {
  const end = Date.parse(signed.expires);
  assert.ok(queue.usable(signed.expires, end - 61_000));
  assert.ok(!queue.usable(signed.expires, end - 59_000));
  assert.ok(!queue.usable("never", 0));
});

test("a connection that is gone costs no try, an answer that says no does", () => {
  const file = item();
  for (let i = 0; i < 50; i++) assert.ok(!queue.note(file, "again", true));
  assert.equal(file.tries, 0);
  for (let i = 1; i < queue.TRIES; i++) assert.ok(!queue.note(file, "again", false));
  assert.ok(queue.note(file, "again", false), "a person is asked in the end");
  assert.ok(queue.note(item(), "refused", false));
});

test("what may pass another time is tried again with one press, what is wrong with a file is not", () => {
  const failed = (code) => item({ state: "failed", code, tries: 6, directFailures: 2 });
  for (const code of ["unavailable", "busy", "csrf", "no_roll"]) assert.ok(queue.retriable(failed(code)), code);
  for (const code of ["too_large", "unsupported_type", "bad_image"]) assert.ok(!queue.retriable(failed(code)), code);
  assert.deepEqual(["bad_image", "busy"].map((code) => queue.hopeless(failed(code))), [true, false]);
  assert.ok(!queue.retriable(item({ state: "done" })) && !queue.hopeless(item({ state: "done" })));
  assert.ok(queue.settled(item({ state: "done" })) && queue.settled(failed("bad_image")));
  assert.ok(!queue.settled(failed("busy")) && !queue.settled(item()));
  const again = { ...failed("busy"), passing: true };
  queue.anew(again);
  assert.deepEqual(again, item());
});

test("only what other pages left behind is taken over, and starts again", () => {
  const items = [
    item({ id: "mine" }), item({ id: "other", owner: "alive" }), item({ id: "left", owner: "gone", state: "sending", tries: 4 }),
    item({ id: "over", owner: "gone", state: "done" }), item({ id: "bad", owner: "gone", state: "failed", code: "bad_image" }),
    item({ id: "lost", owner: "gone", state: "failed", code: "busy", passing: true, tries: 6 }),
  ];
  const found = queue.orphans(items, ["here", "alive"]).map((i) => queue.revive(i, "here"));
  assert.deepEqual(found.map((i) => [i.id, i.state, i.owner, i.tries]), [["left", "waiting", "here", 0], ["bad", "failed", "here", 0], ["lost", "waiting", "here", 0]]);
});

test("the batch is counted without what was cancelled", () => {
  const states = ["done", "duplicate", "failed", "cancelled", "sending", "done"];
  const sum = queue.tally(states.map((state) => item({ state })));
  assert.deepEqual(sum, { all: 5, over: 4, done: 2, duplicate: 1, failed: 1 });
});
