// The upload form of the studio: chosen and dropped files, a queue with progress, going on after a reload.

import { button, fill, make, texts } from "./dom";
import { byName, list, mediaType, numbers, whole } from "./frames";
import * as queue from "./queue";
import type { About, Item } from "./queue";
import { deliver, giveUp, type Page, type Rules } from "./sender";
import { Store } from "./store";
import { ask, Refusal, send } from "./transport";

interface Row {
  line: HTMLLIElement;
  bar: HTMLProgressElement;
  state: HTMLSpanElement;
  why: HTMLParagraphElement;
  act: HTMLButtonElement;
}

/** Takes the plain form over. */
export async function uploader(form: HTMLFormElement): Promise<void> {
  const rules = await ask<Rules>("GET", "/api/uploads/rules");
  const account = form.dataset["account"] ?? "";
  await new Uploader(form, rules, account, await Store.open(account)).start();
}

class Uploader {
  private readonly say: (name: string) => string;
  private readonly owner = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  private readonly items: Item[] = [];
  private readonly files = new Map<string, Blob>();
  private readonly rows = new Map<string, Row>();
  private readonly stops = new Map<string, AbortController>();
  private readonly list = make("ul", { className: "queue" });
  private readonly live = make("p", { className: "hint" });
  private readonly clear = button("", "", () => this.forgetFinished());
  private readonly again = button("", "", () => this.retry(queue.retriable));
  private readonly page: Page;
  private chosen: File[] = [];
  private timer = 0;
  private count = 0;
  /** The place of the next file in an album, at least. */
  private position = 0;
  private halted = false;
  /** Nobody can be reached: all wait until somebody can. */
  private away = false;
  /** Ends the wait before the next look whether somebody can be reached. */
  private look: () => void = () => undefined;

  constructor(
    private readonly form: HTMLFormElement,
    private readonly rules: Rules,
    private readonly account: string,
    private readonly store: Store | null,
  ) {
    this.say = texts(form.dataset["upload"]);
    this.page = {
      rules,
      csrf: this.field("csrf_token"),
      keep: (item) => this.keep(item),
      progress: (item, share) => this.progress(item, share),
      processing: (item) => {
        if (item.state === "sending") this.turn(item, "processing");
      },
      sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
    };
  }

  private field(name: string): string {
    const field = this.form.elements.namedItem(name);
    return field instanceof HTMLInputElement || field instanceof HTMLSelectElement || field instanceof HTMLTextAreaElement
      ? field.value
      : "";
  }

  async start(): Promise<void> {
    const input = this.form.querySelector<HTMLInputElement>("input[type=file]");
    const drop = this.form.querySelector<HTMLElement>(".drop");
    const submit = this.form.querySelector<HTMLButtonElement>("button:not([type])");
    if (!input || !drop || !submit) return;
    const label = drop.querySelector("span");
    if (label) label.textContent = this.say("drop");
    const word = submit.textContent ?? "";
    const choose = (files: Iterable<File>): void => {
      this.chosen = byName([...this.chosen, ...files]);
      submit.textContent = this.chosen.length ? fill(this.say("start"), { n: this.chosen.length }) : word;
      input.required = this.chosen.length === 0;
    };
    input.addEventListener("change", () => {
      this.chosen = [];
      choose(input.files ?? []);
    });
    dropZone(drop, choose, (file) => this.rules.types.includes(mediaType(file)));
    // Chosen before the script was ready.
    choose(input.files ?? []);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const files = this.chosen;
      this.chosen = [];
      input.value = "";
      choose([]);
      void this.add(files);
    });

    this.list.ariaLabel = this.say("uploads");
    this.live.setAttribute("role", "status");
    this.clear.textContent = this.say("clear");
    this.clear.className = "link";
    this.again.textContent = this.say("retryAll");
    this.again.className = "quiet";
    this.clear.hidden = this.again.hidden = true;
    this.form.after(this.live, this.list, make("div", { className: "actions" }, this.again, this.clear));
    addEventListener("beforeunload", (event) => {
      if (this.items.some((item) => !queue.over(item))) event.preventDefault();
    });
    // What a browser says of the network is a hint only: a site on the same machine is there without any.
    addEventListener("online", () => {
      this.look();
      this.hurry();
    });
    await this.resume();
  }

  /** Takes over what pages that are gone left behind. A lock tells which pages are still there. */
  private async resume(): Promise<void> {
    const { store } = this;
    if (!store) return;
    const locks: LockManager | undefined = navigator.locks;
    if (locks) void locks.request(`filmtrip-page:${this.owner}`, () => new Promise(() => undefined));
    const take = async (): Promise<void> => {
      const held = (await locks?.query())?.held ?? [];
      const alive = held.map((lock) => lock.name?.replace("filmtrip-page:", "") ?? "");
      for (const left of queue.orphans(await store.items(), alive)) {
        const file = await store.file(left.id);
        if (!file) {
          await store.forget(left.id);
          continue;
        }
        const item = queue.revive(left, this.owner);
        await store.save(item);
        this.enter(item, file);
      }
    };
    try {
      await (locks ? locks.request(`filmtrip-resume:${this.account}`, take) : take());
    } catch {
      return;
    }
    const waiting = this.items.filter((item) => !queue.over(item)).length;
    if (waiting) this.tell(fill(this.say("resumed"), { n: waiting }));
    this.pump();
  }

  private async add(files: File[]): Promise<void> {
    const shared: Omit<About, "frame" | "position" | "idempotency_key"> = {
      title: this.field("title").trim(),
      caption: this.field("caption").trim(),
      visibility: this.field("visibility"),
      roll: this.field("roll") || null,
      tags: list(this.field("tags")),
      album: this.field("album") || null,
      keep_duplicate: this.form.querySelector<HTMLInputElement>("[name=keep_duplicate]")?.checked === true,
    };
    // The next batch is most often for the same people; the studio's page begins with it.
    document.cookie = `filmtrip_visibility=${shared.visibility}; path=/admin; max-age=31536000; samesite=lax`;
    const frames = numbers(whole(this.field("frame")), files.length);
    const start = Math.max(Date.now() * 1000, this.position);
    this.position = start + files.length;
    for (const [index, file] of files.entries()) {
      // In the order of the batch, also when read back.
      const id = `${this.owner}-${String(this.count++).padStart(5, "0")}`;
      const item: Item = {
        id,
        owner: this.owner,
        name: file.name,
        size: file.size,
        type: mediaType(file),
        about: { ...shared, frame: frames[index] ?? null, position: start + index, idempotency_key: id },
        state: "waiting",
        tries: 0,
        directFailures: 0,
        due: 0,
      };
      const wrong = this.wrong(item);
      if (wrong) Object.assign(item, { state: "failed", code: wrong });
      this.enter(item, file);
      if (wrong) continue;
      // Without room in the store the file is uploaded all the same, only not kept over a reload.
      await this.store?.add(item, file).catch(() => undefined);
      this.pump();
    }
    const first = this.form.elements.namedItem("frame");
    const last = frames.at(-1);
    if (first instanceof HTMLInputElement && typeof last === "number") first.value = String(last + 1);
    this.report();
  }

  private wrong(item: Item): string | null {
    if (!this.rules.types.includes(item.type)) return "unsupported_type";
    return item.size > this.rules.max_bytes ? "too_large" : null;
  }

  private enter(item: Item, file: Blob): void {
    this.items.push(item);
    this.files.set(item.id, file);
    const bar = make("progress", { max: 1, value: 0 });
    bar.ariaLabel = item.name;
    const state = make("span", { className: "state" });
    const why = make("p", { className: "why", hidden: true });
    const act = button("", "", () => this.act(item));
    act.className = "link";
    const number = make("span", { className: "number" }, item.about.frame === null ? "" : String(item.about.frame));
    if (item.about.frame !== null) number.ariaLabel = `${this.say("frame")} ${item.about.frame}`;
    const line = make("li", {}, number, make("b", { title: item.name }, item.name), state, act, bar, why);
    this.rows.set(item.id, { line, bar, state, why, act });
    this.list.append(line);
    this.draw(item);
  }

  /** Cancels what is under way, tries again what failed, removes what no try can help. */
  private act(item: Item): void {
    if (queue.hopeless(item)) this.remove(item);
    else if (item.state === "failed" || item.state === "cancelled") this.retry((one) => one === item);
    else if (!queue.over(item)) {
      this.stops.get(item.id)?.abort();
      this.turn(item, "cancelled");
      void giveUp(this.page, item).catch(() => undefined);
      this.pump();
    }
  }

  /** Sends some files that are over once more. */
  private retry(which: (item: Item) => boolean): void {
    this.halted = false;
    for (const item of this.items.filter(which)) {
      queue.anew(item);
      this.turn(item, "waiting");
    }
    this.look();
    this.pump();
  }

  /** Starts what may start, and comes back when the next one may. */
  private pump(): void {
    clearTimeout(this.timer);
    if (!this.halted && !this.away) {
      for (const item of queue.startable(this.items, Date.now())) void this.run(item);
      const wait = queue.pause(this.items, Date.now());
      if (wait !== null) this.timer = setTimeout(() => this.pump(), wait);
    }
    this.report();
  }

  /** The way is free: what waits for its time and what was given up for want of an answer goes at once. */
  private hurry(): void {
    for (const item of this.items) item.due = 0;
    this.retry((item) => item.state === "failed" && item.passing === true);
  }

  /** Whether the server answers at all. */
  private async reached(): Promise<boolean> {
    return (await send("GET", "/api/uploads/rules")).status !== 0;
  }

  /** Looks again and again whether somebody can be reached, and then goes on. */
  private async wait(): Promise<void> {
    if (this.away) return;
    this.away = true;
    this.report();
    for (let turn = 1; this.away; turn++) {
      await new Promise<void>((done) => {
        this.look = done;
        setTimeout(done, Math.min(15_000, queue.delay(turn, Math.random())));
      });
      this.away = !(await this.reached());
    }
    this.look = () => undefined;
    this.tell("");
    this.hurry();
  }

  private async run(item: Item): Promise<void> {
    const file = this.files.get(item.id);
    if (!file) return;
    const stop = new AbortController();
    this.stops.set(item.id, stop);
    this.turn(item, "sending");
    try {
      const result = await deliver(this.page, item, file, stop.signal);
      item.photo = result.photo;
      this.turn(item, result.duplicate ? "duplicate" : "done");
    } catch (error) {
      if (!stop.signal.aborted) await this.failed(item, error, stop.signal);
    }
    this.stops.delete(item.id);
    this.pump();
  }

  private async failed(item: Item, error: unknown, signal: AbortSignal): Promise<void> {
    const refusal = error instanceof Refusal ? error : new Refusal(0, "unavailable");
    if (refusal.kind === "logged-out") {
      this.halted = true;
      this.turn(item, "waiting");
      return;
    }
    const away = refusal.status === 0 && !(await this.reached());
    // Cancelled in the meantime.
    if (signal.aborted) return;
    if (away) void this.wait();
    if (!queue.note(item, refusal.kind, away)) {
      item.due = away ? 0 : Date.now() + queue.delay(item.tries, Math.random());
      this.turn(item, "waiting");
      return;
    }
    item.code = refusal.code;
    item.passing = refusal.kind === "again";
    this.turn(item, "failed");
  }

  private turn(item: Item, state: Item["state"]): void {
    item.state = state;
    this.draw(item);
    if (state === "done" || state === "duplicate" || state === "cancelled") {
      void this.store?.forget(item.id).catch(() => undefined);
      if (state !== "cancelled") this.files.delete(item.id);
    } else void this.keep(item);
    if (state !== "sending") this.report();
  }

  private async keep(item: Item): Promise<void> {
    // A file that was cancelled in the meantime must not come back with the next reload.
    if (item.state !== "cancelled") await this.store?.save(item).catch(() => undefined);
  }

  private progress(item: Item, share: number): void {
    const row = this.rows.get(item.id);
    if (row) row.bar.value = share;
  }

  private draw(item: Item): void {
    const row = this.rows.get(item.id);
    if (!row) return;
    const name = item.state === "waiting" && item.tries ? "retrying" : item.state;
    row.state.replaceChildren(
      item.photo ? make("a", { href: `/admin/photos/${item.photo}` }, this.say(name)) : this.say(name),
    );
    row.line.dataset["state"] = item.state;
    row.bar.hidden = queue.over(item);
    if (item.state === "waiting") row.bar.value = 0;
    if (item.state === "processing") row.bar.removeAttribute("value");
    row.why.hidden = item.code === undefined;
    row.why.textContent = item.code === undefined ? "" : this.reason(item.code);
    const again = item.state === "failed" || item.state === "cancelled";
    row.act.hidden = item.state === "done" || item.state === "duplicate";
    const act = this.say(queue.hopeless(item) ? "remove" : again ? "retry" : "cancel");
    row.act.textContent = act;
    row.act.title = row.act.ariaLabel = `${act}: ${item.name}`;
  }

  private reason(code: string): string {
    const said = this.say(code);
    return said === code ? this.say("unavailable") : said;
  }

  private report(): void {
    const sum = queue.tally(this.items);
    this.clear.hidden = !this.items.some(queue.settled);
    this.again.hidden = this.items.filter(queue.retriable).length < 2;
    if (this.halted) this.tell(this.say("loggedOut"));
    else if (this.away && sum.over < sum.all) this.tell(this.say("offline"));
    else if (sum.all && sum.over === sum.all) {
      this.tell(fill(this.say("finished"), { n: sum.done, d: sum.duplicate, f: sum.failed }));
    } else if (sum.over) this.tell(fill(this.say("progress"), { n: sum.over, m: sum.all }));
  }

  /** Only what is new is said, or a reader would repeat itself. */
  private tell(text: string): void {
    if (this.live.textContent !== text) this.live.textContent = text;
  }

  private forgetFinished(): void {
    for (const item of this.items.filter(queue.settled)) this.drop(item);
    this.clear.hidden = true;
    this.tell("");
  }

  /** Takes one file off the list; whoever goes by keys stays in it. */
  private remove(item: Item): void {
    const line = this.rows.get(item.id)?.line;
    const beside = line?.nextElementSibling ?? line?.previousElementSibling;
    this.drop(item);
    (beside?.querySelector<HTMLElement>("button:not([hidden]), a") ?? this.form.querySelector<HTMLElement>("input[type=file]"))?.focus();
    if (this.items.length) this.report();
    else {
      this.clear.hidden = true;
      this.tell("");
    }
  }

  private drop(item: Item): void {
    this.rows.get(item.id)?.line.remove();
    this.rows.delete(item.id);
    this.files.delete(item.id);
    this.items.splice(this.items.indexOf(item), 1);
    void this.store?.forget(item.id).catch(() => undefined);
  }
}

function dropZone(zone: HTMLElement, choose: (files: Iterable<File>) => void, photo: (file: File) => boolean): void {
  const over = (event: DragEvent): void => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.add("over");
  };
  // Anywhere on the page: a file that misses the field must not replace the page.
  addEventListener("dragover", over);
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    zone.classList.remove("over");
    const { files, folders } = dropped(event.dataTransfer);
    if (files.length) choose(files);
    // A lab's folder has other things in it, too.
    for (const folder of folders) inside(folder).then((found) => choose(found.filter(photo)), () => undefined);
  });
}

/** What was dropped: files, and folders, of which a list of files tells nothing but the name. */
function dropped(data: DataTransfer): { files: File[]; folders: FileSystemDirectoryEntry[] } {
  const files: File[] = [];
  const folders: FileSystemDirectoryEntry[] = [];
  for (const item of data.items) {
    const entry = item.kind === "file" ? item.webkitGetAsEntry() : null;
    const file = item.getAsFile();
    if (entry?.isDirectory) folders.push(entry as FileSystemDirectoryEntry);
    else if (file) files.push(file);
  }
  return { files, folders };
}

/** The files of a folder and of those in it. */
async function inside(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((done, fail) => reader.readEntries(done, fail));
    // A reader tells of a folder bit by bit.
    if (!some.length) return files;
    for (const entry of some) {
      if (entry.isDirectory) files.push(...(await inside(entry as FileSystemDirectoryEntry)));
      else files.push(await new Promise<File>((done, fail) => (entry as FileSystemFileEntry).file(done, fail)));
    }
  }
}
