// One figure of one telling: counts as marks, and the share inside its interval on a line between the two.
import type { Answers, Felt, Split, Who, WhoCounts } from "../api_types";
import { WHO } from "../api_types";
import { decimal, percent, t } from "../texts/texts";
import { partnerName } from "../ui";

// In fives, as people count.
const MOST_MARKS = 60;
const TALLY_WIDTH = MOST_MARKS * 5 + (MOST_MARKS / 5) * 3;
const WIDTH = 320;
const SIDE = 8;

/** What a reading says, in words. */
export function readingText(reading: Split["reading"] | Answers["reading"] | undefined): string {
  if (reading === "leans_to_me") return t.leans(t.me_word);
  if (reading === "leans_to_partner") return t.leans(partnerName());
  return t.reading[reading ?? "nothing"];
}

export function shareText(one: { share?: number | null; low?: number | null; high?: number | null }): string {
  if (one.low == null || one.high == null) return "";
  const [low, high] = [percent(one.low), percent(one.high)];
  return one.share == null ? t.share_between(low, high) : t.share_is(percent(one.share), low, high);
}

/** Counts as marks, a mark an entry; where there are too many to see, a mark for several, and it says for how many. */
export function Marks({ count, who, label }: { count: number; who: string; label: string }) {
  const each = Math.ceil(count / MOST_MARKS) || 1;
  const marks = Math.ceil(count / each);
  return (
    <div class={`marks ${who}`}>
      <span>{label}</span>
      <span class="number">
        {each > 1 && <small>{t.mark_is(each)} </small>}
        {count}
      </span>
      {count > 0 && (
        <svg class="tally" viewBox={`0 0 ${TALLY_WIDTH} 12`} aria-hidden="true" preserveAspectRatio="xMinYMid meet">
          {Array.from({ length: marks }, (_, i) => (
            <rect key={i} x={i * 5 + Math.floor(i / 5) * 3} y="0" width="3" height="12" rx="1.5" />
          ))}
        </svg>
      )}
    </div>
  );
}

export function CountMarks({ counts, skip = [] }: { counts: WhoCounts; skip?: Who[] }) {
  return (
    <div class="counts">
      {WHO.filter((who) => !skip.includes(who)).map((who) => (
        <Marks key={who} count={counts[who]} who={who} label={t.who(who, partnerName())} />
      ))}
    </div>
  );
}

/** A line from one end to the other, the interval as a bar on it, the share as a mark inside. */
export function Scale(props: { low: number; high: number; middle?: number | null | undefined; ends: [string, string]; of?: [number, number]; label: string }) {
  const [from, to] = props.of ?? [0, 1];
  const x = (value: number) => SIDE + ((value - from) / (to - from)) * (WIDTH - 2 * SIDE);
  return (
    <div class="scale">
      <svg viewBox={`0 0 ${WIDTH} 22`} role="img" aria-label={props.label}>
        <line class="axis" x1={x(from)} x2={x(to)} y1="11" y2="11" />
        <line class="axis" x1={x(from)} x2={x(from)} y1="6" y2="16" />
        <line class="axis" x1={x(to)} x2={x(to)} y1="6" y2="16" />
        <rect class="interval" x={x(props.low)} y="5" width={Math.max(x(props.high) - x(props.low), 2)} height="12" rx="3" />
        {props.middle != null && <rect class="middle" x={x(props.middle) - 2} y="1" width="4" height="20" rx="2" />}
      </svg>
      <div class="ends" aria-hidden="true">
        <span>{props.ends[0]}</span>
        <span>{props.ends[1]}</span>
      </div>
    </div>
  );
}

/** A split: the counts, n, the share between partner (left) and me (right), and what may be read from it. */
export function SplitPicture({ split, acts }: { split: Split; acts?: boolean }) {
  const share = shareText(split);
  // Silence is missing data, not a row of zeros.
  if (WHO.every((who) => split.counts[who] === 0)) return <p class="reading quiet">{t.reading.nothing}</p>;
  return (
    <div class="split">
      <CountMarks counts={split.counts} skip={acts ? ["both", "neither"] : []} />
      {split.low != null && split.high != null && (
        <Scale low={split.low} high={split.high} middle={split.share} label={share} ends={[t.toward(partnerName()), t.toward(t.me_word)]} />
      )}
      <p class="reading">
        <strong>{t.n_occasions(split.n)}</strong>
        {share && <> · {share}</>}
        <br />
        {readingText(split.reading)}
      </p>
    </div>
  );
}

const INPUTS = ["not_asked", "asked", "partly", "counted"] as const;

export function AnswersPicture({ answers }: { answers: Answers }) {
  const share = shareText(answers);
  if (answers.n === 0) return <p class="reading quiet">{t.reading.nothing}</p>;
  return (
    <div class="split">
      <div class="counts">
        {INPUTS.map((one) => (
          <Marks key={one} count={answers[one]} who="input" label={t.input[one]} />
        ))}
      </div>
      {answers.low != null && answers.high != null && (
        <Scale low={answers.low} high={answers.high} middle={answers.share} label={`${t.counted_share}: ${share}`} ends={[percent(0), `${percent(1)} ${t.counted_share}`]} />
      )}
      <p class="reading">
        <strong>{t.n_answers(answers.n)}</strong>
        {share && <> · {t.counted_share}: {share}</>}
        {answers.reading !== "shown" && <><br />{answers.reading === "unclear" ? t.share_from_20 : t.reading.too_few}</>}
      </p>
    </div>
  );
}

export function feltText(felt: { mean?: number | null; low?: number | null; high?: number | null }): string {
  if (felt.low == null || felt.high == null) return "";
  const [low, high] = [decimal(felt.low), decimal(felt.high)];
  return felt.mean == null ? t.mean_between(low, high) : t.mean_is(decimal(felt.mean), low, high);
}

/** How often each of the seven was said, as columns, and the mean inside its interval below them. */
export function FeltPicture({ felt }: { felt: Felt }) {
  const said = feltText(felt);
  const most = Math.max(...felt.counts, 1);
  if (felt.n === 0) return <p class="reading quiet">{t.reading.nothing}</p>;
  const x = (step: number) => SIDE + (step / 6) * (WIDTH - 2 * SIDE);
  return (
    <div class="felt">
      <svg viewBox={`0 0 ${WIDTH} 62`} role="img" aria-label={felt.counts.map((count, i) => `${i + 1}: ${count}`).join(", ")}>
        {felt.counts.map((count, i) => (
          <g key={i}>
            {count > 0 && <rect class="column" x={Math.min(Math.max(x(i) - 9, 0), WIDTH - 18)} y={44 - (count / most) * 30} width="18" height={(count / most) * 30} rx="2" />}
            {count > 0 && <text class="label" x={Math.min(Math.max(x(i), 9), WIDTH - 9)} y={40 - (count / most) * 30} text-anchor="middle">{count}</text>}
            <text class="label faint" x={Math.min(Math.max(x(i), 9), WIDTH - 9)} y="59" text-anchor="middle">{i + 1}</text>
          </g>
        ))}
        <line class="axis" x1="0" x2={WIDTH} y1="44.5" y2="44.5" />
      </svg>
      {felt.low != null && felt.high != null && <Scale low={felt.low} high={felt.high} middle={felt.mean} of={[1, 7]} label={said} ends={[`1 ${t.least}`, `${t.most} 7`]} />}
      <p class="reading">
        <strong>{t.n_answers(felt.n)}</strong>
        {said && <> · {said}</>}
        {felt.n < 8 && <><br />{t.reading.too_few}</>}
      </p>
    </div>
  );
}
