// Zoom and pan of the map. The photos are those of the list below it.

import { clamp, cluster, enlarged, focus, zoom, type Window } from "./cluster";
import { button, fill, texts } from "./dom";

const SVG = "http://www.w3.org/2000/svg";
/** Degrees within which photos share a mark while the whole world is shown; as on the server. */
const NEAR = 6;

interface Place {
  lat: number;
  lon: number;
  link: HTMLAnchorElement;
}

const box = document.querySelector<HTMLElement>("[data-map]");
const svg = box?.querySelector("svg");
const marks = svg?.querySelector<SVGGElement>(".marks");
if (box && svg && marks) start(box, svg, marks);

function start(box: HTMLElement, svg: SVGSVGElement, marks: SVGGElement): void {
  const say = texts(box.dataset["map"]);
  const base = svg.viewBox.baseVal;
  const whole: Window = { x: base.x, y: base.y, width: base.width, height: base.height };
  let view = whole;
  const places: Place[] = [...document.querySelectorAll<HTMLAnchorElement>(".places a[data-lat]")].map((link) => ({
    lat: Number(link.dataset["lat"]),
    lon: Number(link.dataset["lon"]),
    link,
  }));

  const draw = (): void => {
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    const scale = enlarged(view, whole, svg.clientWidth);
    const focused = document.activeElement;
    const had = focused instanceof SVGAElement ? focused.getAttribute("aria-label") : null;
    marks.replaceChildren(...cluster(places, NEAR * scale).map((c) => mark(c.lat, c.lon, c.points, scale)));
    if (had !== null) {
      [...marks.children].find((m): m is SVGAElement => m.getAttribute("aria-label") === had)?.focus();
    }
  };

  const mark = (lat: number, lon: number, points: Place[], scale: number): SVGAElement => {
    const link = document.createElementNS(SVG, "a");
    const first = points[0];
    const one = points.length === 1 && first;
    const place = first?.link.closest("section")?.id ?? "";
    link.setAttribute("href", one ? one.link.href : `#${place}`);
    const name = one ? (one.link.querySelector("img")?.alt ?? "") : fill(say("many"), { n: points.length });
    link.setAttribute("aria-label", `${name}, ${lat.toFixed(1)}°, ${lon.toFixed(1)}°`);
    const circle = document.createElementNS(SVG, "circle");
    const [x, y] = [String(lon + 180), String(90 - lat)];
    circle.setAttribute("cx", x);
    circle.setAttribute("cy", y);
    circle.setAttribute("r", String((2.2 + Math.log10(points.length) * 1.6) * scale));
    circle.style.strokeWidth = `${0.5 * scale}`;
    link.append(circle);
    if (points.length > 1) {
      const count = document.createElementNS(SVG, "text");
      count.setAttribute("x", x);
      count.setAttribute("y", y);
      count.setAttribute("dy", ".35em");
      count.setAttribute("aria-hidden", "true");
      count.style.fontSize = `${3.2 * scale}px`;
      count.textContent = String(points.length);
      link.append(count);
      // Far apart photos come apart when zoomed in; those of one spot never do, and lead to the list.
      link.addEventListener("click", (event) => {
        if (view.width <= whole.width / 200) return;
        event.preventDefault();
        to(zoom(view, whole, 4, lon + 180, 90 - lat));
      });
    }
    return link;
  };

  const to = (next: Window): void => {
    view = next;
    draw();
  };
  // The buttons zoom to where the photos in sight are, so that they do not slip out of it.
  const middle = (factor: number): void => {
    const [x, y] = focus(places, view);
    to(zoom(view, whole, factor, x, y));
  };
  const tools = document.createElement("div");
  tools.className = "zoom";
  tools.append(
    button("+", say("in"), () => middle(2)),
    button("−", say("out"), () => middle(0.5)),
    button("◎", say("all"), () => to(whole)),
  );
  box.append(tools);

  const at = (event: MouseEvent): { x: number; y: number } => {
    const shown = svg.getBoundingClientRect();
    return {
      x: view.x + ((event.clientX - shown.left) / shown.width) * view.width,
      y: view.y + ((event.clientY - shown.top) / shown.height) * view.height,
    };
  };
  svg.addEventListener(
    "wheel",
    (event) => {
      // Without a key the wheel scrolls the page, as everywhere.
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { x, y } = at(event);
      to(zoom(view, whole, event.deltaY < 0 ? 1.4 : 1 / 1.4, x, y));
    },
    { passive: false },
  );
  svg.addEventListener("dblclick", (event) => {
    const { x, y } = at(event);
    to(zoom(view, whole, 2, x, y));
  });

  let last: { x: number; y: number } | null = null;
  svg.addEventListener("pointerdown", (event) => {
    if (view.width < whole.width && event.isPrimary) last = { x: event.clientX, y: event.clientY };
  });
  addEventListener("pointermove", (event) => {
    if (!last || event.buttons === 0) return;
    const perPixel = view.width / svg.getBoundingClientRect().width;
    const dx = (event.clientX - last.x) * perPixel;
    const dy = (event.clientY - last.y) * perPixel;
    last = { x: event.clientX, y: event.clientY };
    view = clamp({ ...view, x: view.x - dx, y: view.y - dy }, whole);
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  });
  for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (last = null));
  addEventListener("resize", draw);
  draw();
}
