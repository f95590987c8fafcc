// Selection on a contact sheet: all, none, a range with Shift; the bulk form stays in sight.

import { button, fill, make, texts } from "./dom";

/** The boxes between two of a list, both included. */
export function range(from: number, to: number): [number, number] {
  return from < to ? [from, to + 1] : [to, from + 1];
}

/** Adds comfort to a form with boxes. */
export function selection(form: HTMLFormElement): void {
  const say = texts(form.dataset["select"]);
  const boxes = [...form.querySelectorAll<HTMLInputElement>(".pick input")];
  const bulk = form.querySelector<HTMLElement>(".bulk");
  if (!bulk || boxes.length === 0) return;
  const count = make("output");
  const update = (): void => {
    const chosen = boxes.filter((box) => box.checked).length;
    count.textContent = chosen ? fill(say("count"), { n: chosen }) : "";
    bulk.hidden = chosen === 0;
  };
  const all = (checked: boolean): void => {
    for (const box of boxes) box.checked = checked;
    update();
  };
  let last = 0;
  boxes.forEach((box, index) => {
    box.addEventListener("click", (event) => {
      if (event.shiftKey) for (const near of boxes.slice(...range(last, index))) near.checked = box.checked;
      last = index;
      update();
    });
  });
  const everything = button(say("all"), say("all"), () => all(true));
  const nothing = button(say("none"), say("none"), () => all(false));
  everything.className = nothing.className = "link";
  form.prepend(make("div", { className: "tally" }, everything, nothing, count));
  bulk.classList.add("live");
  // A reload keeps boxes ticked in some browsers.
  update();
}
