// What sharp takes for the same three JPEGs. Arguments: sharp's folder, a photo, how, threads (0 for its
// default), rounds, photos a round. Prints one line of JSON; starting node is not counted.
const [, , folder, file, how, threads, rounds, photos] = process.argv;
const sharp = require(folder);
if (Number(threads) > 0) sharp.concurrency(Number(threads));
sharp.cache(false);
const jpeg = { quality: 85 };
const fit = (side) => [side, side, { fit: "inside", withoutEnlargement: true }];

const ways = {
  // Each size from the file.
  async file() {
    let bytes = 0;
    for (const side of [2048, 1024, 600]) {
      bytes += (await sharp(file).autoOrient().resize(...fit(side)).jpeg(jpeg).toBuffer()).length;
    }
    return bytes;
  },
  // Each size from the next larger.
  async chain() {
    const whole = { resolveWithObject: true };
    let { data, info } = await sharp(file).autoOrient().resize(...fit(2048)).raw().toBuffer(whole);
    let bytes = (await sharp(data, { raw: info }).jpeg(jpeg).toBuffer()).length;
    ({ data, info } = await sharp(data, { raw: info }).resize(...fit(1024)).raw().toBuffer(whole));
    bytes += (await sharp(data, { raw: info }).jpeg(jpeg).toBuffer()).length;
    bytes += (await sharp(data, { raw: info }).resize(...fit(600)).jpeg(jpeg).toBuffer()).length;
    return bytes;
  },
};

(async () => {
  let bytes = await ways[how]();
  const cpu_ms = [];
  for (let round = 0; round < Number(rounds); round++) {
    const before = process.cpuUsage();
    for (let i = 0; i < Number(photos); i++) bytes = await ways[how]();
    const used = process.cpuUsage(before);
    cpu_ms.push((used.user + used.system) / 1000 / Number(photos));
  }
  console.log(JSON.stringify({ cpu_ms, peak_kib: process.resourceUsage().maxRSS, bytes }));
})();
