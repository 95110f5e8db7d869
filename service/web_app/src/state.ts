// What all screens look at, and what tabs tell each other.
import { computed, signal } from "@preact/signals";
import type { Me, Problem, Relationship, SignedIn } from "./api_types";

export const session = signal<SignedIn | null>(null);
export const me = signal<Me | null>(null);
export const relationship = signal<Relationship | null>(null);
/** False once a call has reached nobody, until one does. */
export const reached = signal(true);
/** When the oldest answer on the screen was given, if it is one that was kept. */
export const shownAsOf = signal<number | null>(null);
/** Raised whenever something was recorded, or another tab has said so: what is on the screen is asked for again. */
export const news = signal(0);
export const notice = signal<{ text: string; tone: "good" | "told" } | { problem: Problem; tone: "told" } | null>(null);
export const locked = signal(false);

/** Each screen has an address of its own behind the #, but no entry of its own in the browser's history. */
export const route = signal(location.hash.slice(1) || "/today");
export const path = computed(() => route.value.split("?")[0]!.split("/").filter(Boolean));
export const query = computed(() => new URLSearchParams(route.value.split("?")[1] ?? ""));
const behind: string[] = [];
const MOST_BEHIND = 50;

export function go(to: string): void {
  if (to !== route.value) behind.push(route.value);
  if (behind.length > MOST_BEHIND) behind.shift();
  show(to);
}

export function goBack(to = "/today"): void {
  show(behind.pop() ?? to);
}

function show(to: string): void {
  // Replaced, never pushed: the history has one entry of this app, which leaving quickly takes away.
  history.replaceState(null, "", `#${to}`);
  route.value = to;
  notice.value = null;
  scrollTo(0, 0);
  watchBack();
}

interface Watcher {
  onclose: () => void;
  destroy: () => void;
}
declare const CloseWatcher: new () => Watcher;
let watcher: Watcher | undefined;

/**
 * While there is a screen to go back to, a phone's own way back (a button, a gesture) leads there. It is no entry of the
 * history: one that is pushed for it could not be taken away again, and of two, leaving quickly can replace only one.
 * Where a browser has no such watcher, its way back leaves the app, and the one on the screen stays within it.
 */
function watchBack(): void {
  // On a desk it would be the Escape key, which people press for other reasons.
  if (!("CloseWatcher" in window) || !matchMedia("(pointer: coarse)").matches) return;
  if (behind.length === 0) {
    watcher?.destroy();
    watcher = undefined;
  } else if (!watcher) {
    watcher = new CloseWatcher();
    watcher.onclose = () => {
      watcher = undefined;
      goBack();
    };
  }
}

history.scrollRestoration = "manual";
addEventListener("hashchange", () => {
  route.value = location.hash.slice(1) || "/today";
  scrollTo(0, 0);
});

export type Message = "queue" | "session" | "signed-out" | "exit" | "lock";
const channel = new BroadcastChannel("mutuality");
const listeners = new Set<(message: Message) => void>();

/** Tell the other tabs. */
export function tell(message: Message): void {
  channel.postMessage(message);
}

export function listen(to: (message: Message) => void): void {
  listeners.add(to);
}

channel.onmessage = (event: MessageEvent<Message>) => listeners.forEach((one) => one(event.data));
