// Every page, in both languages, light and dark, on a phone and a desktop: nothing complains, nothing overflows, and
// axe-core finds nothing against WCAG 2.2 A and AA. The most used ones in every combination.
import assert from "node:assert/strict";
import { api, axe, env, photo, visitor } from "./kit.mjs";
import { layout } from "./layout.mjs";
import { page, roll } from "./studio.mjs";

/** Opens the first photo of the list in the viewer, with what is known of it. */
async function viewed(guest) {
  await guest.locator(".frame").first().click();
  await guest.locator("dialog .stage img").evaluate((image) => image.decode());
  await guest.keyboard.press("i");
  await guest.locator("dialog [data-about] dl").waitFor();
}

/** Fills the queue of the studio: a file that is here already, and one that is no photo. */
async function queueFilled(guest) {
  const send = async (files) => {
    await guest.locator("form[data-upload] input[type=file]").setInputFiles(files);
    await guest.locator("form[data-upload] > button").click();
  };
  await guest.locator(".queue").waitFor({ state: "attached" });
  await send(photo(1));
  await guest.locator('.queue li[data-state="duplicate"]').waitFor();
  await send([{ name: "notes of the second roll, Kyoto, spring 2026.txt", mimeType: "text/plain", buffer: Buffer.from("no photo") }]);
  await guest.locator('.queue li[data-state="failed"]').waitFor();
}

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
    "/", `/p/${key}`, "/rolls", `/r/${roll}`, "/albums", `/a/${album}`, "/search", "/search?q=river", "/t/river", "/film/Kodak%20Portra%20400",
    "/camera/Nikon%20FM2", "/lens/Nikkor%2050mm%20f%2F1.8", "/scanner/Nikon%20Coolscan%20V", "/gear", "/map", "/admin", `/admin/photos/${key}`, "/admin/rolls", `/admin/rolls?like=${roll}`, `/admin/rolls/${roll}`, "/setup?token=none",
    "/admin/albums", `/admin/albums/${album}`, "/admin/trash", "/admin/account", "/admin/site", "/admin/users",
    "/admin/site/storage", "/admin/reports", "/admin/reports/closed", `/admin/reports/${key}`,
  ];
  const acts = [["/", viewed], ["/admin", queueFilled]];
  const looks = [
    { locale: "en", colorScheme: "dark", viewport: { width: 1440, height: 900 } },
    { locale: "zh-CN", colorScheme: "dark", viewport: { width: 820, height: 1180 } },
    { locale: "en", colorScheme: "light", viewport: { width: 820, height: 1180 } },
    { locale: "zh-CN", colorScheme: "light", viewport: { width: 390, height: 844 } },
  ];
  const against = [];
  const walk = async (look) => {
    const context = await visitor({ ...look, storageState });
    await context.clearCookies({ name: "filmtrip_lang" });
    // Without a session, and where a refusal on the console is right.
    const outside = await visitor(look, false);
    const inside = await context.newPage();
    const outsider = await outside.newPage();
    const visits = [
      ...paths.map((path) => [inside, path, 200]), ...acts.map(([path, act]) => [inside, path, 200, act]),
      [outsider, "/login", 200], [outsider, "/login?next=/admin/rolls", 200], [outsider, "/no/such/page", 404], [outsider, "/p/nothing", 404],
    ];
    for (const [guest, path, status, act] of visits) {
      const answer = await guest.goto(`${env.SITE_LOCAL}${path}`);
      assert.equal(answer.status(), status, path);
      await act?.(guest);
      assert.match(answer.headers()["content-security-policy"], /^default-src 'none'/);
      const found = await guest.evaluate(() => ({
        lang: document.documentElement.lang,
        over: document.documentElement.scrollWidth - innerWidth,
        headings: [...document.querySelectorAll("h1")].filter((h) => !h.closest("dialog")).length,
        alts: [...document.images].filter((i) => !i.hasAttribute("alt")).length,
      }));
      assert.deepEqual(found, { lang: look.locale, over: Math.min(0, found.over), headings: 1, alts: 0 }, path);
      const where = `${path}${act ? ` ${act.name}` : ""}, ${look.locale}, ${look.colorScheme}`;
      for (const what of [...(await axe(guest)), ...(await layout(guest))]) against.push(`${where}: ${what}`);
    }
    await context.close();
    await outside.close();
  };
  // Two at a time: a machine has two cores.
  for (const some of [looks.slice(0, 2), looks.slice(2)]) await Promise.all(some.map(walk));
  assert.deepEqual(against, []);
}

/** The pages that people are on most, in all combinations of width, language and light. */
export async function mostUsedPages() {
  const storageState = await page.context().storageState();
  const key = (await api(page, `/api/photos?roll=${roll}`)).photos[0].key;
  const places = [["/"], ["/", viewed], [`/p/${key}?roll=${roll}`], [`/r/${roll}`], ["/admin", queueFilled], ["/admin/site"]];
  const against = [];
  for (const locale of ["en", "zh-CN"]) {
    const context = await visitor({ locale, storageState });
    await context.clearCookies({ name: "filmtrip_lang" });
    const guest = await context.newPage();
    for (const [path, act] of places) {
      for (const width of [390, 820, 1440]) {
        await guest.setViewportSize({ width, height: width === 1440 ? 900 : 1100 });
        await guest.goto(`${env.SITE_LOCAL}${path}`);
        await act?.(guest);
        for (const colorScheme of ["dark", "light"]) {
          await guest.emulateMedia({ colorScheme });
          const bright = await guest.evaluate(() => getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).some((c) => c > 127));
          assert.equal(bright, colorScheme === "light");
          assert.equal(await guest.evaluate(() => document.documentElement.lang), locale);
          for (const what of await layout(guest)) against.push(`${path} ${act?.name ?? ""}, ${locale}, ${width}, ${colorScheme}: ${what}`);
        }
      }
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
