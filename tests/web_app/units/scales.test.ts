import assert from "node:assert/strict";
import { test } from "node:test";
import { bandPath, linePath, lonely, monthMarks, niceMost, runs } from "../../../service/web_app/src/pictures/scales";

const x = (place: number) => place * 10;
const y = (value: number) => 100 - value * 100;

test("a line breaks where nothing is known, and nothing is drawn across a gap", () => {
  assert.equal(linePath([0.5, 0.6, null, 0.2, 0.1], x, y), "M0 50L10 40M30 80L40 90");
  assert.equal(linePath([null, undefined], x, y), "");
});

test("a point between two gaps is told, for a line of one point shows nothing", () => {
  assert.deepEqual(lonely([0.5, null, 0.2, 0.3, null, 0.9]), [0, 5]);
});

test("a band goes there along the upper ends and back along the lower ones, and breaks likewise", () => {
  const bands = [{ low: 0.2, high: 0.8 }, { low: 0.3, high: 0.7 }, null, { low: 0, high: 1 }];
  assert.equal(bandPath(bands, x, y), "M0 20L10 30L10 70L0 80ZM27.5 0L32.5 0L32.5 100L27.5 100Z");
});

test("runs know where they begin", () => {
  assert.deepEqual(runs([1, 0, 2, 3], Boolean), [{ from: 0, points: [1] }, { from: 2, points: [2, 3] }]);
});

test("an axis of counts ends at a number that can be read", () => {
  assert.deepEqual([1, 2, 3, 7, 11, 34, 70, 4000].map(niceMost), [1, 2, 3, 8, 20, 40, 80, 4000]);
});

test("months are marked at their first days, and never too many", () => {
  assert.deepEqual(monthMarks("2026-01-15", "2026-04-01", 9), ["2026-02-01", "2026-03-01", "2026-04-01"]);
  assert.deepEqual(monthMarks("2026-01-01", "2026-01-20", 9), ["2026-01-01"]);
  assert.equal(monthMarks("2025-11-29", "2026-11-29", 7).length, 6);
});
