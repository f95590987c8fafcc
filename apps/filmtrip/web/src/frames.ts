// Frame numbers of a batch: counted up in the order of the file names.

const order = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Files in the order that a person expects of their names: 2 before 10. */
export function byName<F extends { name: string }>(files: readonly F[]): F[] {
  return [...files].sort((a, b) => order.compare(a.name, b.name));
}

/** The frame number of each of `count` files, from the first on; none without a first. */
export function numbers(first: number | null, count: number): (number | null)[] {
  return Array.from({ length: count }, (_, index) => (first === null ? null : first + index));
}

/** The largest number that the server keeps. */
const LARGEST = 2 ** 32 - 1;

/** A whole number of a field, none when it is empty or no such number. */
export function whole(text: string): number | null {
  return /^\d{1,10}$/.test(text.trim()) && Number(text) <= LARGEST ? Number(text) : null;
}

/** Texts separated by commas, Chinese ones too. */
export function list(text: string): string[] {
  return text
    .split(/[,，、]/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** The media type of a file; systems that do not know it leave it empty. */
export function mediaType(file: { name: string; type: string }): string {
  if (file.type) return file.type;
  const ending = file.name.split(".").pop()?.toLowerCase() ?? "";
  const known: Record<string, string> = {
    jpg: "image/jpeg",
    jpeg: "image/jpeg",
    png: "image/png",
    webp: "image/webp",
    tif: "image/tiff",
    tiff: "image/tiff",
  };
  return known[ending] ?? "application/octet-stream";
}
