import assert from "node:assert/strict";
import { test } from "node:test";
import { byName, list, mediaType, numbers, whole } from "../src/frames.ts";

test("files are in the order that a person expects of their names", () => {
  const files = ["scan10.jpg", "scan2.jpg", "Scan1.jpg", "scan02b.jpg"].map((name) => ({ name }));
  assert.deepEqual(
    byName(files).map((f) => f.name),
    ["Scan1.jpg", "scan2.jpg", "scan02b.jpg", "scan10.jpg"],
  );
});

test("frames count up from the first, beyond 36, and only when there is a first", () => {
  assert.deepEqual(numbers(35, 4), [35, 36, 37, 38]);
  assert.deepEqual(numbers(0, 2), [0, 1]);
  assert.deepEqual(numbers(null, 2), [null, null]);
  assert.deepEqual(numbers(1, 0), []);
});

test("a frame number is a whole number or nothing", () => {
  assert.equal(whole(" 12 "), 12);
  for (const wrong of ["", "-1", "1.5", "12a", "4294967296"]) assert.equal(whole(wrong), null, wrong);
});

test("tags are split at the commas of both languages", () => {
  assert.deepEqual(list("夜，街 、Kyoto, ,rain"), ["夜", "街", "Kyoto", "rain"]);
});

test("a type that the system does not know comes from the name", () => {
  assert.equal(mediaType({ name: "a.TIF", type: "" }), "image/tiff");
  assert.equal(mediaType({ name: "a.bin", type: "" }), "application/octet-stream");
  assert.equal(mediaType({ name: "a.jpg", type: "image/png" }), "image/png");
});
