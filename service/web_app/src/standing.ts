// How far the member is: what they see first follows from it. Asked for before anything is drawn.
import { computed, effect, signal, untracked } from "@preact/signals";
import { api, memory } from "./api";
import type { NextStep } from "./api_types";
import { me, news, relationship, session } from "./state";
import { keep, recall } from "./store";

interface Standing {
  step?: NextStep["next"];
  isKnown: boolean;
  /** Nobody was reached, and nothing is kept. */
  failed: boolean;
}

const UNKNOWN: Standing = { isKnown: false, failed: false };
export const standing = signal(UNKNOWN);
export const member = computed(() => session.value?.member_id);

export async function askStanding(): Promise<void> {
  await take(api);
}

/** Ask whenever somebody has signed in, or there is news: from what is kept and from the service at once. */
export function followStanding(): void {
  effect(() => {
    void news.value;
    if (member.value) untracked(() => void open());
    else standing.value = UNKNOWN;
  });
}

const stands = computed(() => session.value === null || standing.value.isKnown || standing.value.failed);

/** Wait until the first screen stands and the phone has nothing else to do: what nobody waits for is done then. */
export async function atRest(): Promise<void> {
  await new Promise<void>((done) => effect(() => { if (stands.value) done(); }));
  await new Promise((done) => ("requestIdleCallback" in window ? requestIdleCallback(done, { timeout: 2000 }) : setTimeout(done, 300)));
}

async function open(): Promise<void> {
  let answered = false;
  const asked = take(api).then((taken) => { answered = taken; });
  if (!standing.value.isKnown) await take(memory, () => !answered);
  await asked;
}

async function take(client: typeof api, isWanted: () => boolean = () => true): Promise<boolean> {
  const [myself, next, all, chosen] = await Promise.all([
    client.GET("/v1/me"), client.GET("/v1/home"), client.GET("/v1/relationships"), recall("relationship"),
  ]);
  if (!myself.data || !next.data || !all.data) {
    if (client === api) standing.value = { ...standing.value, failed: true };
    return false;
  }
  if (!isWanted()) return false;
  const there = all.data.relationships;
  const wanted = chosen ?? next.data.relationship_id;
  const found = there.find((one) => one.id === wanted) ?? there.find((one) => one.id === next.data!.relationship_id) ?? there.at(-1) ?? null;
  me.value = myself.data;
  relationship.value = found;
  standing.value = { step: next.data.next, isKnown: true, failed: false };
  if (found && found.id !== chosen) await keep("relationship", found.id);
  return true;
}
