// Small helpers for pages that are there already.

/** A new element with properties and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A button with a name for those who do not see its sign. */
export function button(sign: string, name: string, press: () => void): HTMLButtonElement {
  const element = make("button", { type: "button", textContent: sign, title: name });
  element.ariaLabel = name;
  element.addEventListener("click", press);
  return element;
}

/** Texts from a `data-` attribute; a missing one shows as its name. */
export function texts(json: string | undefined): (name: string) => string {
  const all = JSON.parse(json ?? "{}") as Record<string, string>;
  return (name) => all[name] ?? name;
}

/** Puts numbers into a text: `{n} of {m}`. */
export function fill(text: string, values: Record<string, number | string>): string {
  return text.replace(/\{(\w)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** Whether a key press belongs to a field that is being written in. */
export function typing(event: KeyboardEvent): boolean {
  const target = event.target;
  return (
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    (target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]"))
  );
}
