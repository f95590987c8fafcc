// For the pages of the studio.

import { order } from "./order";
import { selection } from "./select";
import { uploader } from "./uploader";

const upload = document.querySelector<HTMLFormElement>("form[data-upload]");
// Without an answer of the server the plain form stays, and works.
if (upload) uploader(upload).catch(() => undefined);
for (const form of document.querySelectorAll<HTMLFormElement>("form[data-select]")) selection(form);
for (const list of document.querySelectorAll<HTMLElement>("[data-order]")) order(list);
boxSpeed();

/** A well-known film brings the ISO of its box. */
function boxSpeed(): void {
  const film = document.querySelector<HTMLInputElement>("input[name=film_stock]");
  const iso = document.querySelector<HTMLInputElement>("input[name=box_iso]");
  film?.addEventListener("change", () => {
    const known = [...(film.list?.options ?? [])].find((option) => option.value === film.value);
    if (iso && iso.value === "" && known?.dataset["iso"]) iso.value = known.dataset["iso"];
  });
}
