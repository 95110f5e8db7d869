import assert from "node:assert/strict";
import { test } from "node:test";
import { BATCH_ENTRIES, type Queued, afterSync, asSent, isPassing, nextBatch, pauseAfter } from "../../../service/web_app/src/queue_rules";

function entry(seq: number, changed: Partial<Queued> = {}): Queued {
  const body = { occurred_at: "2026-06-15T12:00:00+02:00", note: `entry ${seq}` };
  return { seq, id: `id-${seq}`, rid: "a", member: "me", kind: "check_in", body, state: "waiting", ...changed };
}

const ids = (batch: Queued[]) => batch.map((one) => one.seq);

test("what waits goes out in order, to one relationship a call", () => {
  const queue = [entry(1), entry(2), entry(3, { rid: "b" }), entry(4)];
  assert.deepEqual(ids(nextBatch(queue, "me")), [1, 2]);
  assert.deepEqual(ids(nextBatch(queue.slice(2), "me")), [3]);
});

test("what was refused holds nothing up, and another member's is not sent", () => {
  const queue = [entry(1, { state: "refused" }), entry(2, { member: "other" }), entry(3, { state: "conflict" }), entry(4)];
  assert.deepEqual(ids(nextBatch(queue, "me")), [4]);
  assert.deepEqual(nextBatch(queue, "nobody"), []);
});

test("a call has its bounds, but a single entry always goes", () => {
  const many = Array.from({ length: BATCH_ENTRIES + 10 }, (_, i) => entry(i));
  assert.equal(nextBatch(many, "me").length, BATCH_ENTRIES);
  const huge = entry(1, { body: { occurred_at: "", note: "x".repeat(1_100_000) } });
  assert.deepEqual(ids(nextBatch([huge, entry(2)], "me")), [1]);
});

test("an entry is sent under its kind", () => {
  assert.deepEqual(asSent(entry(7)), { id: "id-7", kind: "check_in", check_in: entry(7).body });
});

test("what was recorded or replayed leaves the queue; the rest stays with its reason; the unanswered waits on", () => {
  const batch = [entry(1), entry(2), entry(3), entry(4), entry(5)];
  const problem = { type: "", title: "", status: 422, code: "c", detail: "d" };
  const results = [{ id: "id-1", status: "recorded" }, { id: "id-2", status: "replayed" }, { id: "id-3", status: "conflict", problem }, { id: "id-4", status: "refused", problem }];
  const { sent, kept } = afterSync(batch, results as never);
  assert.deepEqual(ids(sent), [1, 2]);
  assert.deepEqual(kept.map((one) => [one.seq, one.state, one.problem?.detail]), [[3, "conflict", "d"], [4, "refused", "d"]]);
});

test("who is away or busy is asked again", () => {
  assert.deepEqual([0, 401, 429, 500, 503].map(isPassing), [true, true, true, true, true]);
  assert.deepEqual([400, 403, 404, 409, 413, 422].map(isPassing), [false, false, false, false, false, false]);
});

test("tries become rarer, spread by chance, and never end", () => {
  assert.deepEqual([1, 2, 3].map((n) => pauseAfter(n, 1)), [1000, 2000, 4000]);
  assert.equal(pauseAfter(1, 0), 500);
  assert.equal(pauseAfter(1_000_000, 1), 300_000);
});
