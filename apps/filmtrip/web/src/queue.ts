// The rules of the upload queue, without anything of a browser.

/** What is told of a photo with its file; as in the API. */
export interface About {
  title: string;
  caption: string;
  visibility: string;
  roll: string | null;
  frame: number | null;
  tags: string[];
  album: string | null;
  keep_duplicate: boolean;
  /** Its place in the album, however the files of a batch overtake each other. Not in old kept items. */
  position?: number;
  /** Names this one sending of a file: sent again after a lost answer, it is the same photo. Not in old kept items. */
  idempotency_key?: string;
}

/** A form for the object store. */
export interface DirectForm {
  url: string;
  fields: Record<string, string>;
}

/** An upload as the server sees it. */
export interface UploadInfo {
  key: string;
  state: "receiving" | "pending" | "uploaded" | "done" | "failed" | "expired";
  form?: DirectForm;
  expires_at: string;
  photo?: { key: string; duplicate?: boolean };
  code?: string;
}

export type State = "waiting" | "sending" | "processing" | "done" | "duplicate" | "failed" | "cancelled";

/** A file on its way. */
export interface Item {
  id: string;
  /** Which open page works on it. */
  owner: string;
  name: string;
  size: number;
  type: string;
  about: About;
  state: State;
  /** Failed tries in a row. */
  tries: number;
  /** Failed posts to the object store. */
  directFailures: number;
  /** Not before this moment, in milliseconds. */
  due: number;
  /** The upload at the server, when it was signed. */
  upload?: { key: string; form: DirectForm; expires: string };
  photo?: string;
  code?: string;
  /** It failed, but not by a verdict about the file: it may pass another time. Not in old kept items. */
  passing?: boolean;
}

/** Uploads at once. */
export const AT_ONCE = 3;
/** Posts to the object store that may fail before the API is asked instead. */
export const DIRECT_TRIES = 2;
/** Tries of a file before a person is asked. */
export const TRIES = 6;

const OVER: readonly State[] = ["done", "duplicate", "failed", "cancelled"];

/** Whether nothing more happens to a file by itself. */
export function over(item: Item): boolean {
  return OVER.includes(item.state);
}

/** The files that may start now, in their order. */
export function startable(items: readonly Item[], now: number): Item[] {
  const sending = items.filter((i) => i.state === "sending").length;
  const ready = items.filter((i) => i.state === "waiting" && i.due <= now);
  return ready.slice(0, Math.max(0, AT_ONCE - sending));
}

/** Milliseconds until the next file may start; none when none waits for its time. */
export function pause(items: readonly Item[], now: number): number | null {
  const due = items.filter((i) => i.state === "waiting" && i.due > now).map((i) => i.due - now);
  return due.length ? Math.min(...due) : null;
}

/** Milliseconds before another try: one second, doubled each time, at most a minute, scattered. */
export function delay(tries: number, random: number): number {
  return Math.min(60_000, 1000 * 2 ** Math.max(0, tries - 1)) * (0.75 + random / 2);
}

/** What an answer that is no success means. 0 is no answer at all. */
export function verdict(status: number, code: string): "again" | "refused" | "logged-out" | "not-direct" {
  if (status === 401) return "logged-out";
  if (status === 409 && code === "direct_disabled") return "not-direct";
  const passing = status === 0 || status === 408 || status === 425 || status === 429 || status >= 500;
  return passing ? "again" : "refused";
}

/**
 * Notes a try that failed. A try of which nothing was heard because nobody can be reached (`away`) is no try of the file:
 * a connection may be gone for hours. Whether a person is asked now.
 */
export function note(item: Item, kind: ReturnType<typeof verdict>, away: boolean): boolean {
  if (kind === "again" && away) return false;
  item.tries += 1;
  return kind !== "again" || item.tries >= TRIES;
}

/** What is wrong with the file itself stays wrong, however often it is sent. */
const FILE_FAULTS: readonly string[] = ["too_large", "unsupported_type", "bad_image"];

/** Whether a file failed and will fail again, however often it is sent. */
export function hopeless(item: Item): boolean {
  return item.state === "failed" && FILE_FAULTS.includes(item.code ?? "");
}

/** Whether sending a failed file once more may help. */
export function retriable(item: Item): boolean {
  return item.state === "failed" && !hopeless(item);
}

/** Whether a file may be cleared from the list: what may still be uploaded stays in it. */
export function settled(item: Item): boolean {
  return over(item) && !retriable(item);
}

/** Makes a file that is over wait for its turn again. */
export function anew(item: Item): void {
  delete item.code;
  delete item.passing;
  Object.assign(item, { state: "waiting", tries: 0, directFailures: 0, due: 0 });
}

/** Whether a file goes straight to the object store. */
export function goesDirect(item: Item, direct: boolean, types: readonly string[]): boolean {
  return direct && types.includes(item.type) && item.directFailures < DIRECT_TRIES;
}

/** How to go on with a file that was signed earlier, by what the server says of it (null: it knows nothing). */
export function goOn(item: Item, info: UploadInfo | null): "settle" | "poll" | "ask" | "sign" {
  if (!item.upload || !info) return "sign";
  switch (info.state) {
    case "done":
    case "failed":
      return "settle";
    case "uploaded":
    case "receiving":
      return "poll";
    case "expired":
      return "sign";
    case "pending":
      // It may have arrived without anybody having told the server.
      return "ask";
  }
}

/** Whether a form may be posted once more; a minute is kept for the way. */
export function usable(expires: string, now: number): boolean {
  return Date.parse(expires) - now > 60_000;
}

/** What became of the files. */
export function tally(items: readonly Item[]): { all: number; over: number; done: number; duplicate: number; failed: number } {
  const count = (state: State): number => items.filter((i) => i.state === state).length;
  const kept = items.filter((i) => i.state !== "cancelled");
  return {
    all: kept.length,
    over: kept.filter(over).length,
    done: count("done"),
    duplicate: count("duplicate"),
    failed: count("failed"),
  };
}

/** Files of pages that are gone and were not finished: this page goes on with them. */
export function orphans(items: readonly Item[], alive: readonly string[]): Item[] {
  return items.filter((i) => !alive.includes(i.owner) && (!over(i) || i.state === "failed"));
}

/** What is left to do for a file after a reload: what was under way starts again. */
export function revive(item: Item, owner: string): Item {
  const next: Item = { ...item, owner, tries: 0, due: 0 };
  if (item.state === "failed" && !item.passing) return next;
  anew(next);
  return next;
}
