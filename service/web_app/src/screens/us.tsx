// Between the two: asking, answering, opening, deciding.
import { useState } from "preact/hooks";
import type { Bodies, Decision, Domain, Event, NextStep, OpeningStanding, RequestStanding, Who } from "../api_types";
import { DOMAINS } from "../api_types";
import { record } from "../queue";
import { go, goBack, query, relationship } from "../state";
import { t, timeText } from "../texts/texts";
import { localTime } from "../time";
import { Awaited, Button, Card, Check, Choice, Form, Menu, Screen, Words, isLinked, options, partnerName, tellOutcome, useAnswer } from "../ui";
import { Linking } from "./begin";
import { CheckInForm } from "./check_in";

const now = () => localTime(new Date());

export async function takeBack(event: Event): Promise<boolean> {
  return tellOutcome(await record("retraction", { occurred_at: now(), event_id: event.id }), t.taken_back);
}

export function Us({ step, done }: { step: NextStep["next"] | undefined; done: () => unknown }) {
  const rid = relationship.value!.id;
  const home = useAnswer(`home ${rid}`, (client) => client.GET("/v1/relationships/{rid}/home", { params: { path: { rid } } }));
  return (
    <Screen title={t.nav.us}>
      <Linking step={step} done={done} />
      {isLinked() && (
        <div class="actions">
          <Button act={() => go("/ask")}>{t.ask}</Button>
          <Button act={() => go("/open")}>{t.open_decision}</Button>
          <Button act={() => go("/decide")}>{t.tell_decision}</Button>
        </div>
      )}
      {!isLinked() && <div class="actions"><Button act={() => go("/decide")}>{t.tell_decision}</Button></div>}
      {isLinked() && <Awaited of={home}>
        {(data) => (
          <>
            <List title={t.asked_of_me} all={data.asked_of_me} show={(one) => <AskedOfMe key={one.event.id} standing={one} />} />
            <List title={t.to_decide} all={data.openings} show={(one) => <Opened key={one.event.id} standing={one} />} />
            <List title={t.asked_by_me} all={data.asked_by_me} show={(one) => <AskedByMe key={one.event.id} standing={one} />} />
          </>
        )}
      </Awaited>}
    </Screen>
  );
}

function List<T>({ title, all, show }: { title: string; all: readonly T[]; show: (one: T) => preact.JSX.Element }) {
  return (
    <Card title={title}>
      {all.length === 0 ? <p class="quiet">{t.nothing_here}</p> : <ul class="entries">{all.map((one) => <li>{show(one)}</li>)}</ul>}
    </Card>
  );
}

function Asked({ event }: { event: Event }) {
  return (
    <>
      <p class="text">{event.request?.text || t.domain[event.request!.domain]}</p>
      <p class="quiet">
        {t.domain[event.request!.domain]} · {t.open_until(timeText(event.request!.expires_at!))}
        {event.request?.in_reply_to && <> · {t.in_reply}</>}
      </p>
    </>
  );
}

type Outcome = "yes" | "not_now" | "no";

function AskedOfMe({ standing }: { standing: RequestStanding }) {
  const [outcome, setOutcome] = useState<Outcome>();
  const [told, setTold] = useState(false);
  const name = partnerName();
  const choose = (one: Outcome | undefined) => {
    setOutcome(one);
    setTold(one === "yes");
  };
  const answer = async () => {
    const decision: Decision = { occurred_at: now(), request_id: standing.event.id, outcome: outcome!, audience: told ? "shared" : "private" };
    tellOutcome(await record("decision", decision));
  };
  return (
    <>
      <Asked event={standing.event} />
      <Choice legend={t.my_answer} none options={options(["yes", "not_now", "no"] as const, (one) => t[one])} value={outcome} choose={choose} />
      {outcome && (
        <>
          <Choice
            legend={t.audience}
            options={[{ value: "quiet", text: t.answer_quiet }, { value: "told", text: t.answer_shared(name) }]}
            value={told ? "told" : "quiet"}
            choose={(one) => setTold(one === "told")}
          />
          <p class="sees">{told ? t.told_means(name) : t.quiet_means(name)}</p>
          <Button kind="main" act={answer}>{t.record}</Button>
        </>
      )}
      <Button kind="plain" act={() => go(`/ask?instead=${standing.event.id}`)}>{t.counter}</Button>
    </>
  );
}

function AskedByMe({ standing }: { standing: RequestStanding }) {
  return (
    <>
      <Asked event={standing.event} />
      <Button kind="plain" act={() => takeBack(standing.event)}>{t.take_back}</Button>
    </>
  );
}

function Opened({ standing }: { standing: OpeningStanding }) {
  const { event, spoken } = standing;
  const [speaks, speak] = useState(false);
  return (
    <>
      <p class="text">{event.opening?.text || t.domain[event.opening!.domain]}</p>
      <p class="quiet">
        {t.domain[event.opening!.domain]}
        {event.opening?.size && <> · {t[event.opening.size]}</>} · {t.spoken(spoken.me, spoken.partner, partnerName())}
      </p>
      {speaks ? (
        <>
          <p class="quiet">{t.view_means}</p>
          <CheckInForm short asked={["my_view", "their_sense"]} about={event.id} audience="sealed" done={() => speak(false)} />
          <Button kind="plain" act={() => speak(false)}>{t.cancel}</Button>
        </>
      ) : (
        <Button act={() => speak(true)}>{t.say_view}</Button>
      )}
      <Button kind="plain" act={() => go(`/decide?opening=${event.id}&domain=${event.opening!.domain}&size=${event.opening?.size ?? ""}`)}>{t.decide}</Button>
      {event.by === "me" && <Button kind="plain" act={() => takeBack(event)}>{t.withdraw_opening}</Button>}
    </>
  );
}

function DomainMenu({ value, choose }: { value: Domain; choose: (value: Domain) => void }) {
  return <Menu label={t.about_domain} options={options(DOMAINS, (one) => t.domain[one])} value={value} choose={choose} />;
}

type Size = "small" | "big";

function SizeChoice({ value, choose }: { value: Size | undefined; choose: (value: Size | undefined) => void }) {
  return <Choice none legend={t.size} options={options(["small", "big"] as const, (one) => t[one])} value={value} choose={choose} />;
}

/** Record, say so, and go back to where one came from. */
async function recordAndReturn<K extends keyof Bodies>(kind: K, body: Bodies[K]): Promise<void> {
  const outcome = await record(kind, body);
  if (outcome.state === "recorded" || outcome.state === "waiting") goBack("/us");
  tellOutcome(outcome);
}

export function Ask() {
  const [text, setText] = useState("");
  const [domain, setDomain] = useState<Domain>("time");
  const instead = query.value.get("instead");
  const send = () => recordAndReturn("request", { occurred_at: now(), domain, ...(text.trim() && { text: text.trim() }), ...(instead && { in_reply_to: instead }) });
  return (
    <Screen title={instead ? t.counter : t.ask_title(partnerName())} back="/us">
      <Card label={t.ask}>
        {isLinked() ? (
          <Form send={send}>
            <Words label={t.ask_text} value={text} change={setText} />
            <DomainMenu value={domain} choose={setDomain} />
            <p class="sees">{t.ask_sees(partnerName())}</p>
            <Button kind="main" act={send}>{t.record}</Button>
          </Form>
        ) : (
          <p>{t.ask_alone}</p>
        )}
      </Card>
    </Screen>
  );
}

export function Open() {
  const [text, setText] = useState("");
  const [domain, setDomain] = useState<Domain>("plans");
  const [size, setSize] = useState<Size>();
  const send = () => recordAndReturn("opening", { occurred_at: now(), domain, ...(text.trim() && { text: text.trim() }), ...(size && { size }) });
  return (
    <Screen title={t.open_decision} back="/us">
      <Card label={t.open_decision}>
        <Form send={send}>
          <Words label={t.opening_text} value={text} change={setText} />
          <DomainMenu value={domain} choose={setDomain} />
          <SizeChoice value={size} choose={setSize} />
          <p class="sees">{t.opening_means(partnerName())}</p>
          <Button kind="main" act={send}>{t.record}</Button>
        </Form>
      </Card>
    </Screen>
  );
}

/** A decision for both: told first, closing an opening, or as my telling of what the other has recorded. */
export function Decide() {
  const about = query.value.get("about");
  const opening = query.value.get("opening");
  const [text, setText] = useState("");
  const [domain, setDomain] = useState<Domain>((query.value.get("domain") as Domain) || "home");
  const [size, setSize] = useState<Size | undefined>((query.value.get("size") as Size) || undefined);
  const [decidedBy, setDecidedBy] = useState<Who>();
  const [raisedBy, setRaisedBy] = useState<Who>();
  const [input, setInput] = useState<NonNullable<Decision["my_input"]>>();
  const [agreed, setAgreed] = useState(false);
  // Only a shared decision closes an opening, and only what is shared stands beside the other's.
  const [shared, setShared] = useState(Boolean(opening || about));
  const name = partnerName();
  const whos = options(["me", "partner", "both", "neither"] as const, (one) => t.who(one, name));
  const send = () =>
    recordAndReturn("decision", {
      occurred_at: now(), domain, decided_by: decidedBy!, audience: shared ? "shared" : "private",
      ...(text.trim() && { text: text.trim() }), ...(size && { size }), ...(raisedBy && { raised_by: raisedBy }),
      ...(input && decidedBy !== "me" && { my_input: input }), ...(agreed && { as_agreed: true }),
      ...(opening && { opening_id: opening }), ...(about && { about }),
    });
  return (
    <Screen title={about ? t.tell_mine : opening ? t.decide : t.tell_decision} back={about ? "/log" : "/us"}>
      <Card label={t.tell_decision}>
        <Form send={send}>
          {about && <p>{t.tell_mine_text(name)}</p>}
          <Choice legend={t.decided_by} options={whos} value={decidedBy} choose={setDecidedBy} />
          <Choice none legend={t.raised_by} options={whos} value={raisedBy} choose={setRaisedBy} />
          {decidedBy && decidedBy !== "me" && (
            <Choice none legend={t.my_input} options={options(["not_asked", "asked", "partly", "counted"] as const, (one) => t.input[one])} value={input} choose={setInput} />
          )}
          <Words label={t.decision_text} value={text} change={setText} />
          <DomainMenu value={domain} choose={setDomain} />
          <SizeChoice value={size} choose={setSize} />
          <Check label={t.as_agreed} on={agreed} turn={setAgreed} />
          {isLinked() && (
            <Choice legend={t.audience} options={options(["private", "shared"] as const, (one) => t[one])} value={shared ? "shared" : "private"} choose={(one) => setShared(one === "shared")} />
          )}
          <p class="sees">{!isLinked() ? t.alone_means : shared ? t.shared_means(name) : t.private_means(name)}</p>
          <Button kind="main" act={send} disabled={!decidedBy}>{t.record}</Button>
        </Form>
      </Card>
    </Screen>
  );
}
