// Every page, in both languages, light and dark, on a phone and a desktop: nothing complains, nothing overflows, and
// axe-core finds nothing against WCAG 2.2 A and AA.
import assert from "node:assert/strict";
import { api, axe, env, visitor } from "./kit.mjs";
import { page, roll } from "./studio.mjs";

export async function everyPage() {
  const storageState = await page.context().storageState();
  await page.goto(`${env.SITE_LOCAL}/admin/albums`);
  await page.getByText("New album or trip").click();
  await page.getByLabel("Title").fill("Kansai");
  await page.getByLabel("Kind").selectOption("trip");
  await page.getByRole("button", { name: "Create" }).click();
  await page.waitForURL("**notice=album");
  const album = (await api(page, "/api/albums?mine=true")).albums[0].key;
  await page.goto(`${env.SITE_LOCAL}/admin`);
  await page.locator(".pick input").nth(0).click();
  await page.locator(".pick input").nth(2).click({ modifiers: ["Shift"] });
  await page.getByLabel("Add to album").selectOption(album);
  await page.getByRole("button", { name: "Apply" }).click();
  await page.waitForURL("**notice=saved");
  await order(album);

  const key = (await api(page, "/api/photos?mine=true")).photos[0].key;
  const paths = [
    "/", `/p/${key}`, "/rolls", `/r/${roll}`, "/albums", `/a/${album}`, "/search?q=river", "/t/river", "/film/Kodak%20Portra%20400",
    "/camera/Nikon%20FM2", "/gear", "/map", "/admin", `/admin/photos/${key}`, "/admin/rolls", `/admin/rolls?like=${roll}`, `/admin/rolls/${roll}`, "/setup?token=none",
    "/admin/albums", `/admin/albums/${album}`, "/admin/trash", "/admin/account", "/admin/site", "/admin/users",
    "/admin/site/storage", "/admin/reports", "/admin/reports/closed", `/admin/reports/${key}`,
  ];
  const looks = [
    { locale: "en", colorScheme: "dark", viewport: { width: 1440, height: 900 } },
    { locale: "zh-CN", colorScheme: "dark", viewport: { width: 820, height: 1180 } },
    { locale: "en", colorScheme: "light", viewport: { width: 820, height: 1180 } },
    { locale: "zh-CN", colorScheme: "light", viewport: { width: 390, height: 844 } },
  ];
  const against = [];
  for (const look of looks) {
    const context = await visitor({ ...look, storageState });
    await context.clearCookies({ name: "filmtrip_lang" });
    const guest = await context.newPage();
    for (const path of paths) {
      const answer = await guest.goto(`${env.SITE_LOCAL}${path}`);
      assert.equal(answer.status(), 200, path);
      assert.match(answer.headers()["content-security-policy"], /^default-src 'none'/);
      const found = await guest.evaluate(() => ({
        lang: document.documentElement.lang,
        over: document.documentElement.scrollWidth - innerWidth,
        headings: document.querySelectorAll("h1").length,
        alts: [...document.images].filter((i) => !i.hasAttribute("alt")).length,
      }));
      assert.deepEqual(found, { lang: look.locale, over: Math.min(0, found.over), headings: 1, alts: 0 }, path);
      for (const what of await axe(guest)) against.push(`${path}, ${look.locale}, ${look.colorScheme}: ${what}`);
    }
    await context.close();
  }
  assert.deepEqual(against, []);
}

/** An album is put in order by keys; the numbers that are sent follow. */
async function order(album) {
  await page.goto(`${env.SITE_LOCAL}/admin/albums/${album}`);
  const keys = () => api(page, `/api/photos?album=${album}`).then((list) => list.photos.map((p) => p.key));
  const before = await keys();
  assert.equal(before.length, 3);
  await page.locator("[data-order] input[name=order]").nth(0).focus();
  await page.keyboard.press("Alt+ArrowRight");
  await page.getByRole("button", { name: "Save the order" }).click();
  await page.waitForURL("**notice=saved");
  assert.deepEqual(await keys(), [before[1], before[0], before[2]]);
}
