// Files and their states in IndexedDB, so that a batch outlives a reload.

import type { Item } from "./queue";

/** What is kept; every call may fail, and then the batch goes on without. */
export class Store {
  private constructor(private readonly db: IDBDatabase) {}

  /** Opens the store of an account; none where the browser has no such thing. */
  static async open(account: string): Promise<Store | null> {
    try {
      const request = indexedDB.open(`filmtrip-uploads:${account}`, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("items", { keyPath: "id" });
        request.result.createObjectStore("files");
      };
      return new Store(await done(request));
    } catch {
      return null;
    }
  }

  /** All files that are kept, in the order they were added. */
  async items(): Promise<Item[]> {
    const items = await done<Item[]>(this.db.transaction("items").objectStore("items").getAll());
    return items.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** The content of a file. */
  async file(id: string): Promise<Blob | null> {
    const file = await done<unknown>(this.db.transaction("files").objectStore("files").get(id));
    return file instanceof Blob ? file : null;
  }

  /** Keeps a new file. */
  async add(item: Item, file: Blob): Promise<void> {
    const change = this.db.transaction(["items", "files"], "readwrite");
    change.objectStore("items").put(item);
    change.objectStore("files").put(file, item.id);
    await ended(change);
  }

  /** Keeps where a file stands. */
  async save(item: Item): Promise<void> {
    const change = this.db.transaction("items", "readwrite");
    change.objectStore("items").put(item);
    await ended(change);
  }

  /** Forgets a file. */
  async forget(id: string): Promise<void> {
    const change = this.db.transaction(["items", "files"], "readwrite");
    change.objectStore("items").delete(id);
    change.objectStore("files").delete(id);
    await ended(change);
  }
}

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("the store failed"));
  });
}

function ended(change: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    change.oncomplete = () => resolve();
    change.onerror = change.onabort = () => reject(change.error ?? new Error("the store failed"));
  });
}
