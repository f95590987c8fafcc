// Takes one file to the server: straight to the object store, or through the API.

import { DIRECT_TRIES, goesDirect, goOn, usable, type About, type Item, type UploadInfo } from "./queue";
import { ask, Refusal, refusal, send, type Options } from "./transport";

/** What the server takes; as in the API. */
export interface Rules {
  direct: boolean;
  max_bytes: number;
  max_files: number;
  types: string[];
  direct_types: string[];
}

interface Uploaded {
  photos: { key: string; duplicate?: boolean }[];
  refused: { code: string }[];
}

/** How a file ended. */
export interface Result {
  photo: string;
  duplicate: boolean;
}

/** What the sender needs of the page. */
export interface Page {
  rules: Rules;
  csrf: string;
  /** The item changed and must be kept. */
  keep: (item: Item) => Promise<void>;
  /** Share of the file that was sent, 0 to 1. */
  progress: (item: Item, share: number) => void;
  /** All was sent; the server works on it. */
  processing: (item: Item) => void;
  /** Waits, in milliseconds. */
  sleep: (milliseconds: number) => Promise<void>;
}

/** Sends a file to its end. Throws a [`Refusal`], or an AbortError when it was cancelled. */
export async function deliver(page: Page, item: Item, file: Blob, signal: AbortSignal): Promise<Result> {
  // Even when direct uploads are off by now: what was signed may have arrived.
  if (item.upload) {
    const result = await carryOn(page, item, file, signal);
    if (result) return result;
  }
  while (goesDirect(item, page.rules.direct, page.rules.direct_types)) {
    try {
      const info = await ask<UploadInfo>("POST", "/api/uploads", {
        ...json(page, { file_name: item.name, bytes: item.size, media_type: item.type, about: item.about }),
        signal,
      });
      if (!info.form) break;
      item.upload = { key: info.key, form: info.form, expires: info.expires_at };
      await page.keep(item);
    } catch (error) {
      if (!(error instanceof Refusal) || error.kind !== "not-direct") throw error;
      page.rules.direct = false;
      break;
    }
    const result = await post(page, item, file, signal);
    if (result) return result;
  }
  return throughApi(page, item, file, signal);
}

/** Goes on with what was signed earlier; nothing when it must begin anew. */
async function carryOn(page: Page, item: Item, file: Blob, signal: AbortSignal): Promise<Result | null> {
  const { upload } = item;
  if (!upload) return null;
  let info: UploadInfo | null = null;
  try {
    info = await ask<UploadInfo>("GET", `/api/uploads/${upload.key}`, { signal });
  } catch (error) {
    if (!(error instanceof Refusal) || error.status !== 404) throw error;
  }
  switch (goOn(item, info)) {
    case "settle":
    case "poll":
      return info && (await settled(page, item, info, signal));
    case "ask":
      return (await arrived(page, item, signal)) ?? (await again(page, item, file, signal));
    case "sign":
      await drop(page, item);
      return null;
  }
}

/** The same form once more, when it is still good and the store may be tried. */
async function again(page: Page, item: Item, file: Blob, signal: AbortSignal): Promise<Result | null> {
  const good = item.upload && usable(item.upload.expires, Date.now());
  if (good && goesDirect(item, page.rules.direct, page.rules.direct_types)) {
    return post(page, item, file, signal);
  }
  await giveUp(page, item);
  return null;
}

/** Posts the form. Nothing when the store did not take it and another way is to be tried. */
async function post(page: Page, item: Item, file: Blob, signal: AbortSignal): Promise<Result | null> {
  const { upload } = item;
  if (!upload) return null;
  const form = new FormData();
  const { authorization, policy, ...others } = upload.form.fields;
  // The store wants them first.
  if (authorization !== undefined) form.append("authorization", authorization);
  if (policy !== undefined) form.append("policy", policy);
  for (const [name, value] of Object.entries(others)) form.append(name, value);
  form.append("file", file, item.name);
  const progress = (loaded: number, total: number): void => page.progress(item, total ? loaded / total : 0);
  const answer = await send("POST", upload.form.url, { body: form, progress, signal });
  const stored = answer.status >= 200 && answer.status < 300;
  if (!stored) {
    item.directFailures += 1;
    await page.keep(item);
  }
  // Told at once when it is there, although the store's own message may be late or lost; and asked when the
  // answer was lost, since the file may have arrived all the same.
  const result = await arrived(page, item, signal);
  if (result) return result;
  if (stored || item.directFailures < DIRECT_TRIES) throw new Refusal(0, "unavailable");
  await giveUp(page, item);
  return null;
}

/** Has the server look whether the file is in the store, and waits for the photo. */
async function arrived(page: Page, item: Item, signal: AbortSignal): Promise<Result | null> {
  if (!item.upload) return null;
  const path = `/api/uploads/${item.upload.key}/complete`;
  const answer = await send("POST", path, { ...json(page, undefined), signal });
  const refused = refusal(answer);
  if (answer.status === 409 && refused.code === "not_there") return null;
  if (answer.status >= 300 || answer.status === 0) throw refused;
  const info = answer.body as UploadInfo;
  return info.state === "pending" ? null : settled(page, item, info, signal);
}

/** Waits until an upload is a photo or refused; nothing when it has expired. */
async function settled(page: Page, item: Item, info: UploadInfo, signal: AbortSignal): Promise<Result | null> {
  page.processing(item);
  for (let turn = 0; ; turn++) {
    if (info.state === "done" && info.photo) {
      return { photo: info.photo.key, duplicate: info.photo.duplicate === true };
    }
    if (info.state === "failed") {
      delete item.upload;
      throw new Refusal(422, info.code ?? "bad_image");
    }
    if (info.state === "expired" || info.state === "done") {
      await drop(page, item);
      return null;
    }
    await page.sleep(Math.min(4000, 400 * 1.5 ** turn));
    info = await ask<UploadInfo>("GET", `/api/uploads/${info.key}`, { signal });
  }
}

async function drop(page: Page, item: Item): Promise<void> {
  delete item.upload;
  await page.keep(item);
}

/** Tells the server that a signed upload is not coming any more. */
export async function giveUp(page: Page, item: Item): Promise<void> {
  const key = item.upload?.key;
  await drop(page, item);
  if (key) await send("DELETE", `/api/uploads/${key}`, json(page, undefined));
}

async function throughApi(page: Page, item: Item, file: Blob, signal: AbortSignal): Promise<Result> {
  const form = new FormData();
  form.append("csrf_token", page.csrf);
  for (const [name, value] of fields(item.about)) form.append(name, value);
  form.append("file", file, item.name);
  const progress = (loaded: number, total: number): void => {
    page.progress(item, total ? loaded / total : 0);
    if (total && loaded >= total) page.processing(item);
  };
  const headers = { "x-csrf-token": page.csrf };
  const answer = await ask<Uploaded>("POST", "/api/photos", { body: form, headers, progress, signal });
  const photo = answer.photos[0];
  if (!photo) throw new Refusal(422, answer.refused[0]?.code ?? "bad_image");
  return { photo: photo.key, duplicate: photo.duplicate === true };
}

/** The text parts that come before a file. */
export function fields(about: About): [string, string][] {
  const all: [string, string][] = [
    ["title", about.title],
    ["caption", about.caption],
    ["visibility", about.visibility],
    ["roll", about.roll ?? ""],
    ["frame", about.frame === null ? "" : String(about.frame)],
    ["tags", about.tags.join(",")],
    ["album", about.album ?? ""],
    ["keep_duplicate", about.keep_duplicate ? "true" : ""],
    ["idempotency_key", about.idempotency_key ?? ""],
  ];
  return all.filter(([, value]) => value !== "");
}

function json(page: Page, body: unknown): Options {
  const headers = { "content-type": "application/json", "x-csrf-token": page.csrf };
  return body === undefined ? { headers } : { headers, body: JSON.stringify(body) };
}
