// The few pieces that all screens are made of.
import type { ComponentChildren, TargetedMouseEvent } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import { type Answered, type Api, api, keptAt, memory, problemOf } from "./api";
import type { FeltItem, Problem } from "./api_types";
import { type Outcome } from "./queue";
import { goBack, go, news, notice, relationship, shownAsOf } from "./state";
import { openRefusals, refusalText } from "./texts/refusals";
import { language, t } from "./texts/texts";

export function partnerName(): string {
  return relationship.value?.partner?.name || t.your_partner;
}

export function isLinked(): boolean {
  return relationship.value?.state === "active";
}

// --- Answers of the service

interface Asked<T> {
  key: string;
  data?: T;
  problem?: Problem;
}

/** What the service says, as it was kept until it says how it is now; asked again whenever there is news. */
export function useAnswer<T>(key: string, ask: (client: Api) => Promise<Answered<T>>): { data?: T; problem?: Problem } {
  const [asked, set] = useState<Asked<T>>({ key });
  const again = news.value;
  useEffect(() => {
    let current = true;
    let answered = false;
    const show = (answer: Answered<T>, isKept: boolean) => {
      if (!current || (isKept && answered)) return;
      answered ||= !isKept;
      if (answer.data !== undefined) {
        set({ key, data: answer.data });
        if (!isKept) shownAsOf.value = keptAt(answer);
      } else if (!isKept) set((old) => (old.key === key && old.data ? old : { key, problem: problemOf(answer) }));
    };
    void ask(memory).then((answer) => show(answer, true));
    void ask(api).then((answer) => show(answer, false));
    return () => {
      current = false;
    };
  }, [key, again]);
  return asked.key === key ? asked : {};
}

/** What waits for an answer: the answer, or why there is none. */
export function Awaited<T>({ of, children }: { of: { data?: T; problem?: Problem }; children: (data: T) => ComponentChildren }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.problem) return <p class="quiet"><Refusal problem={of.problem} /></p>;
  return <p class="quiet">{t.loading}</p>;
}

/** Why something was refused; its words are loaded when the first one is shown. */
export function Refusal({ problem }: { problem: Problem }) {
  useEffect(() => void openRefusals(), [language.value]);
  return <>{refusalText(problem)}</>;
}

/** Do a call of the service and say what came of it. */
export async function attempt<T>(call: Promise<Answered<T>>, done?: string): Promise<T | true | null> {
  const answer = await call;
  if (answer.response.ok) {
    if (done) notice.value = { text: done, tone: "good" };
    return answer.data ?? true;
  }
  notice.value = { problem: problemOf(answer), tone: "told" };
  return null;
}

/** Say what became of something that was recorded. */
export function tellOutcome(outcome: Outcome, done: string = t.recorded): boolean {
  if (outcome.state === "recorded") notice.value = { text: done, tone: "good" };
  else if (outcome.state === "waiting") notice.value = { text: t.kept_waiting, tone: "good" };
  else notice.value = { problem: outcome.problem, tone: "told" };
  return outcome.state === "recorded" || outcome.state === "waiting";
}

// --- Pieces

export function Screen({ title, back, children, wide }: { title: string; back?: string; children: ComponentChildren; wide?: boolean }) {
  return (
    <main id="content" class={wide ? "wide" : ""} tabIndex={-1}>
      {back !== undefined && (
        <button type="button" class="plain back" onClick={() => goBack(back)}>
          ‹ {t.back}
        </button>
      )}
      <h1>{title}</h1>
      {children}
    </main>
  );
}

export function Card({ title, children, label }: { title?: string | undefined; children: ComponentChildren; label?: string }) {
  return (
    <section class="card" aria-label={label ?? title}>
      {title && <h2>{title}</h2>}
      {children}
    </section>
  );
}

type ButtonProps = {
  children: ComponentChildren;
  act: () => unknown;
  kind?: "main" | "soft" | "plain" | "grave";
  disabled?: boolean;
  label?: string | undefined;
};

/** A button that waits for what it does, so that two taps do it once. */
export function Button({ children, act, kind = "soft", disabled, label }: ButtonProps) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    if (busy) return;
    setBusy(true);
    try {
      await act();
    } finally {
      setBusy(false);
    }
  };
  return (
    <button type="button" class={kind} disabled={disabled ?? false} aria-busy={busy} aria-label={label} onClick={() => void press()}>
      {children}
    </button>
  );
}

export function Link({ to, children, kind = "row" }: { to: string; children: ComponentChildren; kind?: string }) {
  const follow = (event: TargetedMouseEvent<HTMLAnchorElement>) => {
    event.preventDefault();
    go(to);
  };
  return (
    <a class={kind} href={`#${to}`} onClick={follow}>
      {children}
    </a>
  );
}

export interface Option<T extends string> {
  value: T;
  text: string;
}

/** One of a few: radio buttons that look like chips. With `none`, a second tap takes the choice back. */
export function Choice<T extends string>(props: {
  legend: string;
  options: readonly Option<T>[];
  value: T | undefined;
  choose: (value: T | undefined) => void;
  none?: boolean;
}) {
  const name = useId();
  const { legend, options, value, choose, none } = props;
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      <div class="chips">
        {options.map((one) => (
          <label key={one.value}>
            <input
              type="radio"
              name={name}
              checked={one.value === value}
              onChange={() => choose(one.value)}
              onClick={() => none && one.value === value && choose(undefined)}
            />
            <span>{one.text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** Some of a few. */
export function Several<T extends string>(props: { legend: string; options: readonly Option<T>[]; chosen: readonly T[]; choose: (all: T[]) => void }) {
  const { legend, options, chosen, choose } = props;
  const turn = (value: T) => choose(chosen.includes(value) ? chosen.filter((one) => one !== value) : [...chosen, value]);
  return (
    <fieldset class="choice">
      <legend>{legend}</legend>
      <div class="chips">
        {options.map((one) => (
          <label key={one.value}>
            <input type="checkbox" checked={chosen.includes(one.value)} onChange={() => turn(one.value)} />
            <span>{one.text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** A menu where chips would be too many. */
export function Menu<T extends string>(props: { label: string; options: readonly Option<T>[]; value: T; choose: (value: T) => void }) {
  const { label, options, value, choose } = props;
  return (
    <label class="field">
      <span>{label}</span>
      <select value={value} onChange={(event) => choose(event.currentTarget.value as T)}>
        {options.map((one) => (
          <option key={one.value} value={one.value} selected={one.value === value}>
            {one.text}
          </option>
        ))}
      </select>
    </label>
  );
}

export function Check({ label, on, turn }: { label: string; on: boolean; turn: (on: boolean) => void }) {
  return (
    <label class="check">
      <input type="checkbox" checked={on} onChange={(event) => turn(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** Seven large targets for how something felt. */
export function Seven({ item, question, value, choose }: { item: FeltItem; question?: string; value: number | undefined; choose: (value: number) => void }) {
  const name = useId();
  return (
    <fieldset class="seven" data-item={item}>
      <legend>{question ?? t.question[item]}</legend>
      <div class="steps">
        {[1, 2, 3, 4, 5, 6, 7].map((step) => (
          <label key={step}>
            <input type="radio" name={name} value={step} checked={step === value} aria-label={t.of_seven(step)} onChange={() => choose(step)} />
            <span aria-hidden="true">{step}</span>
          </label>
        ))}
      </div>
      <div class="ends" aria-hidden="true">
        <span>1 {t.least}</span>
        <span>{t.most} 7</span>
      </div>
    </fieldset>
  );
}

type FieldProps = {
  label: string;
  value: string;
  change: (value: string) => void;
  type?: "text" | "email" | "date" | "time" | "password" | "number";
  hint?: string | undefined;
  mode?: "numeric" | "text";
  complete?: string;
  most?: number;
};

export function Field({ label, value, change, type = "text", hint, mode, complete = "off", most }: FieldProps) {
  const hintId = useId();
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type={type as "text"}
        value={value}
        inputMode={mode}
        autocomplete={complete as never}
        maxLength={most}
        aria-describedby={hint ? hintId : undefined}
        onInput={(event) => change(event.currentTarget.value)}
      />
      {hint && <small id={hintId}>{hint}</small>}
    </label>
  );
}

export function Words({ label, value, change }: { label: string; value: string; change: (value: string) => void }) {
  return (
    <label class="field">
      <span>{label}</span>
      <textarea rows={2} maxLength={2000} value={value} onInput={(event) => change(event.currentTarget.value)} />
    </label>
  );
}

/** A form whose first button the Enter key presses; nothing is ever sent by the browser itself. */
export function Form({ send, children }: { send: () => unknown; children: ComponentChildren }) {
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {children}
      <button type="submit" hidden tabIndex={-1} aria-hidden="true" />
    </form>
  );
}

/** What is grave asks once more, in its own place and in its own words. */
export function Twice({ text, explain, sure, act }: { text: string; explain: string; sure: string; act: () => unknown }) {
  const [asked, ask] = useState(false);
  if (!asked) return <Button kind="soft" act={() => ask(true)}>{text}</Button>;
  return (
    <div class="twice">
      <p>{explain}</p>
      <Button kind="grave" act={act}>{sure}</Button>
      <Button kind="plain" act={() => ask(false)}>{t.cancel}</Button>
    </div>
  );
}

export function options<T extends string>(values: readonly T[], text: (value: T) => string): Option<T>[] {
  return values.map((value) => ({ value, text: text(value) }));
}
