// A year at a glance: thirteen times 28 days, me above the line, the partner below it; a gap stays a gap.
import type { Cell } from "../api_types";
import { dayAfter } from "../time";
import { dayText, t } from "../texts/texts";
import { partnerName } from "../ui";
import { AsTable } from "./as_table";
import { niceMost } from "./scales";

const STEP = 24;
const HALF = 26;
// A single occasion is no full column.
const LEAST = 5;

export type Line = Cell["line"];

/** What all of it adds up to, and how tall the tallest column may be: no picture without its numbers. */
export function sumText(line: Line, most: number, counted?: boolean): string {
  const told = line.filter((place) => place != null) as number[][];
  if (told.length === 0) return t.no_data;
  const [above, below] = [0, 1].map((side) => told.reduce((sum, place) => sum + place[side]!, 0)) as [number, number];
  const sums = counted ? t.sum_counted(above, below) : t.sum_who(above, partnerName(), below);
  return `${sums} · ${t.full_column(most)}`;
}

/** The largest number in any of the lines: tellings beside each other are drawn to one measure. */
export function mostOf(...lines: (Line | undefined)[]): number {
  const all = lines.flatMap((line) => line ?? []).flatMap((place) => place ?? []);
  return niceMost(Math.max(LEAST, ...(all as number[])));
}

/** The first day of the 28 at that place. */
function firstDay(line: Line, on: string, place: number): string {
  return dayAfter(on, -28 * (line.length - place) + 1);
}

interface Told {
  line: Line;
  on: string;
  counted?: boolean;
  label: string;
}

export function ThirteenTable({ line, on, counted, label }: Told) {
  const head = counted ? [t.column.counted, t.column.rest] : [t.column.me, t.who("partner", partnerName())];
  return (
    <AsTable of={label} head={[t.column.days_from, ...head]} rows={() => line.map((told, place) => (
      <tr key={place}>
        <th scope="row">{dayText(firstDay(line, on, place))}</th>
        {told ? (told as number[]).map((count, side) => <td key={side}>{count}</td>) : <td colSpan={2}>{t.no_data}</td>}
      </tr>
    ))} />
  );
}

export function Thirteen({ line, most, on, counted, label }: Told & { most: number }) {
  const words = (place: number) => {
    const told = line[place] as number[] | null | undefined;
    const from = dayText(firstDay(line, on, place), { day: "numeric", month: "short" });
    if (!told) return `${from}: ${t.no_data}`;
    return counted ? t.thirteen_counted(from, told[0]!, told[1]!) : t.thirteen_cell(from, told[0]!, told[1]!);
  };
  const width = STEP * line.length;
  return (
    <svg class="thirteen" viewBox={`0 0 ${width} ${2 * HALF + 2}`} role="img" aria-label={`${label}. ${line.map((_, i) => words(i)).join("; ")}`}>
      {line.map((told, place) => {
        const x = place * STEP + 5;
        if (!told) return <text key={place} class="gap" x={x + 7} y={HALF + 1} text-anchor="middle" dominant-baseline="middle">·</text>;
        const [above, below] = (told as number[]).map((count) => (count / most) * (HALF - 2)) as [number, number];
        return (
          <g key={place}>
            <title>{words(place)}</title>
            <rect class={counted ? "input" : "me"} x={x} y={HALF - above} width="14" height={above} rx="1.5" />
            <rect class={counted ? "rest" : "partner"} x={x} y={HALF + 2} width="14" height={below} rx="1.5" />
            <line class="axis" x1={x - 2} x2={x + 16} y1={HALF + 1} y2={HALF + 1} />
          </g>
        );
      })}
    </svg>
  );
}
