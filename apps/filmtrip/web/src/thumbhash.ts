// Decodes a ThumbHash (Evan Wallace's format, https://evanw.github.io/thumbhash/): a photo in about 25 bytes.

/** Pixels, four bytes each. */
export interface Pixels {
  width: number;
  height: number;
  data: Uint8ClampedArray<ArrayBuffer>;
}

interface Channel {
  dc: number;
  ac: number[];
  nx: number;
  ny: number;
}

/** The picture of a hash, at most 32 pixels a side; nothing when the hash is damaged. */
export function decode(hash: Uint8Array): Pixels | null {
  if (hash.length < 5) return null;
  const at = (i: number): number => hash[i] ?? 0;
  const head = at(0) | (at(1) << 8) | (at(2) << 16);
  const tail = at(3) | (at(4) << 8);
  const alpha = head >> 23 !== 0;
  const wide = tail >> 15 !== 0;
  const long = tail & 7;
  const lx = Math.max(3, wide ? (alpha ? 5 : 7) : long);
  const ly = Math.max(3, wide ? long : alpha ? 5 : 7);
  if (alpha && hash.length < 6) return null;

  let nibble = (alpha ? 6 : 5) * 2;
  const channel = (dc: number, nx: number, ny: number, scale: number): Channel => {
    const ac: number[] = [];
    for (let y = 0; y < ny; y++) {
      for (let x = y ? 0 : 1; x * ny < nx * (ny - y); x++) {
        const four = (at(nibble >> 1) >> ((nibble & 1) << 2)) & 15;
        nibble++;
        ac.push((four / 7.5 - 1) * scale);
      }
    }
    return { dc, ac, nx, ny };
  };
  const l = channel((head & 63) / 63, lx, ly, ((head >> 18) & 31) / 31);
  const p = channel(((head >> 6) & 63) / 31.5 - 1, 3, 3, (((tail >> 3) & 63) / 63) * 1.25);
  const q = channel(((head >> 12) & 63) / 31.5 - 1, 3, 3, (((tail >> 9) & 63) / 63) * 1.25);
  const a = alpha ? channel((at(5) & 15) / 15, 5, 5, (at(5) >> 4) / 15) : null;

  const ratio = lx / ly;
  const width = Math.round(ratio > 1 ? 32 : 32 * ratio);
  const height = Math.round(ratio > 1 ? 32 / ratio : 32);
  const data = new Uint8ClampedArray(width * height * 4);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const value = (c: Channel): number => sample(c, (x + 0.5) / width, (y + 0.5) / height);
      const [light, yellow, red] = [value(l), value(p), value(q)];
      const b = light - (2 / 3) * yellow;
      const r = (3 * light - b + red) / 2;
      const i = (y * width + x) * 4;
      data[i] = 255 * r;
      data[i + 1] = 255 * (r - red);
      data[i + 2] = 255 * b;
      data[i + 3] = a ? 255 * value(a) : 255;
    }
  }
  return { width, height, data };
}

function sample(c: Channel, u: number, v: number): number {
  let sum = c.dc;
  let j = 0;
  for (let y = 0; y < c.ny; y++) {
    const fy = Math.cos(Math.PI * v * y) * 2;
    for (let x = y ? 0 : 1; x * c.ny < c.nx * (c.ny - y); x++) {
      sum += (c.ac[j++] ?? 0) * Math.cos(Math.PI * u * x) * fy;
    }
  }
  return sum;
}

/** Bytes of base64. */
export function bytes(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

/** A canvas with the picture of a hash; nothing when the hash is damaged. */
export function paint(base64: string): HTMLCanvasElement | null {
  const pixels = decode(bytes(base64));
  if (!pixels) return null;
  const canvas = document.createElement("canvas");
  canvas.width = pixels.width;
  canvas.height = pixels.height;
  canvas.ariaHidden = "true";
  canvas.getContext("2d")?.putImageData(new ImageData(pixels.data, pixels.width, pixels.height), 0, 0);
  return canvas;
}
