// The app lock: a PIN before the app opens. Only its PBKDF2 hash is kept; it encrypts nothing, and the app says so.
import { listen, locked, tell } from "./state";
import { forget, keep, recall } from "./store";

const ROUNDS = 600_000;
const FREE_TRIES = 5;

async function hash(pin: string, salt: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(pin), "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations: ROUNDS }, key, 256));
}

export async function hasLock(): Promise<boolean> {
  return (await recall("lock")) !== undefined;
}

export async function setLock(pin: string): Promise<void> {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  await keep("lock", { salt, hash: await hash(pin, salt), failures: 0, not_before: 0 });
}

export async function removeLock(): Promise<void> {
  await forget("lock");
}

export async function lockNow(): Promise<void> {
  if (!(await hasLock())) return;
  locked.value = true;
  tell("lock");
}

/** Seconds to wait, 0 for the wrong PIN, or true: open. From the sixth wrong one on each costs twice the time. */
export async function unlock(pin: string): Promise<true | number> {
  const lock = await recall("lock");
  if (!lock) return open();
  const wait = Math.ceil((lock.not_before - Date.now()) / 1000);
  if (wait > 0) return wait;
  const given = await hash(pin, lock.salt);
  if (given.every((byte, i) => byte === lock.hash[i])) {
    await keep("lock", { ...lock, failures: 0, not_before: 0 });
    return open();
  }
  const failures = lock.failures + 1;
  const seconds = failures < FREE_TRIES ? 0 : Math.min(30 * 2 ** (failures - FREE_TRIES), 3600);
  await keep("lock", { ...lock, failures, not_before: Date.now() + seconds * 1000 });
  return seconds;
}

function open(): true {
  locked.value = false;
  return true;
}

const AWAY = 60_000;
let leftAt = 0;

/** Closed at the start, and after a minute out of sight. */
export async function watchLock(): Promise<void> {
  locked.value = await hasLock();
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") leftAt = Date.now();
    else if (leftAt && Date.now() - leftAt > AWAY) void lockNow();
  });
  listen((message) => {
    if (message === "lock") locked.value = true;
  });
}
