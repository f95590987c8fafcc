// Makes src/templates/land.path, the outline of the land, from Natural Earth's 1:110m land (public domain,
// https://www.naturalearthdata.com), as packed by npm world-atlas 2.0.2. Run once, by hand:
//   npm install world-atlas@2.0.2 topojson-client@3.1.0 && node land.mjs OUT
// Equirectangular, x = longitude + 180, y = 90 - latitude, tenths of a degree.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { feature } from "topojson-client";

const require = createRequire(join(process.cwd(), "land.mjs"));
const world = JSON.parse(readFileSync(require.resolve("world-atlas/land-110m.json"), "utf8"));
const land = feature(world, world.objects.land);
const polygons = land.features.flatMap((f) =>
  f.geometry.type === "Polygon" ? [f.geometry.coordinates] : f.geometry.coordinates,
);
const tenth = (n) => Math.round(n * 10);
const short = (n) => String(n / 10).replace(/^(-?)0\./, "$1.");
let path = "";
for (const ring of polygons.flat()) {
  let [px, py] = [tenth(ring[0][0] + 180), tenth(90 - ring[0][1])];
  path += `M${short(px)} ${short(py)}`;
  let steps = "";
  for (const [lon, lat] of ring.slice(1, -1)) {
    const [x, y] = [tenth(lon + 180), tenth(90 - lat)];
    if (x === px && y === py) continue;
    const [dx, dy] = [short(x - px), short(y - py)];
    steps += (steps && !dx.startsWith("-") ? " " : "") + dx + (dy.startsWith("-") ? "" : " ") + dy;
    [px, py] = [x, y];
  }
  path += `l${steps}z`;
}
writeFileSync(process.argv[2], path);
