// The photo viewer: opens a photo of a grid large, above its page. Every photo keeps its own address, and
// the Back button closes the viewer.

import { button, fill, make, texts, typing } from "./dom";
import { paint } from "./thumbhash";

/** Where a key leads from a photo of a list; nothing when it leads nowhere. */
export function destination(key: string, index: number, count: number): number | null {
  const to = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: count - 1 }[key];
  return to === undefined || to === index || to < 0 || to >= count ? null : to;
}

/** What a movement of a finger means: a swipe to the side, if it was long and flat enough. */
export function swipe(dx: number, dy: number): "ArrowLeft" | "ArrowRight" | null {
  if (Math.abs(dx) < 48 || Math.abs(dx) < Math.abs(dy) * 1.5) return null;
  return dx < 0 ? "ArrowRight" : "ArrowLeft";
}

/** Lets the photos of all grids of the page open in the viewer. */
export function viewer(): void {
  const grids = [...document.querySelectorAll<HTMLElement>(".grid[data-viewer]")];
  const first = grids[0];
  if (!first || !("showModal" in HTMLDialogElement.prototype)) return;
  const links = grids.flatMap((grid) => [...grid.querySelectorAll<HTMLAnchorElement>("a.frame")]);
  const show = build(links, texts(first.dataset["viewer"]));
  links.forEach((link, index) => {
    link.addEventListener("click", (event) => {
      const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
      if (!plain) return;
      event.preventDefault();
      show(index);
    });
  });
}

/** How many photos before the end of what is known the next page of the list is fetched. */
const AHEAD = 4;

/** The address of the list's next page, when there is one. */
function following(list: Document): string | null {
  return list.querySelector<HTMLAnchorElement>(".pager a[rel=next]")?.href ?? null;
}

function build(links: HTMLAnchorElement[], say: (name: string) => string): (index: number) => void {
  let index = 0;
  let more = following(document);
  let fetching = false;
  /** Photos of later pages of the list, and the address of theirs. */
  const later = new Map<HTMLAnchorElement, string>();
  let pushed = false;
  let listPath = location.href;
  let shown = 0;

  const image = make("img", { decoding: "async", alt: "" });
  const position = make("span", {});
  const live = make("p", { className: "sr" });
  live.setAttribute("aria-live", "polite");
  const info = button("i", say("info"), () => togglePanel());
  const full = button("⤢", say("full"), () => toggleFull());
  const previous = button("‹", say("previous"), () => press("ArrowLeft"));
  const next = button("›", say("next"), () => press("ArrowRight"));
  previous.className = "prev";
  next.className = "fwd";
  const panel = make("aside", { className: "panel", hidden: true, tabIndex: -1 });
  panel.ariaLabel = say("info");
  info.ariaPressed = "false";
  const tools = make("div", { className: "tools" }, position, info);
  if (document.fullscreenEnabled) tools.append(full);
  tools.append(button("×", say("close"), () => dialog.close()));
  const stage = make("div", { className: "stage" }, tools, image, previous, next, live);
  const dialog = make("dialog", { className: "viewer" }, stage, panel);
  dialog.ariaLabel = say("viewer");
  document.body.append(dialog);

  const show = (to: number): void => {
    const link = links[to];
    if (!link) return;
    index = to;
    const turn = ++shown;
    const alt = link.querySelector("img")?.alt ?? "";
    stage.querySelector("canvas")?.remove();
    stage.querySelector(".failed")?.remove();
    const soft = paint(link.dataset["hash"] ?? "");
    if (soft) {
      // As large as the photo will be: the canvas scales its few pixels up.
      soft.style.aspectRatio = `${link.dataset["w"]}/${link.dataset["h"]}`;
      soft.style.width = `min(100%, ${link.dataset["w"]}px)`;
      stage.prepend(soft);
    }
    image.removeAttribute("src");
    image.alt = alt;
    image.onload = () => {
      if (turn === shown) stage.querySelector("canvas")?.remove();
    };
    image.onerror = () => {
      if (turn !== shown) return;
      const webp = link.dataset["webp"];
      // A browser without WebP, or a copy that is not there yet.
      if (webp && image.src === new URL(webp, location.href).href) image.src = link.dataset["large"] ?? "";
      else stage.append(make("p", { className: "failed", textContent: say("failed") }));
    };
    image.src = link.dataset["webp"] ?? link.dataset["large"] ?? "";
    place();
    live.textContent = `${fill(say("position"), { n: index + 1, m: count() })}: ${alt}`;
    if (index >= links.length - AHEAD) void extend();
    for (const near of [index + 1, index - 1]) preload(links[near]);
    if (pushed) history.replaceState({ viewer: index }, "", link.href);
    else {
      listPath = location.href;
      history.pushState({ viewer: index }, "", link.href);
      pushed = true;
    }
    if (!panel.hidden) void fillPanel(link, turn);
    if (!dialog.open) dialog.showModal();
  };

  const count = (): string => `${links.length}${more ? "+" : ""}`;

  const place = (): void => {
    position.textContent = `${index + 1} / ${count()}`;
    previous.disabled = destination("ArrowLeft", index, links.length) === null;
    next.disabled = destination("ArrowRight", index, links.length) === null;
  };

  // The list goes on where its page ends.
  const extend = async (): Promise<void> => {
    if (!more || fetching) return;
    fetching = true;
    const address = more;
    try {
      const answer = await fetch(address);
      if (answer.ok) {
        const list = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const link of list.querySelectorAll<HTMLAnchorElement>(".grid[data-viewer] a.frame")) {
          later.set(link, address);
          links.push(link);
        }
        more = following(list);
        if (dialog.open) place();
      }
    } catch {
      // Without a connection the list ends here; the next step asks again.
    }
    fetching = false;
  };

  const press = (key: string): void => {
    const to = destination(key, index, links.length);
    if (to !== null) show(to);
  };

  const togglePanel = (): void => {
    panel.hidden = !panel.hidden;
    info.ariaPressed = String(!panel.hidden);
    const link = links[index];
    if (!panel.hidden && link) void fillPanel(link, shown);
  };

  // The facts are those of the photo's page, so they are written in one place only.
  const fillPanel = async (link: HTMLAnchorElement, turn: number): Promise<void> => {
    let about: Node | null = null;
    try {
      const answer = await fetch(link.href);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      about = page.querySelector("[data-about]");
    } catch {
      // Without a connection the link below still says where the facts are.
    }
    if (turn !== shown || panel.hidden) return;
    panel.replaceChildren(...(about ? [about] : []), make("p", {}, make("a", { href: link.href }, say("page"))));
    for (const input of panel.querySelectorAll<HTMLInputElement>("[data-copy]")) input.disabled = true;
  };

  const toggleFull = (): void => {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void dialog.requestFullscreen().catch(() => undefined);
  };

  dialog.addEventListener("keydown", (event) => {
    if (typing(event)) return;
    if (event.key === "i") togglePanel();
    else if (event.key === "f") toggleFull();
    else if (destination(event.key, index, links.length) !== null) press(event.key);
    else return;
    event.preventDefault();
  });

  dialog.addEventListener("close", () => {
    // Told a moment later: it may be open again.
    if (dialog.open) return;
    image.removeAttribute("src");
    const link = links[index];
    const page = link && later.get(link);
    if (link && page) {
      // To the photo in its list; Back leads to the page that the viewer was opened on.
      pushed = false;
      const at = new URL(page);
      at.hash = link.id;
      if (location.href === listPath) location.assign(at);
      else location.replace(at);
      return;
    }
    const focus = (): void => {
      link?.focus({ preventScroll: true });
      link?.scrollIntoView({ block: "nearest" });
    };
    focus();
    if (!pushed) return;
    pushed = false;
    if (location.href === listPath) return;
    // Closed by key or button: the list is one step back. Going to an address with a # moves the focus there,
    // after the event: it is given back then.
    addEventListener("popstate", () => setTimeout(focus), { once: true });
    history.back();
  });

  addEventListener("popstate", (event) => {
    const state = event.state as { viewer?: number } | null;
    if (state?.viewer !== undefined) {
      pushed = true;
      show(state.viewer);
    } else if (dialog.open) {
      pushed = false;
      dialog.close();
    }
  });

  let start: { x: number; y: number } | null = null;
  stage.addEventListener("pointerdown", (event) => {
    start = event.pointerType === "touch" && event.isPrimary ? { x: event.clientX, y: event.clientY } : null;
  });
  stage.addEventListener("pointerup", (event) => {
    if (!start) return;
    const key = swipe(event.clientX - start.x, event.clientY - start.y);
    start = null;
    if (key && (visualViewport?.scale ?? 1) < 1.05) press(key);
  });

  return show;
}

const asked = new Set<string>();

function preload(link: HTMLAnchorElement | undefined): void {
  const url = link?.dataset["webp"] ?? link?.dataset["large"];
  if (!url || asked.has(url)) return;
  asked.add(url);
  new Image().src = url;
}
