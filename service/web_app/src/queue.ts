// The offline queue: everything that is recorded goes through it, and out of it in order, by one tab at a time.
import { signal } from "@preact/signals";
import { api, problemOf } from "./api";
import type { Bodies, Kind, Problem } from "./api_types";
import { type Queued, afterSync, asSent, isPassing, nextBatch, pauseAfter } from "./queue_rules";
import { listen, news, relationship, session, tell } from "./state";
import { enqueue, queued, requeue, unqueue } from "./store";

const LOCK = "mutuality-queue";
/** Behind every event: of the news that come with an answer none is wanted, for screens ask for what they show. */
const NO_NEWS = { shared_after: Number.MAX_SAFE_INTEGER, private_after: Number.MAX_SAFE_INTEGER };

export const waiting = signal<Queued[]>([]);
let failures = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

export type Outcome =
  | { state: "recorded" }
  | { state: "waiting" }
  | { state: "conflict"; problem: Problem }
  | { state: "refused"; problem: Problem };

/** Record something: kept on the phone first, then sent. The id comes from here, so it may be sent as often as needed. */
export async function record<K extends Kind>(kind: K, body: Bodies[K], id: string = crypto.randomUUID()): Promise<Outcome> {
  const rid = relationship.value!.id;
  await enqueue({ id, rid, member: session.value!.member_id, kind, body, state: "waiting" });
  await look();
  await flush();
  const left = waiting.value.find((one) => one.id === id);
  if (!left) return { state: "recorded" };
  return left.state === "waiting" ? { state: "waiting" } : { state: left.state, problem: left.problem! };
}

/** Send what waits. Whoever holds the lock sends for all tabs; the next finds nothing left. */
export async function flush(): Promise<void> {
  clearTimeout(timer);
  try {
    await navigator.locks.request(LOCK, sendAll);
    failures = 0;
  } catch (error) {
    failures += 1;
    timer = setTimeout(() => void flush(), pauseAfter(failures, Math.random()));
    if (!(error instanceof Unsent)) throw error;
  } finally {
    await look();
  }
}

class Unsent extends Error {}

async function sendAll(): Promise<void> {
  for (;;) {
    const member = session.value?.member_id;
    const batch = member ? nextBatch(await queued(), member) : [];
    if (batch.length === 0) return;
    await sendBatch(batch);
  }
}

async function sendBatch(batch: Queued[]): Promise<void> {
  const rid = batch[0]!.rid;
  const answer = await api.POST("/v1/relationships/{rid}/sync", {
    params: { path: { rid } },
    body: { entries: batch.map(asSent) as never, ...NO_NEWS },
  });
  if (!answer.data) {
    const problem = problemOf(answer);
    if (isPassing(problem.status)) throw new Unsent();
    return refuse(batch, problem);
  }
  const change = afterSync(batch, answer.data.results);
  await unqueue(change.sent);
  for (const one of change.kept) await requeue(one);
  if (change.sent.length + change.kept.length < batch.length) throw new Unsent();
  news.value += 1;
  tell("queue");
}

/** The call as a whole was refused: its halves are tried apart, so that one entry never holds up the others. */
async function refuse(batch: Queued[], problem: Problem): Promise<void> {
  if (batch.length === 1) return requeue({ ...batch[0]!, state: "refused", problem });
  const half = Math.ceil(batch.length / 2);
  await sendBatch(batch.slice(0, half));
  await sendBatch(batch.slice(half));
}

export async function look(): Promise<void> {
  const member = session.value?.member_id;
  waiting.value = (await queued()).filter((one) => one.member === member);
}

export async function sendAgain(one: Queued): Promise<void> {
  const { problem: _, ...rest } = one;
  await requeue({ ...rest, state: "waiting" });
  await flush();
}

export async function discard(one: Queued): Promise<void> {
  await unqueue([one]);
  await look();
  tell("queue");
}

export function keepSending(): void {
  addEventListener("online", () => void flush());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") void flush();
  });
  listen((message) => {
    if (message !== "queue") return;
    news.value += 1;
    void look();
  });
  void flush();
}
