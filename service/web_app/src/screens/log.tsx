// What was recorded, newest first: what both read, and what only I read.
import { useState } from "preact/hooks";
import type { Event, Who } from "../api_types";
import { record } from "../queue";
import { go, relationship } from "../state";
import { dayText, t, timeText } from "../texts/texts";
import { Awaited, Button, Card, Choice, Screen, Twice, isLinked, options, partnerName, tellOutcome, useAnswer } from "../ui";
import { takeBack } from "./us";

const PAGE = 30;

export function Log() {
  const [stream, setStream] = useState<"shared" | "private">(isLinked() ? "shared" : "private");
  return (
    <Screen title={t.nav.log}>
      <Choice
        legend={t.audience}
        options={options(["shared", "private"] as const, (one) => (one === "shared" ? t.log_shared : t.log_private))}
        value={stream}
        choose={(one) => one && setStream(one)}
      />
      <p class="sees">{stream === "private" ? t.log_sees_private : t.log_sees_shared(partnerName())}</p>
      <Stream key={stream} stream={stream} />
    </Screen>
  );
}

function Stream({ stream }: { stream: "shared" | "private" }) {
  const rid = relationship.value!.id;
  const head = useAnswer(`head ${rid} ${stream}`, (client) => client.GET("/v1/relationships/{rid}/events", { params: { path: { rid }, query: { stream, limit: 1 } } }));
  return <Awaited of={head}>{(page) => <Pages stream={stream} end={page.head.position} />}</Awaited>;
}

function Pages({ stream, end }: { stream: "shared" | "private"; end: number }) {
  const [pages, setPages] = useState(1);
  if (end === 0) return <p class="quiet">{t.nothing_here}</p>;
  const first = Math.max(0, end - pages * PAGE);
  return (
    <>
      {Array.from({ length: pages }, (_, i) => {
        const after = end - (i + 1) * PAGE;
        const limit = after < 0 ? PAGE + after : PAGE;
        return limit > 0 && <Page key={after} stream={stream} after={Math.max(after, 0)} limit={limit} />;
      })}
      {first > 0 && <Button act={() => setPages(pages + 1)}>{t.earlier}</Button>}
    </>
  );
}

function Page({ stream, after, limit }: { stream: "shared" | "private"; after: number; limit: number }) {
  const rid = relationship.value!.id;
  const page = useAnswer(`events ${rid} ${stream} ${after} ${limit}`, (client) =>
    client.GET("/v1/relationships/{rid}/events", { params: { path: { rid }, query: { stream, after, limit } } }),
  );
  return (
    <Awaited of={page}>
      {({ events }) => {
        const gone = new Set(events.map((one) => one.retraction?.event_id).filter(Boolean));
        const told = new Set(events.filter((one) => one.by === "me").map((one) => one.decision?.about).filter(Boolean));
        return <>{[...events].reverse().map((one) => <Entry key={one.id + one.position} event={one} isGone={gone.has(one.id)} isTold={told.has(one.id)} />)}</>;
      }}
    </Awaited>
  );
}

function titleOf(event: Event): string {
  if (event.kind === "opened") return t.opened;
  if (event.kind === "ended") return t.was_ended;
  if (event.kind === "erased") return t.erased;
  if (event.kind === "decision" && event.decision?.request_id) return t.answer;
  return t.kind[event.kind];
}

function Entry({ event, isGone, isTold }: { event: Event; isGone: boolean; isTold: boolean }) {
  const [isOpen, open] = useState(false);
  const isMine = event.by === "me";
  const canShare = isMine && event.stream === "private" && isLinked() && !isGone && (event.kind === "check_in" || (event.kind === "decision" && !event.decision?.request_id)) && !event.check_in?.concerns;
  const canTell = event.by === "partner" && event.kind === "decision" && event.decision?.decided_by && !event.decision.about && !isTold;
  const canTake = isMine && !isGone && event.kind !== "retraction" && event.kind !== "erased";
  return (
    <Card label={titleOf(event)}>
      {(canShare || canTake) && (
        <button type="button" class="plain more" aria-expanded={isOpen} aria-label={t.actions} onClick={() => open(!isOpen)}>⋯</button>
      )}
      <p class="head">
        <strong>{titleOf(event)}</strong>
        {event.by && <> · {isMine ? t.by_me : partnerName()}</>} · {event.day ? dayText(event.day) : timeText(event.recorded_at)}
        {event.late && <> · {t.late}</>}
        {isGone && <> · {t.state.retracted}</>}
      </p>
      <Content event={event} />
      {canTell && <Button act={() => go(`/decide?about=${event.id}&domain=${event.decision!.domain ?? "other"}&size=${event.decision!.size ?? ""}`)}>{t.tell_mine}</Button>}
      {isOpen && canShare && <Twice text={t.share_later} explain={t.share_later_means(partnerName())} sure={t.share_later} act={() => shareLater(event)} />}
      {isOpen && canTake && <Button kind="plain" act={() => takeBack(event)}>{t.take_back}</Button>}
    </Card>
  );
}

/** The same entry under the same id, for both: its counts move along. */
async function shareLater(event: Event): Promise<void> {
  if (event.check_in) {
    const { sealed_for: _, ...entry } = event.check_in;
    tellOutcome(await record("check_in", { ...entry, audience: "shared" }, event.id));
  } else if (event.decision) tellOutcome(await record("decision", { ...event.decision, audience: "shared" }, event.id));
}

function Content({ event }: { event: Event }) {
  const { check_in, request, opening, decision } = event;
  const who = (one: Who) => t.who(one, partnerName());
  return (
    <>
      {check_in?.felt && (
        <p>{Object.entries(check_in.felt).map(([item, value]) => `${t.felt[item as keyof typeof t.felt] ?? item} ${value}`).join(" · ")}</p>
      )}
      {check_in?.words && Object.entries(check_in.words).map(([question, text]) => (
        <p key={question}><span class="quiet">{t.question[question as keyof typeof t.question] ?? question}</span><br />{String(text)}</p>
      ))}
      {check_in?.note && <p class="text">{check_in.note}</p>}
      {check_in?.concerns && <p>{check_in.concerns.map((one) => t.concern[one as keyof typeof t.concern] ?? one).join(" · ")}</p>}
      {check_in?.audience === "sealed" && <p class="quiet">{t.sealed}</p>}
      {request && <p class="text">{request.text || t.domain[request.domain]}</p>}
      {opening && <p class="text">{opening.text || t.domain[opening.domain]}</p>}
      {decision?.text && <p class="text">{decision.text}</p>}
      {decision?.outcome && <p>{t[decision.outcome]}{decision.note && ` · ${decision.note}`}</p>}
      {(decision?.decided_by || check_in?.decided_by) && <p class="quiet">{t.decided_by} {who((decision?.decided_by ?? check_in?.decided_by)!)}</p>}
      {decision?.my_input && <p class="quiet">{t.my_input} {t.input[decision.my_input]}</p>}
      {(decision?.raised_by || check_in?.initiated_by) && <p class="quiet">{decision ? t.raised_by : t.who_initiated} {who((decision?.raised_by ?? check_in?.initiated_by)!)}</p>}
      {event.kind === "retraction" && <p class="quiet">{t.retracts}</p>}
    </>
  );
}

