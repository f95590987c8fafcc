// A visitor and an admin who read Chinese: no page shows them English words of the interface.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { api, env, logIn, photo, until, visitor } from "./kit.mjs";
import { page as owner, roll } from "./studio.mjs";

const lines = readFileSync(new URL("../../src/i18n/catalogue.rs", import.meta.url), "utf8");
const quoted = String.raw`"((?:[^"\\]|\\.)*)"`;
const texts = [...lines.matchAll(new RegExp(String.raw`^ {4}\w+: ${quoted}, ${quoted};`, "gm"))].map(([, en, zh]) => ({ en, zh }));
const chinese = new Set(texts.map(({ zh }) => zh));

/** The English texts that a Chinese page must not show: all that have a Chinese form, with any number in their places. */
const english = texts
  .filter(({ en, zh }) => en !== zh && !chinese.has(en) && en.replaceAll(/\{\w\}|[^a-z]/gi, "").length > 3)
  .map(({ en }) => en.replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`).replaceAll(/\{\w\}/g, ".+"));

/** What is on the page in English although there is Chinese for it: text, and what only a screen reader hears. */
async function inEnglish(page) {
  return page.evaluate((patterns) => {
    const all = patterns.map((one) => new RegExp(`^${one}$`));
    const said = [];
    const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if (!node.parentElement.closest("style, script, [lang=en], [translate=no]")) said.push(node.data);
    }
    for (const element of document.querySelectorAll("*")) {
      for (const name of ["aria-label", "title", "placeholder", "alt"]) said.push(element.getAttribute(name) ?? "");
    }
    const words = said.map((text) => text.trim()).filter((text) => text);
    if (words.length < 10) return ["the page says next to nothing"];
    return words.filter((text) => all.some((one) => one.test(text)));
  }, english);
}

/** A page in Chinese, whole. */
async function chinesePage(page, path) {
  assert.equal(await page.evaluate(() => document.documentElement.lang), "zh-CN", path);
  assert.deepEqual(await inEnglish(page), [], path);
}

export async function inChinese() {
  assert.ok(english.length > 250, `${english.length} texts of the catalogue were found`);
  // Refused logins and missing pages are errors on the console, and right so.
  const context = await visitor({ locale: "zh-CN" }, false);
  const guest = await context.newPage();
  const { photos } = await api(owner, "/api/photos?mine=true");
  const album = (await api(owner, "/api/albums?mine=true")).albums[0].key;
  const key = photos[0].key;
  const walk = async (paths, status = 200) => {
    for (const path of paths) {
      const answer = await guest.goto(`${env.SITE_LOCAL}${path}`);
      assert.equal(answer.status(), status, path);
      await chinesePage(guest, path);
    }
  };
  await walk(["/", `/p/${key}`, "/rolls", `/r/${roll}`, "/albums", `/a/${album}`, "/gear", "/map", "/search", "/search?q=river", "/search?q=nowhere", "/t/river", "/login", "/setup?token=none"]);
  await walk(["/no/such/page", "/p/nothing", "/r/nothing", "/a/nothing"], 404);

  // The photo viewer with its facts.
  await guest.goto(`${env.SITE_LOCAL}/r/${roll}`);
  await guest.locator(".frame").first().click();
  await guest.keyboard.press("i");
  await guest.locator("dialog [data-about] dl").waitFor();
  await chinesePage(guest, "the viewer");

  await guest.goto(`${env.SITE_LOCAL}/login`);
  await guest.locator("input[name=email]").fill("admin@example.com");
  await guest.locator("input[name=password]").fill("not the password");
  await guest.keyboard.press("Enter");
  await guest.getByRole("alert").waitFor();
  await chinesePage(guest, "a refused login");
  await logIn(guest);
  await walk([
    "/admin", `/admin?roll=${roll}`, `/admin/photos/${key}`, "/admin/rolls", `/admin/rolls?like=${roll}`, `/admin/rolls/${roll}`, "/admin/albums",
    `/admin/albums/${album}`, "/admin/trash", "/admin/account", "/admin/site", "/admin/users",
    ...["saved", "uploaded", "trashed", "restored", "deleted", "unsure", "nothing_selected"].map((notice) => `/admin?notice=${notice}`),
  ]);
  await walk(["/admin/photos/nothing"], 404);

  // The queue with a finished file, one that is here already, and one that is no image.
  await guest.goto(`${env.SITE_LOCAL}/admin`);
  await until("the uploader to be there", () => guest.locator(".drop span").innerText().then((text) => text.startsWith("把照片拖到这里")));
  const words = { name: "说明.txt", mimeType: "text/plain", buffer: Buffer.from("words") };
  await guest.locator("form[data-upload] input[type=file]").setInputFiles(photo(1)[0]);
  await guest.getByRole("button", { name: "上传 1 张", exact: true }).click();
  await guest.locator("form[data-upload] input[type=file]").setInputFiles([words]);
  await guest.getByRole("button", { name: "上传 1 张", exact: true }).click();
  await guest.locator('.queue li[data-state="duplicate"]').waitFor();
  await guest.locator('.queue li[data-state="failed"]', { hasText: "只支持 JPEG" }).waitFor();
  await guest.locator(".hint[role=status]", { hasText: "本批完成" }).waitFor();
  await guest.locator(".pick input").first().click();
  await guest.locator(".bulk summary").click();
  await chinesePage(guest, "the queue");
  await context.close();
}

/** The page's own control changes the language of the same page, and it stays so. */
export async function otherLanguage() {
  const context = await visitor({ locale: "zh-CN" });
  const guest = await context.newPage();
  await guest.goto(`${env.SITE_LOCAL}/search?q=river`);
  const shows = async (lang, heading, link) => {
    assert.equal(await guest.evaluate(() => document.documentElement.lang), lang);
    assert.equal(await guest.getByRole("heading", { level: 1 }).innerText(), heading);
    assert.equal(await guest.locator("input[name=q]").inputValue(), "river");
    assert.equal(await guest.locator(".lang").innerText(), link);
  };
  await shows("zh-CN", "搜索", "English");
  for (const [lang, heading, link] of [["en", "Search", "中文"], ["zh-CN", "搜索", "English"]]) {
    await guest.locator(".lang").click();
    await guest.waitForURL(`**lang=${lang}`);
    await shows(lang, heading, link);
    await guest.reload();
    await shows(lang, heading, link);
    // On the next pages, too, whose addresses do not say so.
    await guest.goto(`${env.SITE_LOCAL}/search?q=river`);
    await shows(lang, heading, link);
  }
  await context.close();
}
