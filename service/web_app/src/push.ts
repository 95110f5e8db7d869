// Web Push: this phone subscribes with the service's key, and the service is told where to push.
import { api } from "./api";
import { keep, recall } from "./store";

export type PushState = "unsupported" | "off" | "denied" | "none" | "on";

function supported(): boolean {
  return "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
}

async function deviceId(): Promise<string> {
  const known = await recall("device");
  if (known) return known;
  const made = crypto.randomUUID();
  await keep("device", made);
  return made;
}

function bytesOf(key: string): Uint8Array<ArrayBuffer> {
  const text = atob(key.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(text, (one) => one.charCodeAt(0));
}

function isFor(subscription: PushSubscription, key: string): boolean {
  const used = subscription.options.applicationServerKey;
  const wanted = bytesOf(key);
  return used !== null && new Uint8Array(used).every((byte, i) => byte === wanted[i]);
}

export async function pushState(key: string | null | undefined): Promise<PushState> {
  if (!supported()) return "unsupported";
  if (!key) return "off";
  if (Notification.permission === "denied") return "denied";
  const subscription = await (await navigator.serviceWorker.ready).pushManager.getSubscription();
  return subscription && isFor(subscription, key) ? "on" : "none";
}

/** Ask the browser, then tell the service. Whether both have agreed. */
export async function subscribe(key: string): Promise<boolean> {
  if ((await Notification.requestPermission()) !== "granted") return false;
  const { pushManager } = await navigator.serviceWorker.ready;
  const old = await pushManager.getSubscription();
  if (old && !isFor(old, key)) await old.unsubscribe();
  const subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) });
  return register(subscription);
}

async function register(subscription: PushSubscription): Promise<boolean> {
  const answer = await api.PUT("/v1/me/devices/{device_id}", {
    params: { path: { device_id: await deviceId() } },
    body: { platform: "web", provider: "webpush", subscription: subscription.toJSON() as never },
  });
  return answer.response.ok;
}

export async function unsubscribe(): Promise<void> {
  if (!supported()) return;
  const registered = await navigator.serviceWorker.getRegistration();
  await (await registered?.pushManager.getSubscription())?.unsubscribe();
  const known = await recall("device");
  if (known) await api.DELETE("/v1/me/devices/{device_id}", { params: { path: { device_id: known } } });
}

/** The subscription follows the key, and the browser's own changes: both are looked at whenever the app opens. */
export async function followKey(): Promise<void> {
  if (!supported() || Notification.permission !== "granted" || !(await recall("device"))) return;
  const { data } = await api.GET("/v1/me/devices");
  if (data?.vapid_public_key) await subscribe(data.vapid_public_key);
}
