// Shows the colours of a photo while it loads.

import { paint } from "./thumbhash";

/** Paints behind every photo that is not there yet. */
export function placeholders(root: ParentNode): void {
  for (const frame of root.querySelectorAll<HTMLElement>("[data-hash]")) {
    const image = frame.querySelector("img");
    if (!image || image.complete) continue;
    const canvas = paint(frame.dataset["hash"] ?? "");
    if (!canvas) continue;
    frame.prepend(canvas);
    image.addEventListener("load", () => canvas.remove(), { once: true });
    image.addEventListener("error", () => canvas.remove(), { once: true });
  }
}
