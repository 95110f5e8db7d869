// A check-in: one tap for how it felt, one to record it; everything else is there for who wants it.
import { useState } from "preact/hooks";
import type { CheckIn, Concern, Domain, FeltItem, QuestionId, Who } from "../api_types";
import { CONCERNS, DOMAINS, FELT_ITEMS, WHO } from "../api_types";
import { record } from "../queue";
import { notice } from "../state";
import { t } from "../texts/texts";
import { dayAfter, dayAt, isNight, localTime } from "../time";
import { Button, Choice, Form, Link, Menu, Seven, Several, Words, isLinked, options, partnerName, tellOutcome } from "../ui";

export type Audience = "private" | "shared" | "sealed";

/** Who sees it, and in plain words what they will see. */
export function AudienceChoice({ value, choose, sealed = true }: { value: Audience; choose: (value: Audience) => void; sealed?: boolean }) {
  if (!isLinked()) return <p class="sees">{t.alone_means}</p>;
  const name = partnerName();
  const all: readonly Audience[] = sealed ? ["private", "sealed", "shared"] : ["private", "shared"];
  const means = { private: t.private_means, shared: t.shared_means, sealed: t.sealed_means }[value](name);
  return (
    <>
      <Choice legend={t.audience} options={options(all, (one) => t[one])} value={value} choose={(one) => one && choose(one)} />
      <p class="sees" aria-live="polite">{means}</p>
    </>
  );
}

type Form_ = {
  felt: Partial<Record<FeltItem, number>>;
  words: Partial<Record<QuestionId, string>>;
  note: string;
  domain?: Domain | undefined;
  initiated_by?: Who | undefined;
  decided_by?: Who | undefined;
  concerns: Concern[];
  audience: Audience;
  sealedFor: "day" | "week";
  yesterday: boolean;
};

const EMPTY: Form_ = { felt: {}, words: {}, note: "", concerns: [], audience: "private", sealedFor: "day", yesterday: false };

/** The entry of what was filled in, or null if there is nothing in it. */
function entryOf(form: Form_, at: Date, about?: string | null, promptId?: string): CheckIn | null {
  const words = Object.fromEntries(Object.entries(form.words).filter(([, text]) => text?.trim()));
  const isPrivate = form.audience === "private";
  const entry: CheckIn = {
    occurred_at: localTime(at),
    ...(form.yesterday && { day: dayAfter(dayAt(at), -1) }),
    ...(about && { about }),
    ...(promptId && { prompt_id: promptId }),
    ...(Object.keys(form.felt).length > 0 && { felt: form.felt as Record<string, number> }),
    ...(Object.keys(words).length > 0 && { words: words as Record<string, string> }),
    ...(form.note.trim() && { note: form.note.trim() }),
    ...(form.domain && { domain: form.domain }),
    ...(form.initiated_by && { initiated_by: form.initiated_by }),
    ...(form.decided_by && { decided_by: form.decided_by }),
    ...(isPrivate && form.concerns.length > 0 && { concerns: form.concerns }),
    audience: form.audience,
    ...(form.audience === "sealed" && !about && { sealed_for: form.sealedFor }),
  };
  const says = entry.felt || entry.words || entry.note || entry.initiated_by || entry.decided_by || entry.concerns;
  return says ? entry : null;
}

export interface CheckInProps {
  /** What is asked first; a prompt and a view on an opening bring their own. */
  asked?: readonly QuestionId[];
  about?: string | null;
  promptId?: string;
  audience?: Audience;
  done?: () => void;
  short?: boolean;
}

function isFelt(question: QuestionId): question is FeltItem {
  return (FELT_ITEMS as readonly string[]).includes(question);
}

export function CheckInForm({ asked = ["close"], about, promptId, audience = "private", done, short }: CheckInProps) {
  const [form, set] = useState<Form_>({ ...EMPTY, audience: isLinked() ? audience : "private" });
  const [items, setItems] = useState<QuestionId[]>([...asked]);
  const change = (part: Partial<Form_>) => set((old) => ({ ...old, ...part }));
  const isBegun = Object.keys(form.felt).length > 0 || items.some((one) => !isFelt(one));
  const now = new Date();

  const save = async () => {
    const entry = entryOf(form, new Date(), about, promptId);
    if (!entry) {
      notice.value = { text: t.needs_something, tone: "told" };
      return;
    }
    const outcome = await record("check_in", entry);
    if (!tellOutcome(outcome)) return;
    set({ ...EMPTY, audience: form.audience });
    setItems([...asked]);
    done?.();
  };

  return (
    <Form send={save}>
      {items.map((one) =>
        isFelt(one) ? (
          <Seven key={one} item={one} value={form.felt[one]} choose={(value) => change({ felt: { ...form.felt, [one]: value } })} />
        ) : (
          <Words key={one} label={t.question[one]} value={form.words[one] ?? ""} change={(text) => change({ words: { ...form.words, [one]: text } })} />
        ),
      )}
      {isBegun && (
        <>
          {!short && (
            <>
              <Words label={t.a_note} value={form.note} change={(note) => change({ note })} />
              <Detail form={form} change={change} items={items} add={(one) => setItems([...items, one])} />
              {isNight(now) && (
                <Choice
                  legend={t.for_day}
                  options={options(["today", "yesterday"] as const, (one) => t[one])}
                  value={form.yesterday ? "yesterday" : "today"}
                  choose={(one) => change({ yesterday: one === "yesterday" })}
                />
              )}
            </>
          )}
          <AudienceChoice value={form.audience} choose={(chosen) => change({ audience: chosen })} />
          {form.audience === "sealed" && !about && (
            <Choice
              legend={t.sealed_for}
              options={[{ value: "day", text: t.sealed_day }, { value: "week", text: t.sealed_week }]}
              value={form.sealedFor}
              choose={(one) => change({ sealedFor: one ?? "day" })}
            />
          )}
          <Button kind="main" act={save}>{t.record}</Button>
        </>
      )}
    </Form>
  );
}

type DetailProps = { form: Form_; change: (part: Partial<Form_>) => void; items: readonly QuestionId[]; add: (item: FeltItem) => void };

/** All that need not be said, folded away: so that the button to record is in sight on a phone. */
function Detail({ form, change, items, add }: DetailProps) {
  const whoOptions = options(WHO, (one) => t.who(one, partnerName()));
  const none = "" as const;
  return (
    <>
      <details>
        <summary>{t.more_detail}</summary>
        <Choice
          legend={t.more_feelings}
          options={options(FELT_ITEMS.filter((one) => !items.includes(one)), (one) => t.felt[one])}
          value={undefined}
          choose={(one) => one && add(one)}
        />
        <Menu
          label={t.about_domain}
          options={[{ value: none, text: "–" }, ...options(DOMAINS, (one) => t.domain[one])]}
          value={form.domain ?? none}
          choose={(one) => change({ domain: (one || undefined) as Domain | undefined })}
        />
        <Choice none legend={t.who_initiated} options={whoOptions} value={form.initiated_by} choose={(one) => change({ initiated_by: one })} />
        <Choice none legend={t.who_decided} options={whoOptions} value={form.decided_by} choose={(one) => change({ decided_by: one })} />
      </details>
      {form.audience === "private" && (
        <details>
          <summary>{t.weighs}</summary>
          <p class="quiet">{t.weighs_text}</p>
          <Several legend={t.weighs} options={options(CONCERNS, (one) => t.concern[one])} chosen={form.concerns} choose={(concerns) => change({ concerns })} />
          <Link to="/help">{t.weighs_help}</Link>
        </details>
      )}
    </>
  );
}

