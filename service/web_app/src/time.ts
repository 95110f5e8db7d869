// Times as they are where the phone is: an entry counts on the calendar day of its own offset. Pure.

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** Until this hour people still speak of the day before. */
export const NIGHT_ENDS_AT = 4;

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** Minutes east of Greenwich, as this device has them at that moment. */
export function offsetAt(at: Date): number {
  return -at.getTimezoneOffset();
}

/** RFC 3339 with the offset of the place, never turned into Z. */
export function localTime(at: Date, offset: number = offsetAt(at)): string {
  const there = new Date(at.getTime() + offset * MINUTE).toISOString().slice(0, 19);
  const size = Math.abs(offset);
  return `${there}${offset < 0 ? "-" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** The calendar day, YYYY-MM-DD, at that offset. */
export function dayAt(at: Date, offset: number = offsetAt(at)): string {
  return localTime(at, offset).slice(0, 10);
}

/** The day so many days after. */
export function dayAfter(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);
}

/** How many days lie between two days. */
export function daysBetween(from: string, to: string): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / DAY);
}

/** Whether it is so early that the day before may be meant. */
export function isNight(at: Date, offset: number = offsetAt(at)): boolean {
  return Number(localTime(at, offset).slice(11, 13)) < NIGHT_ENDS_AT;
}

/** The months YYYY-MM up to and with that of the day, newest first. */
export function monthsBefore(day: string, count: number): string[] {
  const [year, month] = day.split("-").map(Number) as [number, number];
  return Array.from({ length: count }, (_, back) => {
    const months = year * 12 + (month - 1) - back;
    return `${Math.floor(months / 12)}-${two((months % 12) + 1)}`;
  });
}

/** The calendar quarters that are over on that day, newest first, as 2026-Q3. */
export function quartersBefore(day: string, count: number): string[] {
  const [year, month] = day.split("-").map(Number) as [number, number];
  const running = year * 4 + Math.floor((month - 1) / 3);
  return Array.from({ length: count }, (_, back) => {
    const quarter = running - 1 - back;
    return `${Math.floor(quarter / 4)}-Q${(quarter % 4) + 1}`;
  });
}
