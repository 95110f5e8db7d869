// A figure over months: the share inside its interval, the wide band around it, n below, gaps left open.
import { useId, useState } from "preact/hooks";
import type { Pause, Point } from "../api_types";
import { dayText, decimal, percent, t } from "../texts/texts";
import { dayAfter, daysBetween } from "../time";
import { partnerName } from "../ui";
import { AsTable } from "./as_table";
import { bandPath, linePath, lonely, monthMarks, niceMost } from "./scales";

const WIDTH = 360;
const LEFT = 30;
const RIGHT = 8;
const TOP = 18;
const BOTTOM = 152;
const N_TOP = 176;
const N_BOTTOM = 204;
const HEIGHT = 222;

export interface TrendOf {
  points: Point[];
  /** The largest n of both tellings, which are drawn to one measure. */
  mostN: number;
  isFelt: boolean;
  what: string;
  who: string;
  window: number;
  pauses: readonly Pause[];
  ends: [string, string];
}

function middleOf(point: Point, isFelt: boolean): number | null | undefined {
  return isFelt ? point.mean : point.share;
}

function band(low?: number | null, high?: number | null): { low: number; high: number } | null {
  return low == null || high == null ? null : { low, high };
}

export function number(value: number | null | undefined, isFelt: boolean): string {
  return value == null ? "–" : isFelt ? decimal(value) : percent(value);
}

/** A point in words: the same numbers for who does not see the picture. */
export function pointText(point: Point, isFelt: boolean): string {
  const parts = [t.window_ends(dayText(point.on)), t.n_is(point.n)];
  const middle = middleOf(point, isFelt);
  if (point.low != null && point.high != null) {
    const [low, high] = [number(point.low, isFelt), number(point.high, isFelt)];
    if (middle == null) parts.push(isFelt ? t.mean_between(low, high) : t.share_between(low, high));
    else parts.push(isFelt ? t.mean_is(number(middle, isFelt), low, high) : t.share_is(number(middle, isFelt), low, high));
  } else parts.push(point.n === 0 ? t.no_data : t.reading.too_few);
  if (point.paused) parts.push(t.paused_days(point.paused));
  return parts.join(" · ");
}

export function TrendPicture(of: TrendOf) {
  const { points, isFelt } = of;
  const last = points.length - 1;
  const [chosen, choose] = useState(last);
  const place = Math.min(chosen, last);
  const hatch = useId();
  if (last < 0 || of.mostN === 0) return <p class="quiet">{t.no_data}</p>;

  const from = points[0]!.on;
  const to = points[last]!.on;
  const days = Math.max(daysBetween(from, to), 1);
  const atDay = (day: string) => LEFT + (Math.min(Math.max(daysBetween(from, day), 0), days) / days) * (WIDTH - LEFT - RIGHT);
  const x = (i: number) => atDay(points[i]!.on);
  const y = (value: number) => {
    const part = isFelt ? (value - 1) / 6 : value;
    return BOTTOM - part * (BOTTOM - TOP);
  };
  const middles = points.map((point) => middleOf(point, isFelt));
  const bands = points.map((point) => band(point.low, point.high));
  const wides = points.map((point) => band(point.wide_low, point.wide_high));
  const most = niceMost(Math.max(of.mostN, 1));
  // Columns with air between them, or, where they are too many for that, none: their edges are sharp then, or seams show.
  const room = (WIDTH - LEFT - RIGHT) / points.length;
  const nWidth = room < 3 ? room * 1.05 : Math.min(room * 0.6, 10);
  const paused = of.pauses.filter((pause) => pause.from <= to && (pause.to ?? to) >= from);
  const point = points[place]!;

  return (
    <div class="trend">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={t.trend_label(of.what, of.who, points.length)}>
        <defs>
          <pattern id={hatch} width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <line class="hatch" x1="0" x2="0" y1="0" y2="5" />
          </pattern>
        </defs>
        {paused.map((pause) => {
          const [start, end] = [atDay(pause.from), atDay(pause.to ? dayAfter(pause.to, 1) : to)];
          return <rect key={pause.id} x={start} y={TOP} width={Math.max(end - start, 2)} height={N_BOTTOM - TOP} fill={`url(#${hatch})`} />;
        })}
        <line class="axis" x1={LEFT} x2={WIDTH - RIGHT} y1={TOP} y2={TOP} />
        <line class="axis" x1={LEFT} x2={WIDTH - RIGHT} y1={BOTTOM} y2={BOTTOM} />
        <text class="label faint" x={LEFT - 4} y={TOP + 4} text-anchor="end">{isFelt ? "7" : percent(1)}</text>
        <text class="label faint" x={LEFT - 4} y={BOTTOM + 1} text-anchor="end">{isFelt ? "1" : percent(0)}</text>
        <text class="label faint" x={LEFT} y={TOP - 6}>{of.ends[1]}</text>
        <text class="label faint" x={LEFT} y={BOTTOM + 13}>{of.ends[0]}</text>
        {monthMarks(from, to, 7).map((mark) => (
          <g key={mark}>
            <line class="tick" x1={atDay(mark)} x2={atDay(mark)} y1={N_BOTTOM} y2={N_BOTTOM + 4} />
            <text class="label faint" x={Math.min(atDay(mark), WIDTH - 14)} y={HEIGHT - 3} text-anchor="middle">{dayText(mark, { month: "short" })}</text>
          </g>
        ))}
        <path class="wide" d={bandPath(wides, x, y)} />
        <path class="band" d={bandPath(bands, x, y)} />
        <path class="line" d={linePath(middles, x, y)} />
        {lonely(middles).map((i) => <circle key={i} class="dot" cx={x(i)} cy={y(middles[i]!)} r="2.5" />)}
        <text class="label faint" x={LEFT - 4} y={N_TOP + 6} text-anchor="end">{most}</text>
        <text class="label faint" x={LEFT - 4} y={N_BOTTOM} text-anchor="end">n</text>
        <line class="axis" x1={LEFT} x2={WIDTH - RIGHT} y1={N_BOTTOM} y2={N_BOTTOM} />
        {points.map((one, i) => one.n > 0 && <rect key={one.on} class="n" shape-rendering={room < 3 ? "crispEdges" : undefined} x={x(i) - nWidth / 2} width={nWidth} y={N_BOTTOM - (one.n / most) * (N_BOTTOM - N_TOP)} height={(one.n / most) * (N_BOTTOM - N_TOP)} />)}
        <line class="cursor" x1={x(place)} x2={x(place)} y1={TOP} y2={N_BOTTOM} />
      </svg>
      <label class="step">
        <span class="hidden">{t.step_through}</span>
        <input type="range" min="0" max={last} value={place} aria-valuetext={pointText(point, isFelt)} onInput={(event) => choose(Number(event.currentTarget.value))} />
      </label>
      <p class="reading">{pointText(point, isFelt)}</p>
      <PointTable points={points} isFelt={isFelt} of={`${of.what}, ${of.who}`} />
    </div>
  );
}

function PointTable({ points, isFelt, of }: { points: readonly Point[]; isFelt: boolean; of: string }) {
  const hasWho = points.some((one) => one.occasions);
  const hasWide = points.some((one) => one.wide_low != null);
  const head = [
    t.column.on, t.column.n, ...(hasWho ? [t.column.me, t.who("partner", partnerName())] : []),
    isFelt ? t.column.mean : t.column.share, t.column.low, t.column.high, ...(hasWide ? [t.column.wide] : []),
  ];
  return (
    <AsTable of={of} head={head} rows={() => points.map((one) => (
      <tr key={one.on}>
        <th scope="row">{dayText(one.on)}</th>
        <td>{one.n}{one.paused ? ` (${t.paused}: ${one.paused})` : ""}</td>
        {hasWho && <><td>{one.occasions?.me ?? "–"}</td><td>{one.occasions?.partner ?? "–"}</td></>}
        <td>{number(middleOf(one, isFelt), isFelt)}</td>
        <td>{number(one.low, isFelt)}</td>
        <td>{number(one.high, isFelt)}</td>
        {hasWide && <td>{one.wide_low == null ? "–" : `${number(one.wide_low, isFelt)} – ${number(one.wide_high, isFelt)}`}</td>}
      </tr>
    ))} />
  );
}
