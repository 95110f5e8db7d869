// The first screen: a check-in at once, what was asked of me today, what waits to be sent, the year at a glance.
import { api } from "../api";
import type { Figure, Home, NextStep, Prompt } from "../api_types";
import { type Line, Thirteen, ThirteenTable, mostOf, sumText } from "../pictures/thirteen";
import { discard, flush, sendAgain, waiting } from "../queue";
import { news, relationship } from "../state";
import { t } from "../texts/texts";
import { Awaited, Button, Card, Link, Refusal, Screen, attempt, isLinked, partnerName, useAnswer } from "../ui";
import { Linking } from "./begin";
import { CheckInForm } from "./check_in";

export function Today({ step, done }: { step: NextStep["next"] | undefined; done: () => unknown }) {
  const rid = relationship.value!.id;
  const home = useAnswer(`home ${rid}`, (client) => client.GET("/v1/relationships/{rid}/home", { params: { path: { rid } } }));
  return (
    <Screen title={t.nav.today} wide>
      <Queue />
      {step === "confirm" && <Linking step={step} done={done} />}
      <div class="halves">
        <div>
          <Card title={isLinked() ? t.how_today : t.how_today_alone}>
            <CheckInForm />
          </Card>
          {home.data && <Prompts prompts={home.data.prompts} />}
        </div>
        <Awaited of={home}>{(data) => <Glance home={data} />}</Awaited>
      </div>
    </Screen>
  );
}

/** What waits, and what was not taken, each told in words. */
export function Queue() {
  const open = waiting.value.filter((one) => one.state === "waiting");
  const stuck = waiting.value.filter((one) => one.state !== "waiting");
  return (
    <>
      {open.length > 0 && (
        <section class="card told" aria-label={t.queue_waiting(open.length)}>
          <p>{t.queue_waiting(open.length)}</p>
          <Button kind="plain" act={flush}>{t.queue_send_now}</Button>
        </section>
      )}
      {stuck.map((one) => (
        <Card key={one.seq} title={`${t.queue_title}: ${t.kind[one.kind]}`}>
          <p>{t.queue_refused} {one.problem && <Refusal problem={one.problem} />}</p>
          {one.state === "refused" && <Button act={() => sendAgain(one)}>{t.send_again}</Button>}
          <Button kind="plain" act={() => discard(one)}>{t.discard}</Button>
        </Card>
      ))}
    </>
  );
}

export function Prompts({ prompts }: { prompts: readonly Prompt[] }) {
  const dismiss = async (one: Prompt) => {
    await attempt(api.POST("/v1/me/prompts/{prompt_id}/dismiss", { params: { path: { prompt_id: one.id } } }));
    news.value += 1;
  };
  const here = prompts.filter((one) => one.relationship_id === relationship.value!.id);
  if (here.length === 0) return null;
  return (
    <Card title={t.prompts}>
      {here.map((one) => (
        <div class="prompt" key={one.id}>
          <p class="quiet">{one.reason === "schedule" ? t.prompt_schedule : t.prompt_after}</p>
          <CheckInForm short asked={one.questions} about={one.about} promptId={one.id} />
          <Button kind="plain" act={() => dismiss(one)}>{t.not_today}</Button>
        </div>
      ))}
    </Card>
  );
}

function Glance({ home }: { home: Home }) {
  const overall = home.figures.filter((one) => one.domain == null);
  if (overall.length === 0) return <Card title={t.thirteen}><p class="quiet">{t.first_words}</p></Card>;
  return (
    <Card title={t.thirteen}>
      <p class="legend">
        <span class="key me">{t.who("me", partnerName())}</span>
        <span class="key partner">{t.who("partner", partnerName())}</span>
      </p>
      {overall.map((one) => {
        const of = { most: mostOf(one.mine.line, one.partners?.line), on: home.on, counted: one.figure === "counted" };
        return (
          <div class="figure" key={one.figure}>
            <h3>{t.measure[one.figure]}</h3>
            <div class="pair">
              <Told {...of} line={one.mine.line} figure={one.figure} teller={one.figure === "asks" ? t.both_acts : t.mine} />
              {one.partners && <Told {...of} line={one.partners.line} figure={one.figure} teller={t.partners(partnerName())} />}
            </div>
          </div>
        );
      })}
      <Link to="/pictures">{t.nav.pictures}</Link>
    </Card>
  );
}

type TellingOf = { line: Line; most: number; on: string; counted: boolean; figure: Figure["figure"]; teller: string };

function Told({ teller, figure, most, ...told }: TellingOf) {
  const label = `${t.measure[figure]}, ${teller}`;
  return (
    <figure>
      <figcaption>{teller}</figcaption>
      <Thirteen {...told} most={most} label={label} />
      <p class="reading quiet">{sumText(told.line, most, told.counted)}</p>
      <ThirteenTable {...told} label={label} />
    </figure>
  );
}
