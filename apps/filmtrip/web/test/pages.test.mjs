import assert from "node:assert/strict";
import { test } from "node:test";
import { clamp, cluster, enlarged, focus, zoom } from "../src/cluster.ts";
import { fill } from "../src/dom.ts";
import { moved } from "../src/order.ts";
import { range } from "../src/select.ts";
import { bytes, decode } from "../src/thumbhash.ts";
import { destination, swipe } from "../src/viewer.ts";

const point = (lat, lon) => ({ lat, lon });

test("near photos share a mark, far ones do not, and zooming parts them", () => {
  const points = [point(48.8, 2.3), point(35, 135.7), point(34.7, 135.5)];
  const far = cluster(points, 6);
  assert.deepEqual(far.map((c) => c.points.length), [2, 1]);
  assert.ok(Math.abs(far[0].lat - 34.85) < 1e-9 && Math.abs(far[0].lon - 135.6) < 1e-9);
  assert.equal(cluster(points, 0.1).length, 3);
  assert.deepEqual(cluster([], 6), []);
});

test("the point under the pointer stays where it is while zooming", () => {
  const whole = { x: 0, y: 5, width: 360, height: 140 };
  const near = zoom(whole, whole, 4, 315, 55);
  assert.equal(near.width, 90);
  assert.equal((315 - near.x) / near.width, 315 / 360);
  assert.deepEqual(zoom(near, whole, 0.01, 10, 10), whole);
  assert.equal(zoom(near, whole, 1e9, 315, 55).width, 360 / 256);
});

test("marks are as large on a phone as on a desk", () => {
  const whole = { x: 0, y: 5, width: 360, height: 140 };
  const near = { ...whole, width: 90 };
  const shown = (view, pixels) => enlarged(view, whole, pixels) * (pixels / view.width);
  assert.equal(shown(whole, 350), shown(whole, 1400));
  assert.equal(shown(near, 350), shown(whole, 1400));
  // On a wide screen they grow with the map.
  assert.ok(shown(whole, 2800) > shown(whole, 1400));
  assert.ok(Number.isFinite(enlarged(whole, whole, 0)));
});

test("the buttons zoom to the photos in sight", () => {
  const view = { x: 0, y: 5, width: 360, height: 140 };
  assert.deepEqual(focus([point(30, 120), point(40, 100)], view), [290, 55]);
  assert.deepEqual(focus([], view), [180, 75]);
  assert.deepEqual(focus([point(30, 120)], { x: 0, y: 5, width: 90, height: 35 }), [45, 22.5]);
});

test("the map cannot be pushed out of its frame", () => {
  const whole = { x: 0, y: 5, width: 360, height: 140 };
  assert.deepEqual(clamp({ x: -50, y: 400, width: 90, height: 35 }, whole), { x: 0, y: 110, width: 90, height: 35 });
});

test("keys lead through the list and stop at its ends", () => {
  assert.equal(destination("ArrowRight", 0, 3), 1);
  assert.equal(destination("ArrowRight", 2, 3), null);
  assert.equal(destination("ArrowLeft", 0, 3), null);
  assert.equal(destination("End", 0, 3), 2);
  assert.equal(destination("Home", 2, 3), 0);
  assert.equal(destination("Home", 0, 3), null);
  assert.equal(destination("x", 1, 3), null);
});

test("a swipe is long and flat", () => {
  assert.equal(swipe(-80, 10), "ArrowRight");
  assert.equal(swipe(80, -10), "ArrowLeft");
  assert.equal(swipe(30, 0), null);
  assert.equal(swipe(60, 60), null);
});

test("a range has both of its ends, in either direction", () => {
  assert.deepEqual([range(2, 5), range(5, 2), range(3, 3)], [[2, 6], [2, 6], [3, 4]]);
});

test("an entry moves to its place and the others close up", () => {
  assert.deepEqual(moved(["a", "b", "c", "d"], 0, 2), ["b", "c", "a", "d"]);
  assert.deepEqual(moved(["a", "b", "c"], 2, 0), ["c", "a", "b"]);
});

test("numbers get into texts, and what is unknown stays", () => {
  assert.equal(fill("{n} of {m}, {x}", { n: 1, m: 2 }), "1 of 2, {x}");
});

test("a thumbhash shows its shape and its colours", () => {
  // The published example: a sunset, 75 x 100.
  const picture = decode(bytes("1QcSHQRnh493V4dIh4eXh1h4kJUI"));
  assert.deepEqual([picture.width, picture.height], [23, 32]);
  assert.equal(picture.data.length, 23 * 32 * 4);
  assert.equal(picture.data[3], 255);
  const mean = [0, 1, 2].map((c) => picture.data.filter((_, i) => i % 4 === c).reduce((a, b) => a + b) / (23 * 32));
  assert.ok(mean.every((m) => m > 20 && m < 235), String(mean));
});

test("a damaged thumbhash shows nothing", () => {
  assert.equal(decode(bytes("")), null);
  assert.equal(decode(bytes("%%%")), null);
});
