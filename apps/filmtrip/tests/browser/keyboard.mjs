// Everything by keyboard alone.
import assert from "node:assert/strict";
import { api, axe, EMAIL, env, PASSWORD, photo, queued, until, upload, visitor } from "./kit.mjs";
import { page as owner, roll } from "./studio.mjs";

const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute("href") ?? document.activeElement?.className);

export async function grid() {
  const context = await visitor();
  const page = await context.newPage();
  await page.goto(`${env.SITE_LOCAL}/`);
  await page.keyboard.press("Tab");
  assert.equal(await focused(page), "#content");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  const links = await page.locator(".frame").evaluateAll((all) => all.map((a) => a.getAttribute("href")));
  assert.equal(await focused(page), links[0]);

  await page.keyboard.press("Enter");
  const viewer = page.getByRole("dialog");
  await viewer.waitFor();
  await page.waitForURL(`**${links[0]}`);
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(`**${links[1]}`);
  assert.match(await viewer.locator("[aria-live]").innerText(), /^Photo 2 of /);
  await until("the large photo to be there", () => viewer.locator(".stage img").evaluate((i) => i.naturalWidth > 0));
  await page.keyboard.press("i");
  await viewer.locator("[data-about] dl").waitFor();
  await page.keyboard.press("End");
  await page.waitForURL(`**${links.at(-1)}`);
  await page.keyboard.press("Home");
  await page.waitForURL(`**${links[0]}`);
  // The focus cannot leave the viewer.
  for (let i = 0; i < 12; i++) await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.activeElement === document.body || document.activeElement?.closest("dialog")));
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Escape");
  await viewer.waitFor({ state: "hidden" });
  await until("the address to be the list's", async () => new URL(page.url()).pathname === "/");
  await until("the focus to be on the photo", async () => (await focused(page)) === links[1]);

  // Back closes it too, and a reload stays on the photo.
  await page.keyboard.press("Enter");
  await viewer.waitFor();
  await page.goBack();
  await viewer.waitFor({ state: "hidden" });
  assert.equal(new URL(page.url()).pathname, "/");
  await until("the focus to be back", async () => (await focused(page)) === links[1]);
  await page.keyboard.press("Enter");
  await viewer.waitFor();
  await page.reload();
  assert.ok(await page.locator("article.photo").isVisible());
  await context.close();
}

/** The viewer goes on where the page of the list ends, and closes on the page where the photo is. */
export async function pastThePage() {
  const context = await visitor({ storageState: await owner.context().storageState() });
  const page = await context.newPage();
  await page.goto(`${env.SITE_LOCAL}/admin`);
  await upload(page, photo(...Array.from({ length: 20 }, (_, i) => 20 + i)));
  await queued(page, "done", 20);
  await page.goto(`${env.SITE_LOCAL}/`);
  const shown = await page.locator(".frame").count();
  const all = (await api(page, "/api/photos?limit=100")).photos.map((p) => p.key);
  assert.ok(all.length > shown, "the list has one page only");
  await page.locator(".frame").first().click();
  const viewer = page.getByRole("dialog");
  await viewer.waitFor();
  await page.keyboard.press("End");
  await until("the next page to be known", async () => !(await viewer.getByRole("button", { name: "Next" }).isDisabled()));
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(`**/p/${all[shown]}*`);
  await page.keyboard.press("Escape");
  await page.waitForURL(`**before=**#p-${all[shown]}`);
  assert.ok(await page.locator(`#p-${all[shown]}`).isVisible());
  await page.goBack();
  await until("the first page", async () => new URL(page.url()).search === "");
  await context.close();
}

export async function forms() {
  const context = await visitor();
  const page = await context.newPage();
  await page.goto(`${env.SITE_LOCAL}/login`);
  const first = () => page.evaluate(() => document.activeElement?.getAttribute("name"));
  await until("the first field to have the focus", async () => (await first()) === "email");
  await page.keyboard.type(EMAIL);
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/admin");
  // Every field of the studio has a name.
  const nameless = await page.locator("main :is(input:not([type=hidden]), select, textarea, button)").evaluateAll((all) =>
    all.filter((e) => !(e.labels?.length || e.ariaLabel || e.textContent?.trim())).map((e) => e.outerHTML),
  );
  assert.deepEqual(nameless, []);
  await context.close();
}

/** A form that is refused, and one whose session ends, lose nothing. */
export async function refusedForms() {
  // The refusals are errors on the console, and right so.
  const context = await visitor({ storageState: await owner.context().storageState() }, false);
  const page = await context.newPage();
  await page.goto(`${env.SITE_LOCAL}/admin/rolls?like=${roll}`);
  assert.equal(await page.getByLabel("Film", { exact: true }).inputValue(), "Kodak Portra 400");
  await page.getByLabel("Title").fill("Kyoto, second roll");
  await page.getByLabel("Loaded", { exact: true }).fill("2026-05-02");
  await page.getByLabel("Unloaded").fill("2026-05-01");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("alert").waitFor();
  assert.match(await page.getByRole("alert").innerText(), /“Unloaded” is before “Loaded”/);
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("name")), "unloaded_on");
  assert.equal(await page.getByLabel("Title").inputValue(), "Kyoto, second roll");
  assert.deepEqual(await axe(page), []);

  await context.clearCookies({ name: "filmtrip_session" });
  await page.getByLabel("Unloaded").fill("2026-05-09");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByLabel("Email").fill(EMAIL);
  assert.deepEqual(await axe(page), []);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.keyboard.press("Enter");
  const send = page.getByRole("button", { name: "Send it now" });
  await send.waitFor();
  assert.deepEqual(await axe(page), []);
  await send.press("Enter");
  await page.waitForURL("**/admin?roll=*&notice=roll");
  const made = (await api(page, "/api/rolls")).rolls.find((one) => one.title === "Kyoto, second roll");
  assert.deepEqual([made.unloaded_on, made.camera, made.notes], ["2026-05-09", "Nikon FM2", ""]);
  await context.close();
}
