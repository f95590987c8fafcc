// Setting up, uploading, editing.
import assert from "node:assert/strict";
import { api, count, env, loaded, logIn, PASSWORD, photo, queued, until, upload, visitor } from "./kit.mjs";

/** The page of the admin, logged in; cookies are shared by the two processes of the site. */
export let page;
export let roll;

export async function setUp() {
  const context = await visitor();
  page = await context.newPage();
  page.on("dialog", (dialog) => dialog.accept().catch(() => undefined));
  await page.goto(`${env.SITE_LOCAL}/setup?token=${env.SETUP_TOKEN}`);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Save password" }).click();
  await page.waitForURL("**/login*");
  assert.match(await page.getByRole("status").innerText(), /password is set/);
  await logIn(page);
}

export async function batchThroughTheApi() {
  await page.goto(`${env.SITE_LOCAL}/admin/rolls`);
  await page.getByLabel("Title").fill("Kyoto, first roll");
  await page.getByLabel("Film", { exact: true }).fill("Kodak Portra 400");
  await page.getByLabel("Camera").fill("Nikon FM2");
  await page.getByLabel("Lens").fill("Nikkor 50mm f/1.8");
  await page.getByLabel("Scanner").fill("Nikon Coolscan V");
  // A well-known film brings its speed.
  assert.equal(await page.getByLabel("ISO on the box").inputValue(), "400");
  await page.getByLabel("Exposed at (EI)").fill("800");
  await page.getByRole("button", { name: "Create" }).click();
  // From the new roll straight to filling it.
  await page.waitForURL("**/admin?roll=*&notice=roll");
  roll = (await api(page, "/api/rolls")).rolls[0].key;
  assert.equal(await page.locator("form[data-upload] select[name=roll]").inputValue(), roll);
  const posts = [];
  page.on("request", (request) => request.method() === "POST" && posts.push(request.url()));
  await page.getByLabel("First frame").fill("35");
  await page.getByLabel("Tags").first().fill("river, 京都");
  // Chosen in the wrong order: the frames follow the names, 2 before 10.
  await upload(page, photo(10, 2, 1, 3));
  await queued(page, "done", 4);
  assert.match(await page.locator(".hint[role=status]").innerText(), /4 uploaded, 0 already here, 0 failed/);
  assert.ok(posts.every((url) => !url.startsWith(env.STORE)), "a file went to the store with the flag off");
  const { photos } = await api(page, `/api/photos?roll=${roll}`);
  assert.deepEqual(photos.map((p) => p.frame), [35, 36, 37, 38]);
  assert.deepEqual(photos[0].tags.toSorted(), ["river", "京都"].toSorted());
  // Portrait photos were made with numbers that three divides: the third by name.
  assert.ok(photos[2].height > photos[2].width);
  assert.equal(await page.getByLabel("First frame").inputValue(), "39");

  await upload(page, photo(1));
  await queued(page, "duplicate", 1);
  assert.equal(await count(page), 4);
  await page.getByRole("button", { name: "Clear the finished ones" }).click();
  assert.equal(await page.locator(".queue li").count(), 0);
}

export async function batchStraightToTheStore() {
  await page.goto(`${env.SITE_DIRECT}/admin`);
  const posts = [];
  page.on("request", (request) => request.method() === "POST" && posts.push(request.url()));
  await upload(page, photo(4, 5, 6));
  await queued(page, "done", 3);
  assert.equal(posts.filter((url) => url.startsWith(env.STORE)).length, 3);
  assert.ok(!posts.some((url) => url.endsWith("/api/photos")), "a file went through the API with the flag on");
  assert.equal(await count(page), 7);

  const { photos } = await api(page, "/api/photos?mine=true");
  for (const style of ["thumb", "preview", "large"]) {
    const { url } = photos[0].images[style];
    assert.ok(url.startsWith(env.CDN), url);
    const answer = await page.request.get(url);
    assert.deepEqual([answer.status(), answer.headers()["content-type"]], [200, "image/jpeg"], url);
  }
  await page.goto(`${env.SITE_DIRECT}/p/${photos[0].key}`);
  assert.ok((await loaded(page))[0].startsWith(env.CDN));
}

export async function reloadInTheMiddle() {
  await page.goto(`${env.SITE_DIRECT}/admin`);
  // The first file gets through, and its page goes before it knows; the others hang on the way.
  let passed = 0;
  await page.route(`${env.STORE}/**`, async (route) => {
    if (route.request().method() === "POST" && passed++ === 0) await route.fetch();
  });
  await upload(page, photo(7, 8, 9, 11));
  await queued(page, "sending", 3);
  await until("the first file to arrive", async () => passed >= 3);
  await page.unroute(`${env.STORE}/**`);
  await page.reload();
  await page.locator(".hint[role=status]", { hasText: /unfinished|uploaded/ }).waitFor();
  await queued(page, "done", 4);
  assert.equal(await count(page), 11);
  // Nothing is left for the next reload.
  await page.reload();
  await page.locator("form[data-upload] .drop").waitFor();
  await page.waitForLoadState("networkidle");
  assert.equal(await page.locator(".queue li").count(), 0);
  assert.equal(await count(page), 11);
}

export async function bulkEdit() {
  await page.goto(`${env.SITE_LOCAL}/admin`);
  const boxes = page.locator(".pick input");
  assert.ok(await page.locator(".bulk").isHidden());
  await boxes.nth(1).click();
  await boxes.nth(3).click({ modifiers: ["Shift"] });
  assert.match(await page.locator(".tally").innerText(), /3 selected/);
  await page.getByLabel("Add tags").fill("evening");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL("**notice=saved");
  assert.equal((await api(page, "/api/photos?tag=evening")).photos.length, 3);

  // Into the trash and back.
  await boxes.nth(0).click();
  await page.getByRole("button", { name: "Move to the trash" }).click();
  await page.waitForURL("**notice=trashed");
  assert.equal(await count(page), 10);
  await page.goto(`${env.SITE_LOCAL}/admin/trash`);
  await boxes.nth(0).click();
  await page.getByRole("button", { name: "Restore" }).click();
  await page.waitForURL("**notice=restored");
  assert.equal(await count(page), 11);
}

/** The files of a batch overtake each other; the album has them in their order. */
export async function batchIntoAnAlbum() {
  await page.goto(`${env.SITE_LOCAL}/admin/albums`);
  await page.getByLabel("Title").fill("In order");
  await page.getByRole("button", { name: "Create" }).click();
  await page.waitForURL("**notice=album");
  const album = (await api(page, "/api/albums?mine=true")).albums[0].key;
  await page.goto(`${env.SITE_LOCAL}/admin`);
  let others = 0;
  let first = true;
  const count = (response) => (others += Number(response.request().method() === "POST"));
  page.on("response", count);
  await page.route("**/api/photos", async (route) => {
    if (first) {
      first = false;
      await until("the others to be there", async () => others === 3);
    }
    await route.continue();
  });
  await page.locator("form[data-upload] select[name=album]").selectOption(album);
  await page.getByLabel("First frame").fill("1");
  await upload(page, photo(16, 17, 18, 19));
  await queued(page, "done", 4);
  await page.unroute("**/api/photos");
  page.off("response", count);
  const frames = async () => (await api(page, `/api/photos?album=${album}`)).photos.map((p) => p.frame);
  assert.deepEqual(await frames(), [1, 2, 3, 4]);
  // Put in disorder by hand, and back with one press.
  await page.goto(`${env.SITE_LOCAL}/admin/albums/${album}`);
  await page.locator("[data-order] input[name=order]").nth(0).fill("9");
  await page.getByRole("button", { name: "Save the order" }).click();
  await page.waitForURL("**notice=saved");
  assert.deepEqual(await frames(), [2, 3, 4, 1]);
  await page.getByRole("button", { name: "Sort by roll and frame" }).click();
  await page.getByRole("status").waitFor();
  assert.deepEqual(await frames(), [1, 2, 3, 4]);
}

/** The connection is gone for many minutes: nothing is given up, and all goes on when it is back. */
export async function connectionGone() {
  const context = await visitor({ storageState: await page.context().storageState() }, false);
  const away = await context.newPage();
  await away.clock.install();
  await away.goto(`${env.SITE_LOCAL}/admin`);
  await away.locator("form[data-upload] .drop span", { hasText: "Drop" }).waitFor();
  await context.setOffline(true);
  await upload(away, photo(40, 41, 42));
  await away.locator(".hint[role=status]", { hasText: "connection is gone" }).waitFor();
  for (let minute = 0; minute < 15; minute++) {
    const failed = away.waitForEvent("requestfailed");
    await away.clock.fastForward(61_000);
    await failed;
  }
  assert.equal(await away.locator('.queue li[data-state="failed"]').count(), 0);
  await context.setOffline(false);
  await queued(away, "done", 3);
  await context.close();
}
