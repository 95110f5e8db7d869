// The offline queue as rules: what goes out together, how long to wait, what an answer changes. Pure.
import type { Bodies, Kind, Problem, SyncResult } from "./api_types";

/** An entry that the phone keeps until the service has it. `seq` is its place in the queue. */
export interface Queued<K extends Kind = Kind> {
  seq?: number;
  id: string;
  rid: string;
  /** Whose entry it is: only that member's session sends it. */
  member: string;
  kind: K;
  body: Bodies[K];
  state: "waiting" | "conflict" | "refused";
  problem?: Problem;
}

export const BATCH_ENTRIES = 50;
export const BATCH_BYTES = 1_000_000;
const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 300_000;

/** The longest run from the head of the queue that goes to one relationship in one call. */
export function nextBatch(queue: readonly Queued[], member: string): Queued[] {
  const mine = queue.filter((one) => one.member === member && one.state === "waiting");
  const first = mine[0];
  if (!first) return [];
  const batch: Queued[] = [];
  let bytes = 0;
  for (const one of mine) {
    bytes += JSON.stringify(one.body).length;
    if (one.rid !== first.rid || batch.length === BATCH_ENTRIES || (batch.length > 0 && bytes > BATCH_BYTES)) break;
    batch.push(one);
  }
  return batch;
}

/** How an entry stands in the body of a sync call. */
export function asSent(one: Queued): Record<string, unknown> {
  return { id: one.id, kind: one.kind, [one.kind]: one.body };
}

export interface Change {
  sent: Queued[];
  kept: Queued[];
}

/** What leaves the queue, and what stays with the reason why; results come in the order of the entries. */
export function afterSync(batch: readonly Queued[], results: readonly SyncResult[]): Change {
  const change: Change = { sent: [], kept: [] };
  batch.forEach((one, place) => {
    const result = results[place];
    if (!result) return;
    if (result.status === "recorded" || result.status === "replayed") change.sent.push(one);
    else change.kept.push({ ...one, state: result.status, problem: result.problem as Problem });
  });
  return change;
}

/** Whether the service may take the same call later: it is away, busy, or nobody reached it. */
export function isPassing(status: number): boolean {
  return status === 0 || status === 401 || status === 408 || status === 429 || status >= 500;
}

/** Milliseconds until the next try, doubled each time and spread by chance (0 to 1), for ever. */
export function pauseAfter(failures: number, chance: number): number {
  const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(failures - 1, 20));
  return Math.round(longest * (0.5 + chance / 2));
}
