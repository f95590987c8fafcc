// Walks through the site as people do. Each step builds on the ones before it.
import { browser, complaints } from "./kit.mjs";
import * as chinese from "./chinese.mjs";
import * as keyboard from "./keyboard.mjs";
import * as looks from "./looks.mjs";
import * as studio from "./studio.mjs";
import * as uploads from "./uploads.mjs";
import * as visitors from "./visitors.mjs";

const steps = [
  studio.setUp,
  studio.batchThroughTheApi,
  studio.batchStraightToTheStore,
  studio.reloadInTheMiddle,
  studio.bulkEdit,
  visitors.search,
  visitors.privatePhoto,
  visitors.flagsOffAndOn,
  visitors.shareAndFeed,
  keyboard.grid,
  keyboard.pastThePage,
  studio.batchIntoAnAlbum,
  studio.connectionGone,
  keyboard.forms,
  keyboard.refusedForms,
  visitors.withoutScript,
  uploads.droppedFiles,
  uploads.droppedFolder,
  uploads.barsGrow,
  uploads.reloadThroughTheApi,
  uploads.browserClosed,
  chinese.inChinese,
  chinese.otherLanguage,
  looks.everyPage,
  looks.mostUsedPages,
];

let failed = false;
try {
  for (const step of steps) {
    const start = Date.now();
    await step();
    console.log(`ok ${step.name} (${Date.now() - start} ms)`);
  }
  if (complaints.length) throw new Error(`pages complained:\n${complaints.join("\n")}`);
} catch (error) {
  failed = true;
  console.log(error.stack);
  console.log("complaints so far:", complaints);
  for (const context of browser.contexts()) {
    for (const page of context.pages()) {
      console.log(`open page ${page.url()}`);
      console.log((await page.locator("body").innerText().catch(String)).slice(0, 1500));
    }
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
