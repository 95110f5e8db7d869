// The service worker: opens the app without a network, and shows what is pushed. It never touches an answer of the API.
/// <reference lib="webworker" />
export type {};
declare const self: ServiceWorkerGlobalScope;
declare const SHELL: string[];
declare const VERSION: string;

const CACHE = `shell-${VERSION}`;
const TAG = "check-in";
// The same for everybody, whatever was asked: who reads a locked screen learns nothing.
const TEXT = { en: "A moment for you", de: "Ein Moment für dich" };

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL.map((url) => new Request(url, { cache: "reload" })))));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forgetOldShells().then(() => self.clients.claim()));
});

async function forgetOldShells(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith("shell-") && name !== CACHE).map((name) => caches.delete(name)));
}

// A new version waits until the member opens it: nothing changes under somebody's hands.
self.addEventListener("message", (event) => {
  if (event.data === "open the new version") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin || !SHELL.includes(url.pathname)) return;
  event.respondWith(caches.open(CACHE).then(async (cache) => (await cache.match(url.pathname)) ?? fetch(event.request)));
});

self.addEventListener("push", (event) => {
  const kind = (event.data?.json() as { class?: string } | undefined)?.class;
  event.waitUntil(kind === "withdraw" ? withdraw() : show());
});

async function show(): Promise<void> {
  const text = navigator.language.startsWith("de") ? TEXT.de : TEXT.en;
  await self.registration.showNotification(text, { tag: TAG, icon: "/icons/icon-192.png" });
}

async function withdraw(): Promise<void> {
  for (const one of await self.registration.getNotifications({ tag: TAG })) one.close();
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(openToday());
});

async function openToday(): Promise<void> {
  const open = await self.clients.matchAll({ type: "window" });
  const client = open[0];
  if (!client) return void (await self.clients.openWindow("/#/today"));
  client.postMessage("today");
  await client.focus();
}
