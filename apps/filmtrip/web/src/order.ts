// Puts the photos of an album in order by dragging or with Alt and the arrow keys. The numbers are what is sent.

/** A list with one entry moved. */
export function moved<T>(list: readonly T[], from: number, to: number): T[] {
  const next = [...list];
  const [entry] = next.splice(from, 1);
  if (entry !== undefined) next.splice(to, 0, entry);
  return next;
}

/** Makes a list movable. */
export function order(list: HTMLElement): void {
  let dragged: HTMLElement | null = null;
  const entries = (): HTMLElement[] => [...list.querySelectorAll<HTMLElement>(":scope > li")];
  const number = (): void => {
    entries().forEach((entry, index) => {
      const field = entry.querySelector<HTMLInputElement>("input[type=number]");
      if (field) field.value = String(index + 1);
    });
  };
  const move = (entry: HTMLElement, to: number): void => {
    const all = entries();
    if (to < 0 || to >= all.length) return;
    list.append(...moved(all, all.indexOf(entry), to));
    number();
  };
  for (const entry of entries()) {
    entry.draggable = true;
    entry.addEventListener("dragstart", (event) => {
      dragged = entry;
      entry.classList.add("dragged");
      event.dataTransfer?.setData("text/plain", "");
    });
    entry.addEventListener("dragend", () => {
      entry.classList.remove("dragged");
      dragged = null;
    });
    entry.addEventListener("dragover", (event) => {
      if (!dragged) return;
      event.preventDefault();
      if (dragged !== entry) move(dragged, entries().indexOf(entry));
    });
    entry.addEventListener("drop", (event) => event.preventDefault());
    entry.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      if (!event.altKey || step === undefined) return;
      event.preventDefault();
      move(entry, entries().indexOf(entry) + step);
      if (event.target instanceof HTMLElement) event.target.focus();
    });
  }
}
