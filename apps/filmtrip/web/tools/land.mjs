// Makes src/templates/land.path, the outline of the land, from Natural Earth's 1:110m land (public domain,
// https://www.naturalearthdata.com), as packed by npm world-atlas 2.0.2. Run once, by hand, in an empty folder:
//   npm install world-atlas@2.0.2 topojson-client@3.1.0 d3-geo@3.1.1 && node land.mjs OUT
// Equirectangular, x = longitude + 180, y = 90 - latitude, tenths of a degree, cut at the date line.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { geoEquirectangular, geoPath } from "d3-geo";
import { feature } from "topojson-client";

const require = createRequire(join(process.cwd(), "land.mjs"));
const world = JSON.parse(readFileSync(require.resolve("world-atlas/land-110m.json"), "utf8"));
const land = feature(world, world.objects.land);
const flat = geoEquirectangular().scale(180 / Math.PI).translate([180, 90]).precision(0);

const tenth = (text) => Math.round(Number(text) * 10);
const short = (n) => String(n / 10).replace(/^(-?)0\./, "$1.");
let path = "";
for (const ring of geoPath(flat).digits(3)(land).split("Z").filter(Boolean)) {
  const points = ring.slice(1).split("L").map((point) => point.split(",").map(tenth));
  let [px, py] = points[0];
  path += `M${short(px)} ${short(py)}`;
  let steps = "";
  for (const [x, y] of points.slice(1)) {
    if (x === px && y === py) continue;
    const [dx, dy] = [short(x - px), short(y - py)];
    steps += (steps && !dx.startsWith("-") ? " " : "") + dx + (dy.startsWith("-") ? "" : " ") + dy;
    [px, py] = [x, y];
  }
  path += `l${steps}z`;
}
writeFileSync(process.argv[2], path);
