// What visitors see, and what they do not.
import assert from "node:assert/strict";
import { api, count, env, loaded, photo, queued, upload, visitor } from "./kit.mjs";
import { page, roll } from "./studio.mjs";

/** Fills the form of a photo and saves it. */
async function edit(key, change) {
  await page.goto(`${env.SITE_LOCAL}/admin/photos/${key}`);
  await change(page.locator("form.fields"));
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForURL("**notice=saved");
}

export async function search() {
  const { photos } = await api(page, "/api/photos?mine=true");
  await edit(photos[0].key, async (form) => {
    await form.getByLabel("Title").fill("雨中的 <西湖>");
    await form.getByLabel("Place", { exact: true }).fill("Hangzhou");
    await form.getByLabel("Latitude").fill("30.25");
    await form.getByLabel("Longitude").fill("120.15");
  });
  const context = await visitor();
  const guest = await context.newPage();
  await guest.goto(`${env.SITE_LOCAL}/search`);
  for (const [words, found] of [["西湖", 1], ["hangzhou 雨", 1], ["river", 4], ["Portra FM2", 4], ["nothing of that", 0]]) {
    await guest.getByRole("searchbox").fill(words);
    await guest.getByRole("main").getByRole("button", { name: "Search" }).click();
    await guest.waitForLoadState();
    assert.equal(await guest.locator(".frame").count(), found, words);
  }
  // The exact place is the photographer's own until it is shown.
  const seen = await api(guest, `/api/photos/${photos[0].key}`);
  assert.equal(seen.location, undefined);
  await guest.goto(`${env.SITE_LOCAL}/map`);
  assert.equal(await guest.locator(".marks a").count(), 0);
  await edit(photos[0].key, (form) => form.getByLabel("Show the exact place to everybody").check());
  await guest.reload();
  assert.equal(await guest.locator(".marks a").count(), 1);
  await guest.getByRole("button", { name: "Zoom in" }).click();
  await guest.locator(".marks a").click();
  await guest.waitForURL(`**/p/${photos[0].key}`);
  assert.match(await guest.locator("h1").innerText(), /雨中的 <西湖>/);
  await context.close();
}

export async function privatePhoto() {
  const { photos } = await api(page, "/api/photos?mine=true");
  const { key } = photos[1];
  await edit(key, (form) => form.getByLabel("Who may see it").selectOption("private"));
  // A refusal is an error on the console, and right so: this visitor is not watched.
  const context = await visitor({}, false);
  const guest = await context.newPage();
  for (const path of [`/p/${key}`, `/api/photos/${key}`, `/media/${key}/thumb.jpg`]) {
    const answer = await guest.goto(`${env.SITE_LOCAL}${path}`);
    assert.equal(answer.status(), 404, path);
  }
  await guest.goto(env.SITE_LOCAL);
  assert.equal(await guest.locator(`.frame[href*="${key}"]`).count(), 0);
  await page.goto(`${env.SITE_LOCAL}/p/${key}`);
  await loaded(page);
  await edit(key, (form) => form.getByLabel("Who may see it").selectOption("public"));
  await context.close();
}

export async function flagsOffAndOn() {
  // Off: what is in the store goes on showing, new photos stay here.
  await page.goto(`${env.SITE_LOCAL}/`);
  const off = await loaded(page);
  assert.equal(off.length, 11);
  assert.ok(off.some((url) => url.startsWith(env.CDN)) && off.some((url) => url.startsWith(env.SITE_LOCAL)));
  await page.goto(`${env.SITE_LOCAL}/admin`);
  await upload(page, photo(12));
  await queued(page, "done", 1);
  // On again: all of them show, and new ones go to the store.
  await page.goto(`${env.SITE_DIRECT}/`);
  assert.equal((await loaded(page)).length, 12);
  await page.goto(`${env.SITE_DIRECT}/admin`);
  const stored = page.waitForRequest((request) => request.method() === "POST" && request.url().startsWith(env.STORE));
  await upload(page, photo(13));
  await stored;
  await queued(page, "done", 1);
  await page.goto(`${env.SITE_DIRECT}/`);
  assert.equal((await loaded(page)).length, 13);
}

export async function shareAndFeed() {
  const { photos } = await api(page, `/api/photos?roll=${roll}`);
  await page.goto(`${env.SITE_LOCAL}/p/${photos[0].key}?roll=${roll}`);
  await page.getByRole("button", { name: "Make a short link" }).click();
  const link = await page.getByLabel("Short link").inputValue();
  const context = await visitor();
  const guest = await context.newPage();
  await guest.goto(link);
  assert.equal(new URL(guest.url()).pathname, `/p/${photos[0].key}`);
  const meta = (name) => guest.locator(`meta[property="${name}"]`).getAttribute("content");
  for (const name of ["og:image", "og:url"]) assert.match(await meta(name), /^http:\/\/127\.0\.0\.1/);
  assert.match(await guest.locator("dl.facts").innerText(), /EI 800 \(box 400, pushed 1 stop\)/);
  // Beside it in its roll.
  await guest.goto(`${env.SITE_LOCAL}/p/${photos[1].key}?roll=${roll}`);
  await guest.keyboard.press("ArrowRight");
  await guest.waitForURL(`**/p/${photos[2].key}?roll=${roll}`);
  const feed = await guest.request.get(`${env.SITE_LOCAL}/feed.xml`);
  assert.match(feed.headers()["content-type"], /^application\/rss\+xml/);
  const text = await feed.text();
  const parsed = await guest.evaluate((xml) => {
    const doc = new DOMParser().parseFromString(xml, "application/xml");
    return {
      broken: doc.querySelector("parsererror")?.textContent,
      items: doc.querySelectorAll("item").length,
      titles: [...doc.querySelectorAll("item > title")].map((t) => t.textContent),
      links: [...doc.querySelectorAll("item > link")].map((t) => t.textContent),
    };
  }, text);
  assert.equal(parsed.broken, undefined);
  assert.equal(parsed.items, await count(page));
  assert.ok(parsed.titles.includes("雨中的 <西湖>"));
  assert.ok(parsed.links.every((url) => url.startsWith(`${env.SITE_LOCAL}/p/`)));
  await context.close();
}

export async function withoutScript() {
  const context = await visitor({ javaScriptEnabled: false, storageState: await page.context().storageState() });
  const plain = await context.newPage();
  await plain.goto(`${env.SITE_LOCAL}/`);
  await plain.locator(".frame").nth(1).click();
  await plain.waitForURL("**/p/*");
  assert.ok(await plain.locator("article.photo img").isVisible());
  await plain.getByRole("link", { name: "Next" }).click();
  await plain.waitForURL("**/p/*");
  await plain.goto(`${env.SITE_LOCAL}/map`);
  assert.equal(await plain.locator(".places li").count(), 1);
  // The plain form uploads, the plain boxes edit.
  const before = await count(page);
  await plain.goto(`${env.SITE_LOCAL}/admin`);
  await plain.getByLabel("First frame").fill("7");
  await plain.locator("input[type=file]").setInputFiles([photo(14), photo(15)]);
  await plain.getByRole("button", { name: "Upload photos" }).click();
  await plain.waitForURL("**notice=uploaded");
  assert.equal(await count(page), before + 2);
  const frames = (await api(page, "/api/photos?order=newest")).photos.slice(0, 2).map((p) => p.frame);
  assert.deepEqual(frames.sort(), [7, 8], "frames count up without script, too");
  await plain.locator(".pick input").nth(0).check();
  await plain.getByLabel("Add tags").fill("plain");
  await plain.getByRole("button", { name: "Apply" }).click();
  await plain.waitForURL("**notice=saved");
  assert.equal((await api(page, "/api/photos?tag=plain")).photos.length, 1);
  await context.close();
}
