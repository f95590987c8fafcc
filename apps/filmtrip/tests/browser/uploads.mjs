// The uploader under hard conditions: dropped files, a slow line, pages and browsers that go in the middle.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { api, count, env, logIn, photo, queued, relaunched, until, upload } from "./kit.mjs";
import { page } from "./studio.mjs";

const zone = () => page.locator("form[data-upload] .drop");
const ready = (where) => where.locator("form[data-upload] .drop span", { hasText: "Drop" }).waitFor();
const chosen = (number) => page.getByRole("button", { name: `Upload ${number}`, exact: true });

/** Slows the line down: bytes a second upwards, none for as fast as it is. */
async function line(where, upwards) {
  const session = await where.context().newCDPSession(where);
  const uploadThroughput = upwards ?? -1;
  await session.send("Network.enable");
  await session.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput });
  // The condition ends with the session.
  return session;
}

/** The names of the files of the account, each as often as it is there. */
async function names(where) {
  const { photos } = await api(where, "/api/photos?mine=true&limit=100");
  return photos.map((p) => p.file_name).sort();
}

/** Files that the system drags, as a person does with the mouse: the browser does what it does without a script. */
async function dragged(session, files, x, y) {
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) {
    await session.send("Input.dispatchDragEvent", { type, x, y, data });
    if (type === "dragOver") await until("the zone to show that it takes them", () => zone().evaluate((z) => z.classList.contains("over")));
  }
}

export async function droppedFiles() {
  await page.goto(`${env.SITE_LOCAL}/admin`);
  await ready(page);
  const before = await count(page);
  // Events with files that the page made, on the zone itself.
  const taken = await zone().evaluate((drop) => {
    const data = new DataTransfer();
    data.items.add(new File(["not an image"], "notes.txt", { type: "text/plain" }));
    return ["dragenter", "dragover", "drop"].map((type) => {
      const event = new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: data });
      drop.dispatchEvent(event);
      return event.defaultPrevented;
    });
  });
  assert.deepEqual(taken.slice(1), [true, true]);
  await chosen(1).waitFor();

  const session = await page.context().newCDPSession(page);
  const box = await zone().boundingBox();
  await dragged(session, photo(44), box.x + box.width / 2, box.y + box.height / 2);
  await chosen(2).waitFor();
  // Beside the zone: the page stays, and the file is not lost.
  const address = page.url();
  await dragged(session, photo(45), box.x + box.width / 2, 8);
  await chosen(3).waitFor();
  // Not in a new tab either, which is where Chromium would show it.
  assert.deepEqual(page.context().pages().map((one) => one.url()), [address]);
  assert.ok(!(await zone().evaluate((z) => z.classList.contains("over"))));
  // Text that is dragged is none of the uploader's business.
  const text = await zone().evaluate((drop) => {
    const data = new DataTransfer();
    data.setData("text/plain", "words");
    const event = new DragEvent("dragover", { bubbles: true, cancelable: true, dataTransfer: data });
    drop.dispatchEvent(event);
    return event.defaultPrevented;
  });
  assert.equal(text, false);
  await session.detach();

  await chosen(3).click();
  await until("the two photos to be done", async () => (await page.locator('.queue li[data-state="done"]').count()) === 2);
  const refused = page.locator('.queue li[data-state="failed"]');
  assert.equal(await refused.count(), 1);
  assert.match(await refused.innerText(), /notes\.txt[\s\S]*Only JPEG, PNG, WebP and TIFF/);
  assert.equal(await count(page), before + 2);
  // No try helps a file that is no photo: it can be taken off the list, by keys too.
  assert.equal(await refused.getByRole("button", { name: "Try again" }).count(), 0);
  await refused.getByRole("button", { name: "Remove: notes.txt" }).press("Enter");
  assert.equal(await refused.count(), 0);
  assert.ok(await page.evaluate(() => document.activeElement.closest(".queue li") !== null));
  assert.match(await page.locator(".hint[role=status]").innerText(), /2 uploaded, 0 already here, 0 failed/);
}

/** The folder of a roll, as a lab sends it: the photos in it are taken, also those of a folder in it, and nothing else. */
export async function droppedFolder() {
  await page.goto(`${env.SITE_LOCAL}/admin`);
  await ready(page);
  const before = await names(page);
  const roll = mkdtempSync(join(tmpdir(), "filmtrip-roll-"));
  try {
    mkdirSync(join(roll, "half frames"));
    const [one, two] = photo(59, 60);
    copyFileSync(one, join(roll, basename(one)));
    copyFileSync(two, join(roll, "half frames", basename(two)));
    writeFileSync(join(roll, "Thumbs.db"), "none of ours");
    const session = await page.context().newCDPSession(page);
    const box = await zone().boundingBox();
    await dragged(session, [roll], box.x + box.width / 2, box.y + box.height / 2);
    await chosen(2).click();
    await queued(page, "done", 2);
    await session.detach();
    assert.deepEqual(await names(page), [...before, basename(one), basename(two)].sort());
  } finally {
    rmSync(roll, { recursive: true, force: true });
  }
}

/** What the bars of the queue showed, file by file. */
async function watchBars(where) {
  await where.locator("form[data-upload]").evaluate((form) => {
    globalThis.seen = {};
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        if (!(target instanceof HTMLProgressElement) || !target.hasAttribute("value")) continue;
        (globalThis.seen[target.ariaLabel] ??= []).push(target.value);
      }
    }).observe(form.parentElement, { subtree: true, attributes: true, attributeFilter: ["value"] });
  });
  return () => where.evaluate(() => globalThis.seen);
}

/** Every file's own bar grows with what was sent, through the API and straight to the store. */
export async function barsGrow() {
  for (const [site, files] of [[env.SITE_LOCAL, photo(46, 47, 48)], [env.SITE_DIRECT, photo(49, 50)]]) {
    await page.goto(`${site}/admin`);
    await ready(page);
    const seen = await watchBars(page);
    const session = await line(page, 600_000);
    await upload(page, files);
    await queued(page, "done", files.length);
    await session.detach();
    const bars = await seen();
    for (const file of files.map((path) => basename(path))) {
      const between = [...new Set((bars[file] ?? []).filter((v) => v > 0 && v < 1))];
      assert.ok(between.length >= 2, `${site}, ${file}: ${bars[file]}`);
      assert.deepEqual(between, between.toSorted((a, b) => a - b), `${file} went back`);
    }
    assert.equal(await page.locator(".queue li progress:not([hidden])").count(), 0);
  }
}

/** A reload while files go through the API: one has arrived unheard, the others are half sent. */
export async function reloadThroughTheApi() {
  await page.goto(`${env.SITE_LOCAL}/admin`);
  await ready(page);
  const before = await names(page);
  const files = photo(51, 52, 53, 54);
  const seen = await watchBars(page);
  let unheard;
  await page.route("**/api/photos", async (route) => {
    if (route.request().method() !== "POST" || unheard !== undefined) return route.continue();
    unheard = false;
    // It gets through, and its page goes before it knows.
    await route.fetch();
    unheard = true;
  });
  const session = await line(page, 150_000);
  await upload(page, files);
  await until("one to have arrived unheard", () => unheard === true);
  await until("another to be half sent", async () => Object.values(await seen()).flat().some((v) => v > 0.05 && v < 0.9));
  await page.unroute("**/api/photos");
  await page.reload();
  await session.detach();
  await page.locator(".hint[role=status]", { hasText: /unfinished|uploaded/ }).waitFor();
  await queued(page, "done", 4);
  assert.deepEqual(await names(page), [...before, ...files.map((f) => basename(f))].sort());
  // Nothing is left for the next reload.
  await page.reload();
  await ready(page);
  await page.waitForLoadState("networkidle");
  assert.equal(await page.locator(".queue li").count(), 0);
}

/** The browser is closed in the middle of a batch, and opened again by the same person; once it is killed. */
export async function browserClosed() {
  const profile = mkdtempSync(join(tmpdir(), "filmtrip-profile-"));
  try {
    let person = await relaunched(profile);
    await person.context.addCookies((await page.context().storageState()).cookies);
    const before = await names(page);
    const files = photo(55, 56, 57, 58);
    let at = person.page;
    await at.goto(`${env.SITE_LOCAL}/admin`);
    await ready(at);
    await line(at, 100_000);
    await upload(at, files);
    await until("one to be half sent", () =>
      at.locator(".queue progress").evaluateAll((all) => all.some((bar) => bar.value > 0.05 && bar.value < 0.9)),
    );
    await person.close();

    // Going on by itself, and killed before it comes to an end.
    person = await relaunched(profile);
    at = person.page;
    await at.route("**/api/photos", (route) => (route.request().method() === "POST" ? undefined : route.continue()));
    await at.goto(`${env.SITE_LOCAL}/admin`);
    await at.locator(".hint[role=status]", { hasText: "unfinished" }).waitFor();
    await queued(at, "sending", 3);
    await person.kill();

    // Logged out in between: the login leads back to the batch.
    person = await relaunched(profile);
    at = person.page;
    await person.context.clearCookies();
    await at.goto(`${env.SITE_LOCAL}/admin`);
    await logIn(at);
    await at.locator(".hint[role=status]", { hasText: /unfinished|uploaded/ }).waitFor();
    await queued(at, "done", 4);
    assert.deepEqual(await names(at), [...before, ...files.map((f) => basename(f))].sort());
    await person.close();
  } finally {
    rmSync(profile, { recursive: true, force: true });
  }
}
