// For every page with photos.

import { button, typing } from "./dom";
import { placeholders } from "./placeholder";
import { viewer } from "./viewer";

placeholders(document);
viewer();
arrows();
copies();

/** On the page of a photo the arrow keys lead to the ones beside it. */
function arrows(): void {
  if (!document.querySelector("article.photo")) return;
  addEventListener("keydown", (event) => {
    if (typing(event)) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    if (rel) document.querySelector<HTMLAnchorElement>(`.beside a[rel="${rel}"]`)?.click();
  });
}

/** A button beside each address that is there to be passed on. */
function copies(): void {
  for (const input of document.querySelectorAll<HTMLInputElement>("[data-copy]")) {
    input.addEventListener("focus", () => input.select());
    const copy = button(input.dataset["copy"] ?? "", input.dataset["copy"] ?? "", () => {
      input.select();
      void navigator.clipboard?.writeText(input.value).then(() => {
        copy.textContent = input.dataset["copied"] ?? "";
      });
    });
    copy.className = "quiet";
    // Without https there is no clipboard; the text is selected for the keyboard.
    if (!navigator.clipboard) continue;
    const row = document.createElement("span");
    row.className = "copy";
    input.replaceWith(row);
    row.append(input, copy);
  }
}
