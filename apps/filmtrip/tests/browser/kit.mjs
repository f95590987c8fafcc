// What the steps share: the browser, and an eye on everything that a page complains of.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.TOOLS, "steps.js"));
const { chromium } = require("playwright-core");

export const env = process.env;
export const EMAIL = "admin@example.com";
export const PASSWORD = "correct horse battery";
/** What pages complained of: script errors, console errors, violations of the content security policy. */
export const complaints = [];

export const browser = await chromium.launch({ executablePath: env.CHROMIUM, args: ["--no-sandbox"] });

/** A visitor. `watched` ones collect complaints. */
export async function visitor(options = {}, watched = true) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en", ...options });
  context.setDefaultTimeout(30_000);
  if (watched) watch(context);
  return context;
}

const checker = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core has against a page by WCAG 2.2, A and AA: rule and place. */
export async function axe(page) {
  await page.evaluate(checker);
  const { violations, passes } = await page.evaluate(() =>
    globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }),
  );
  assert.ok(passes.length > 5, "axe-core looked at nothing");
  return violations.flatMap((v) => v.nodes.map((node) => `${v.id}: ${node.target.join(" ")}`));
}

/** Watches over what the pages of a context complain of. */
function watch(context) {
  context.on("page", (page) => {
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") complaints.push(`${page.url()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`${page.url()}: ${error.message}`));
  });
}

/** A browser of its own that keeps its things in a folder, as a person's does, opened once more. */
export async function relaunched(folder) {
  const options = { executablePath: env.CHROMIUM, args: ["--no-sandbox"], viewport: { width: 1280, height: 900 }, locale: "en" };
  const context = await chromium.launchPersistentContext(folder, options);
  context.setDefaultTimeout(30_000);
  watch(context);
  const page = await context.newPage();
  page.on("dialog", (dialog) => dialog.accept().catch(() => undefined));
  const closed = new Promise((done) => context.on("close", done));
  // As it goes when the machine is out of memory: nothing of the browser gets to tidy up.
  const kill = async () => {
    const session = await context.newCDPSession(page);
    await session.send("Browser.crash").catch(() => undefined);
    await closed;
  };
  return { context, page, close: () => context.close(), kill };
}

/** Names of the sample photos. */
export const photo = (...numbers) => numbers.map((n) => join(env.PHOTOS, `scan${n}.jpg`));

/** Fills in the page of the login, in either language. */
export async function logIn(page) {
  await page.locator("input[name=email]").fill(EMAIL);
  await page.locator("input[name=password]").fill(PASSWORD);
  await page.locator("main form button").click();
  await page.waitForURL("**/admin");
}

/** Asks the API as the page's user. */
export async function api(page, path) {
  const answer = await page.request.get(new URL(path, page.url()).href);
  assert.ok(answer.ok(), `${path}: ${answer.status()}`);
  return answer.json();
}

/** Number of photos the user may edit. */
export async function count(page) {
  return (await api(page, "/api/photos?mine=true&limit=100")).photos.length;
}

/** Waits until a condition holds. */
export async function until(what, holds) {
  const end = Date.now() + 30_000;
  while (Date.now() < end) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail(`${what} did not come true`);
}

/** Chooses files and presses the button of the upload form. */
export async function upload(page, files) {
  await page.locator("form[data-upload] input[type=file]").setInputFiles(files);
  await page.getByRole("button", { name: `Upload ${files.length}`, exact: true }).click();
}

/** Waits until so many files of the queue are in a state. */
export function queued(page, state, number) {
  return until(`${number} files ${state}`, async () => {
    const failed = await page.locator('.queue li[data-state="failed"]').allTextContents();
    assert.deepEqual(failed, []);
    return (await page.locator(`.queue li[data-state="${state}"]`).count()) === number;
  });
}

/** Waits until every picture of the page is there; their addresses. */
export async function loaded(page) {
  const pictures = page.locator("main img");
  await pictures.evaluateAll((all) => all.forEach((image) => (image.loading = "eager")));
  await until("every picture to be there", () =>
    pictures.evaluateAll((all) => all.every((image) => image.complete && image.naturalWidth > 0)),
  );
  return pictures.evaluateAll((all) => all.map((image) => image.currentSrc));
}
