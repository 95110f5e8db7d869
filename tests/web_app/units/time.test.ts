import assert from "node:assert/strict";
import { test } from "node:test";
import { dayAfter, dayAt, daysBetween, isNight, localTime, monthsBefore, quartersBefore } from "../../../service/web_app/src/time";

const HALF_PAST_MIDNIGHT_IN_AUCKLAND = new Date("2026-11-19T11:30:00Z");

test("a time is that of the place, with its offset, never Z", () => {
  assert.equal(localTime(HALF_PAST_MIDNIGHT_IN_AUCKLAND, 13 * 60), "2026-11-20T00:30:00+13:00");
  assert.equal(localTime(HALF_PAST_MIDNIGHT_IN_AUCKLAND, -210), "2026-11-19T08:00:00-03:30");
  assert.equal(localTime(HALF_PAST_MIDNIGHT_IN_AUCKLAND, 0), "2026-11-19T11:30:00+00:00");
});

test("the day is the calendar date there", () => {
  assert.equal(dayAt(HALF_PAST_MIDNIGHT_IN_AUCKLAND, 13 * 60), "2026-11-20");
  assert.equal(dayAt(HALF_PAST_MIDNIGHT_IN_AUCKLAND, 0), "2026-11-19");
});

test("until four in the morning the day before may be meant", () => {
  assert.equal(isNight(new Date("2026-11-19T03:59:59Z"), 0), true);
  assert.equal(isNight(new Date("2026-11-19T04:00:00Z"), 0), false);
  assert.equal(isNight(HALF_PAST_MIDNIGHT_IN_AUCKLAND, 13 * 60), true);
});

test("days are counted over the ends of months, of years, and over changes of clocks", () => {
  assert.equal(dayAfter("2026-12-31", 1), "2027-01-01");
  assert.equal(dayAfter("2026-03-29", -1), "2026-03-28");
  assert.equal(daysBetween("2026-03-28", "2026-03-30"), 2);
  assert.equal(daysBetween("2028-02-28", "2028-03-01"), 2);
});

test("months and quarters go back over the year", () => {
  assert.deepEqual(monthsBefore("2026-02-10", 3), ["2026-02", "2026-01", "2025-12"]);
  assert.deepEqual(quartersBefore("2026-01-01", 2), ["2025-Q4", "2025-Q3"]);
  assert.deepEqual(quartersBefore("2026-11-29", 1), ["2026-Q3"]);
});
