// What stands beside the balances: a month in words, how far the tellings agree, roles, voice, quarters.
import { useState } from "preact/hooks";
import type { Changes, FeltItem, Roles, Voice, Who } from "../api_types";
import { FELT_ITEMS, WHO } from "../api_types";
import { Matrix } from "../pictures/matrix";
import { AnswersPicture, Marks, Scale, SplitPicture, shareText } from "../pictures/split";
import { relationship } from "../state";
import { language, monthText, percent, t } from "../texts/texts";
import { dayAt, monthsBefore, quartersBefore } from "../time";
import { Awaited, Card, Choice, Menu, Screen, options, partnerName, useAnswer } from "../ui";
import { DomainFilter, Pair, PictureTabs, WindowFilter, type AnyDomain, type Window_ } from "./pictures";

export function Month() {
  const rid = relationship.value!.id;
  const months = monthsBefore(dayAt(new Date()), 13);
  const [month, setMonth] = useState(months[1]!);
  const spoken = language.value;
  const review = useAnswer(`review ${rid} ${month} ${spoken}`, (client) =>
    client.GET("/v1/relationships/{rid}/reviews/{month}", { params: { path: { rid, month }, query: { language: spoken } } }),
  );
  return (
    <Screen title={t.nav.pictures} wide>
      <PictureTabs />
      <div class="filters">
        <Menu label={t.month_of} options={options(months, monthText)} value={month} choose={setMonth} />
      </div>
      <Awaited of={review}>
        {(data) => (
          <Card title={monthText(data.month)}>
            {data.sentences.length === 0 && <p class="quiet">{t.month_empty}</p>}
            {data.sentences.map((one, place) => (
              <div class="sentence" key={one.id + place}>
                <p>{one.text}</p>
                {one.counter && one.counter.length > 0 && (
                  <details>
                    <summary>{t.counter_title}</summary>
                    <ul>{one.counter.map((text) => <li key={text}>{text}</li>)}</ul>
                    {one.evidence && one.evidence.length > 0 && <p class="quiet">{t.evidence(one.evidence.length)}</p>}
                  </details>
                )}
              </div>
            ))}
          </Card>
        )}
      </Awaited>
    </Screen>
  );
}

type Agreed = "decides" | "initiates" | "felt";

export function Agreement() {
  const rid = relationship.value!.id;
  const [measure, setMeasure] = useState<Agreed>("decides");
  const [item, setItem] = useState<FeltItem>("close");
  const query = { measure, ...(measure === "felt" && { item }) };
  const perspectives = useAnswer(`perspectives ${rid} ${JSON.stringify(query)}`, (client) =>
    client.GET("/v1/relationships/{rid}/perspectives", { params: { path: { rid }, query } }),
  );
  const name = partnerName();
  return (
    <Screen title={t.nav.pictures} wide>
      <PictureTabs />
      <Choice legend={t.agreement} options={options(["decides", "initiates", "felt"] as const, (one) => t.measure[one])} value={measure} choose={(one) => one && setMeasure(one)} />
      {measure === "felt" && <Menu label={t.item} options={options(FELT_ITEMS, (one) => t.felt[one])} value={item} choose={setItem} />}
      <p class="quiet">{t.agree_text} {t.agree_rows(name)}</p>
      <Awaited of={perspectives}>
        {(data) => (
          <Card title={t.measure[measure]}>
            <Matrix values={data.values as (string | number)[]} table={data.table} label={t.agree_rows(name)} text={(value) => (typeof value === "number" ? String(value) : t.who(value as Who, name))} />
            {data.low != null && data.high != null && (
              <Scale low={data.low} high={data.high} middle={data.agree} ends={[percent(0), `${percent(1)} ${t.agree_share}`]} label={shareText({ share: data.agree, low: data.low, high: data.high })} />
            )}
            <p class="reading">
              <strong>{t.n_is(data.n)}</strong>
              {data.low != null && <> · {t.agree_share}: {shareText({ share: data.agree, low: data.low, high: data.high })}</>}
              {data.near != null && <> · {t.near(percent(data.near))}</>}
              {data.n < 8 && <><br />{data.n === 0 ? t.reading.nothing : t.reading.too_few}</>}
            </p>
          </Card>
        )}
      </Awaited>
    </Screen>
  );
}

export function More() {
  const rid = relationship.value!.id;
  const [window, setWindow] = useState<Window_>("365");
  const [domain, setDomain] = useState<AnyDomain>("");
  const quarters = quartersBefore(dayAt(new Date()), 8);
  const [quarter, setQuarter] = useState(quarters[0]!);
  const query = { window: Number(window), ...(domain && { domain }) };
  const params = { path: { rid }, query };
  const key = `${rid} ${JSON.stringify(query)}`;
  const roles = useAnswer(`roles ${key}`, (client) => client.GET("/v1/relationships/{rid}/roles", { params }));
  const voice = useAnswer(`voice ${key}`, (client) => client.GET("/v1/relationships/{rid}/voice", { params }));
  const changes = useAnswer(`changes ${rid} ${quarter} ${domain}`, (client) =>
    client.GET("/v1/relationships/{rid}/changes", { params: { path: { rid }, query: { quarter, ...(domain && { domain }) } } }),
  );
  return (
    <Screen title={t.nav.pictures} wide>
      <PictureTabs />
      <div class="filters">
        <WindowFilter value={window} choose={setWindow} />
        <DomainFilter value={domain} choose={setDomain} />
      </div>
      <Card title={t.roles}>
        <p class="quiet">{t.roles_rows}</p>
        <Awaited of={roles}>{(data) => <Pair mine={<RolesOf told={data.mine} />} partners={<RolesOf told={data.partners} />} />}</Awaited>
      </Card>
      <Card title={t.voice}>
        <Awaited of={voice}>
          {(data) => (
            <div class="pair">
              {(["me", "partner", "both"] as const).map((decider) => (
                <figure key={decider}><figcaption>{t.voice_decider(t.who(decider, partnerName()))}</figcaption><VoiceOf heard={data[decider]} /></figure>
              ))}
            </div>
          )}
        </Awaited>
      </Card>
      <Card title={t.changes}>
        <Menu label={t.changes} options={options(quarters, (one) => one.replace("-", " "))} value={quarter} choose={setQuarter} />
        <Awaited of={changes}>{(data) => <ChangesOf data={data} />}</Awaited>
      </Card>
    </Screen>
  );
}

function RolesOf({ told }: { told: Roles["mine"] }) {
  return (
    <>
      <Matrix values={WHO} table={told.table} label={t.roles_rows} text={(value) => t.who(value as Who, partnerName())} />
      <p class="reading"><strong>{t.n_is(told.n)}</strong></p>
      <h4>{t.roles_crossed}</h4>
      <SplitPicture split={told.crossed} acts />
      <h4>{t.roles_alone}</h4>
      <SplitPicture split={told.alone} acts />
    </>
  );
}

function VoiceOf({ heard }: { heard: Voice["me"] }) {
  const share = shareText(heard);
  if (heard.n === 0) return <p class="reading quiet">{t.reading.nothing}</p>;
  return (
    <div class="split">
      <div class="counts">
        {(["both_spoke", "only_decider", "only_other", "neither"] as const).map((one) => <Marks key={one} count={heard[one]} who="input" label={t.voice_row[one]} />)}
      </div>
      {heard.low != null && heard.high != null && <Scale low={heard.low} high={heard.high} middle={heard.share} ends={[percent(0), `${percent(1)} ${t.voice_row.both_spoke}`]} label={share} />}
      <p class="reading">
        <strong>{t.voice_both(heard.n)}</strong>
        {share && <> · {t.voice_row.both_spoke}: {share}</>}
        {heard.n < 8 && <><br />{t.reading.too_few}</>}
      </p>
    </div>
  );
}

type SplitChange = Changes["asks"];
type CountedChange = Changes["mine"]["counted"];

function Differs({ change }: { change: SplitChange | CountedChange }) {
  const { difference, low, high } = change;
  return (
    <p class="reading">
      {difference != null && low != null && high != null && <>{t.difference(percent(difference), percent(low), percent(high))}<br /></>}
      {t.change_reading[change.reading]}
    </p>
  );
}

function ChangeOf({ change }: { change: SplitChange }) {
  return (
    <>
      <h4>{t.before}</h4><SplitPicture split={change.before} />
      <h4>{t.now}</h4><SplitPicture split={change.now} />
      <Differs change={change} />
    </>
  );
}

function CountedOf({ change }: { change: CountedChange }) {
  return (
    <>
      <h4>{t.before}</h4><AnswersPicture answers={change.before.when_other_decided} />
      <h4>{t.now}</h4><AnswersPicture answers={change.now.when_other_decided} />
      <Differs change={change} />
    </>
  );
}

function ChangesOf({ data }: { data: Changes }) {
  return (
    <>
      <h3>{t.measure.asks}</h3>
      <div class="pair"><figure><figcaption>{t.both_acts}</figcaption><ChangeOf change={data.asks} /></figure></div>
      {(["initiates", "decides"] as const).map((one) => (
        <div key={one}><h3>{t.measure[one]}</h3><Pair mine={<ChangeOf change={data.mine[one]} />} partners={<ChangeOf change={data.partners[one]} />} /></div>
      ))}
      <h3>{t.measure.counted}</h3>
      <Pair mine={<CountedOf change={data.mine.counted} />} partners={<CountedOf change={data.partners.counted} />} />
    </>
  );
}

