// What is kept on this phone, all of it in one IndexedDB database: signing out empties it.
import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { SignedIn } from "./api_types";
import type { Queued } from "./queue_rules";

export interface Answer {
  body: string;
  etag: string | null;
  kept_at: number;
}

export interface Kept {
  session: SignedIn;
  language: "en" | "de";
  relationship: string;
  lock: { salt: Uint8Array<ArrayBuffer>; hash: Uint8Array<ArrayBuffer>; failures: number; not_before: number };
  device: string;
}

interface Schema extends DBSchema {
  kept: { key: keyof Kept; value: Kept[keyof Kept] };
  queue: { key: number; value: Queued };
  answers: { key: string; value: Answer };
}

const NAME = "mutuality";
// Raised when stores change; `upgrade` then moves what is there, and the queue above all.
const VERSION = 1;
const ANSWERS_KEPT = 300;

let opened: Promise<IDBPDatabase<Schema>> | undefined;

function database(): Promise<IDBPDatabase<Schema>> {
  opened ??= openDB<Schema>(NAME, VERSION, {
    upgrade(db) {
      db.createObjectStore("kept");
      db.createObjectStore("queue", { keyPath: "seq", autoIncrement: true });
      db.createObjectStore("answers");
    },
    // Another tab has a newer version of the app: let it go on, and open anew when something is asked for.
    blocking() {
      void opened?.then((db) => db.close());
      opened = undefined;
    },
  });
  return opened;
}

export async function recall<K extends keyof Kept>(name: K): Promise<Kept[K] | undefined> {
  return (await (await database()).get("kept", name)) as Kept[K] | undefined;
}

export async function keep<K extends keyof Kept>(name: K, value: Kept[K]): Promise<void> {
  await (await database()).put("kept", value, name);
}

export async function forget(name: keyof Kept): Promise<void> {
  await (await database()).delete("kept", name);
}

export async function enqueue(entry: Queued): Promise<void> {
  await (await database()).add("queue", entry);
}

export async function queued(): Promise<Queued[]> {
  return (await database()).getAll("queue");
}

export async function requeue(entry: Queued): Promise<void> {
  await (await database()).put("queue", entry);
}

export async function unqueue(entries: readonly Queued[]): Promise<void> {
  const writing = (await database()).transaction("queue", "readwrite");
  for (const one of entries) if (one.seq !== undefined) void writing.store.delete(one.seq);
  await writing.done;
}

export async function keptAnswer(url: string): Promise<Answer | undefined> {
  return (await database()).get("answers", url);
}

export async function keepAnswer(url: string, answer: Answer): Promise<void> {
  const writing = (await database()).transaction("answers", "readwrite");
  await writing.store.put(answer, url);
  if ((await writing.store.count()) > ANSWERS_KEPT) {
    const all = await writing.store.getAllKeys();
    const ages = await Promise.all(all.map(async (key) => [key, (await writing.store.get(key))?.kept_at ?? 0] as const));
    ages.sort((one, other) => one[1] - other[1]);
    for (const [key] of ages.slice(0, ages.length - ANSWERS_KEPT)) void writing.store.delete(key);
  }
  await writing.done;
}

/** Tokens and answers go; what was not sent yet stays, and only the same member's session will send it. */
export async function forgetSession(): Promise<void> {
  const db = await database();
  await db.clear("answers");
  await db.delete("kept", "session");
}

/** Nothing stays: neither answers, nor settings, nor what was not sent. */
export async function wipe(): Promise<void> {
  const db = await database();
  await Promise.all([db.clear("answers"), db.clear("kept"), db.clear("queue")]);
}
