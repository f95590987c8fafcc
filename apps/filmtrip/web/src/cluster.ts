// Puts photos that are near each other on one mark; the same rule as the server's, for any distance.

export interface Point {
  lat: number;
  lon: number;
}

export interface Cluster<P extends Point> extends Point {
  points: P[];
}

/** Each point goes to the first mark that is nearer than `near` degrees; largest first. */
export function cluster<P extends Point>(points: readonly P[], near: number): Cluster<P>[] {
  const clusters: Cluster<P>[] = [];
  for (const point of points) {
    const found = clusters.find((c) => Math.hypot(c.lat - point.lat, c.lon - point.lon) < near);
    if (!found) {
      clusters.push({ lat: point.lat, lon: point.lon, points: [point] });
      continue;
    }
    found.points.push(point);
    const count = found.points.length;
    found.lat += (point.lat - found.lat) / count;
    found.lon += (point.lon - found.lon) / count;
  }
  return clusters.sort((a, b) => b.points.length - a.points.length);
}

/** The part of the map that is shown. */
export interface Window {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The width of a map, in pixels, on which marks have the size that they are given. */
const FULL = 1400;

/** How much larger marks are drawn on `view`, shown `pixels` wide, to be as large to the eye and the finger as on a desk. */
export function enlarged(view: Window, whole: Window, pixels: number): number {
  return (view.width / whole.width) * Math.max(1, FULL / Math.max(1, pixels));
}

/** Zooms around a point of the map and stays within the whole. */
export function zoom(view: Window, whole: Window, factor: number, x: number, y: number): Window {
  const width = Math.min(whole.width, Math.max(whole.width / 256, view.width / factor));
  const scale = width / view.width;
  return clamp(
    { x: x - (x - view.x) * scale, y: y - (y - view.y) * scale, width, height: view.height * scale },
    whole,
  );
}

/** Moves a window back into the whole. */
export function clamp(view: Window, whole: Window): Window {
  const within = (at: number, size: number, start: number, all: number): number =>
    Math.min(Math.max(at, start), start + all - size);
  return {
    ...view,
    x: within(view.x, view.width, whole.x, whole.width),
    y: within(view.y, view.height, whole.y, whole.height),
  };
}

/** The middle of the points in a window, of the window when there are none: x and y of the map. */
export function focus(points: readonly Point[], view: Window): [number, number] {
  const inside = points
    .map((p): [number, number] => [p.lon + 180, 90 - p.lat])
    .filter(([x, y]) => x >= view.x && x <= view.x + view.width && y >= view.y && y <= view.y + view.height);
  const mean = (axis: 0 | 1): number => inside.reduce((sum, point) => sum + point[axis], 0) / inside.length;
  return inside.length ? [mean(0), mean(1)] : [view.x + view.width / 2, view.y + view.height / 2];
}
