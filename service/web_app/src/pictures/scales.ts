// From numbers to places in a picture. Pure.

export interface Band {
  low: number;
  high: number;
}

/** A run of neighbouring points: where something is missing a run ends, and nothing is drawn across. */
export function runs<T>(points: readonly T[], isThere: (point: T) => boolean): { from: number; points: T[] }[] {
  const found: { from: number; points: T[] }[] = [];
  let open: { from: number; points: T[] } | undefined;
  points.forEach((point, place) => {
    if (!isThere(point)) open = undefined;
    else if (open) open.points.push(point);
    else found.push((open = { from: place, points: [point] }));
  });
  return found;
}

function at(x: number, y: number): string {
  return `${round(x)} ${round(y)}`;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** The path of a line through all points that have a value, broken where they have none. */
export function linePath(values: readonly (number | null | undefined)[], x: (place: number) => number, y: (value: number) => number): string {
  return runs(values, (value) => value != null)
    .map((run) => run.points.map((value, i) => `${i ? "L" : "M"}${at(x(run.from + i), y(value as number))}`).join(""))
    .join("");
}

/** The area between low and high, broken likewise; a point that stands alone is as wide as half a step. */
export function bandPath(bands: readonly (Band | null)[], x: (place: number) => number, y: (value: number) => number): string {
  const half = bands.length > 1 ? Math.abs(x(1) - x(0)) / 4 : 3;
  return runs(bands, (band) => band !== null)
    .map((run) => {
      const places = run.points.length === 1 ? [x(run.from) - half, x(run.from) + half] : run.points.map((_, i) => x(run.from + i));
      const points = (run.points.length === 1 ? [run.points[0], run.points[0]] : run.points) as Band[];
      const there = places.map((place, i) => at(place, y(points[i]!.high)));
      const back = places.map((place, i) => at(place, y(points[i]!.low))).reverse();
      return `M${[...there, ...back].join("L")}Z`;
    })
    .join("");
}

/** Points of a line that stand between two gaps: a line of one point is no line, and is drawn as a dot. */
export function lonely(values: readonly (number | null | undefined)[]): number[] {
  return runs(values, (value) => value != null)
    .filter((run) => run.points.length === 1)
    .map((run) => run.from);
}

/** Whole numbers from 1 up that fit a scale: the marks of an axis of counts, few enough to read. */
export function niceMost(value: number): number {
  const steps = [1, 2, 3, 4, 5, 6, 8];
  for (let power = 1; ; power *= 10) for (const step of steps) if (step * power >= value) return step * power;
}

/** The first days of months within two days, thinned out to at most so many. */
export function monthMarks(from: string, to: string, most: number): string[] {
  const [year, month] = from.split("-").map(Number) as [number, number];
  const marks: string[] = [];
  for (let i = from.endsWith("-01") ? 0 : 1; ; i += 1) {
    const months = year * 12 + month - 1 + i;
    const mark = `${Math.floor(months / 12)}-${String((months % 12) + 1).padStart(2, "0")}-01`;
    if (mark > to) break;
    marks.push(mark);
  }
  const every = Math.ceil(marks.length / most);
  return marks.filter((_, i) => i % Math.max(every, 1) === 0);
}
