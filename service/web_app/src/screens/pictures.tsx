// Balances and what moves over months: two tellings beside each other, never merged.
import { useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { Balances, Domain, FeltItem, Measure } from "../api_types";
import { DOMAINS, FELT_ITEMS } from "../api_types";
import { AnswersPicture, CountMarks, FeltPicture, SplitPicture } from "../pictures/split";
import { TrendPicture } from "../pictures/trend";
import { go, path, relationship } from "../state";
import { t } from "../texts/texts";
import { dayAfter, dayAt } from "../time";
import { Awaited, Card, Choice, Link, Menu, Screen, options, partnerName, useAnswer } from "../ui";

export const WINDOWS = ["28", "90", "365"] as const;
export type Window_ = (typeof WINDOWS)[number];
export type AnyDomain = Domain | "";

export function DomainFilter({ value, choose }: { value: AnyDomain; choose: (value: AnyDomain) => void }) {
  return <Menu label={t.area} options={[{ value: "", text: t.all_domains }, ...options(DOMAINS, (one) => t.domain[one])]} value={value} choose={choose} />;
}

export function WindowFilter({ value, choose }: { value: Window_; choose: (value: Window_) => void }) {
  return <Menu label={t.window} options={options(WINDOWS, (one) => t.days(Number(one)))} value={value} choose={choose} />;
}

/** Two tellings side by side: below each other on a phone, beside each other where there is room. */
export function Pair({ mine, partners }: { mine: ComponentChildren; partners: ComponentChildren }) {
  return (
    <div class="pair">
      <figure>
        <figcaption>{t.mine}</figcaption>
        {mine}
      </figure>
      <figure>
        <figcaption>{t.partners(partnerName())}</figcaption>
        {partners}
      </figure>
    </div>
  );
}

const TABS = ["balances", "trends", "month", "agreement", "more"] as const;

export function PictureTabs() {
  const chosen = path.value[1] ?? "balances";
  const text = { balances: t.balances, trends: t.trends, month: t.month, agreement: t.agreement, more: t.more_pictures };
  return (
    <nav class="tabs" aria-label={t.nav.pictures}>
      {TABS.map((one) => (
        <a key={one} href={`#/pictures/${one}`} aria-current={one === chosen ? "page" : undefined} onClick={(event) => { event.preventDefault(); go(`/pictures/${one}`); }}>
          {text[one]}
        </a>
      ))}
    </nav>
  );
}

export function BalancesScreen() {
  const rid = relationship.value!.id;
  const [window, setWindow] = useState<Window_>("90");
  const [domain, setDomain] = useState<AnyDomain>("");
  const [size, setSize] = useState<"" | "small" | "big">("");
  const query = { window: Number(window), ...(domain && { domain }), ...(size && { size }) };
  const balances = useAnswer(`balances ${rid} ${JSON.stringify(query)}`, (client) => client.GET("/v1/relationships/{rid}/balances", { params: { path: { rid }, query } }));
  return (
    <Screen title={t.nav.pictures} wide>
      <PictureTabs />
      <div class="filters">
        <WindowFilter value={window} choose={setWindow} />
        <DomainFilter value={domain} choose={setDomain} />
        <Menu label={t.size} options={[{ value: "", text: t.any_size }, ...options(["small", "big"] as const, (one) => t[one])]} value={size} choose={setSize} />
      </div>
      <p class="quiet">{t.occasion_means}</p>
      <Awaited of={balances}>{(data) => <All data={data} />}</Awaited>
      <p><Link kind="plain" to="/pictures/trends">{t.trends}</Link></p>
    </Screen>
  );
}

function All({ data }: { data: Balances }) {
  const { mine, partners, tellings } = data;
  const name = partnerName();
  const items = FELT_ITEMS.filter((item) => mine.felt[item]?.n || partners.felt[item]?.n);
  return (
    <>
      {data.paused > 0 && <p class="sees">{t.paused_days(data.paused)}</p>}
      <Card title={t.measure.asks}>
        <div class="pair"><figure><figcaption>{t.both_acts}</figcaption><SplitPicture split={data.asks} acts /></figure></div>
      </Card>
      {(["initiates", "decides"] as const).map((one) => (
        <Card key={one} title={t.measure[one]}>
          <Pair mine={<SplitPicture split={mine[one]} />} partners={<SplitPicture split={partners[one]} />} />
          {tellings[one] && <p class="sees">{t.tellings[tellings[one]]}</p>}
        </Card>
      ))}
      {[mine, partners].some((one) => Object.values(one.agreed).some(Boolean)) && (
        <Card title={`${t.measure.decides}: ${t.agreed_counts}`}>
          <Pair mine={<CountMarks counts={mine.agreed} />} partners={<CountMarks counts={partners.agreed} />} />
        </Card>
      )}
      <Card title={t.measure.counted}>
        <div class="pair">
          <figure><figcaption>{t.mine}: {t.counted_other(name)}</figcaption><AnswersPicture answers={mine.counted.when_other_decided} /></figure>
          <figure><figcaption>{t.counted_other_theirs(name)}</figcaption><AnswersPicture answers={partners.counted.when_other_decided} /></figure>
        </div>
        {(mine.counted.when_both_decided.n > 0 || partners.counted.when_both_decided.n > 0) && (
          <>
            <h3>{t.counted_both}</h3>
            <Pair mine={<AnswersPicture answers={mine.counted.when_both_decided} />} partners={<AnswersPicture answers={partners.counted.when_both_decided} />} />
          </>
        )}
      </Card>
      <Card title={t.measure.felt}>
        <p class="quiet">{t.felt_alone}</p>
        {items.length === 0 && <p class="quiet">{t.reading.nothing}</p>}
        {items.map((item) => (
          <div key={item} class="figure">
            <h3>{t.question[item]}</h3>
            <Pair mine={<FeltOf item={item} felt={mine.felt} />} partners={<FeltOf item={item} felt={partners.felt} />} />
          </div>
        ))}
      </Card>
    </>
  );
}

function FeltOf({ item, felt }: { item: FeltItem; felt: Balances["mine"]["felt"] }) {
  return <FeltPicture felt={felt[item] ?? { n: 0, mean: null, low: null, high: null, counts: [0, 0, 0, 0, 0, 0, 0] }} />;
}

const MEASURES: readonly Measure[] = ["asks", "initiates", "decides", "counted", "felt"];
const RANGES = ["91", "182", "364"] as const;

export function TrendsScreen() {
  const rid = relationship.value!.id;
  const [measure, setMeasure] = useState<Measure>("initiates");
  const [window, setWindow] = useState<Window_>("90");
  const [range, setRange] = useState<(typeof RANGES)[number]>("364");
  const [domain, setDomain] = useState<AnyDomain>("");
  const [item, setItem] = useState<FeltItem>("close");
  const [when, setWhen] = useState<"other_decided" | "both_decided">("other_decided");
  const to = dayAt(new Date());
  const query = {
    measure, window: Number(window), step: 7, to, from: dayAfter(to, -Number(range)),
    ...(domain && measure !== "felt" && { domain }), ...(measure === "felt" && { item }), ...(measure === "counted" && { when }),
  };
  const trend = useAnswer(`trend ${rid} ${JSON.stringify(query)}`, (client) => client.GET("/v1/relationships/{rid}/trends", { params: { path: { rid }, query } }));
  const pauses = useAnswer("pauses", (client) => client.GET("/v1/me/pauses"));
  const isFelt = measure === "felt";
  const name = partnerName();
  const ends: [string, string] = isFelt ? [t.least, t.most] : measure === "counted" ? ["", t.counted_share] : [t.toward(name), t.toward(t.me_word)];
  return (
    <Screen title={t.nav.pictures} wide>
      <PictureTabs />
      <Choice legend={t.trends} options={options(MEASURES, (one) => t.measure[one])} value={measure} choose={(one) => one && setMeasure(one)} />
      <div class="filters">
        <Menu label={t.range} options={options(RANGES, (one) => ({ "91": t.quarter_year, "182": t.half_year, "364": t.last_year })[one])} value={range} choose={setRange} />
        <WindowFilter value={window} choose={setWindow} />
        {isFelt && <Menu label={t.item} options={options(FELT_ITEMS, (one) => t.felt[one])} value={item} choose={setItem} />}
        {!isFelt && <DomainFilter value={domain} choose={setDomain} />}
        {measure === "counted" && <Menu label={t.when} options={[{ value: "other_decided", text: t.when_other }, { value: "both_decided", text: t.when_both }]} value={when} choose={setWhen} />}
      </div>
      <Legend isFelt={isFelt} wide={measure !== "counted" && !isFelt} paused={Boolean(pauses.data?.pauses.length)} />
      {/* Drawn once with all that belongs to it: days that were paused do not appear in a picture that was looked at without them. */}
      <Awaited of={pauses.data || pauses.problem ? trend : {}}>
        {(data) => {
          const mostN = Math.max(0, ...data.mine.map((one) => one.n), ...data.partners.map((one) => one.n));
          const of = { mostN, isFelt, what: t.measure[measure], window: data.window, pauses: pauses.data?.pauses ?? [], ends };
          const key = JSON.stringify(query);
          if (measure === "asks")
            return <Card title={t.measure.asks}><div class="pair"><figure><figcaption>{t.both_acts}</figcaption><TrendPicture key={key} {...of} points={data.mine} who={t.both_acts} /></figure></div></Card>;
          return (
            <Card title={isFelt ? t.question[item] : t.measure[measure]}>
              <Pair
                mine={<TrendPicture key={key} {...of} points={data.mine} who={t.mine} />}
                partners={<TrendPicture key={key} {...of} points={data.partners} who={t.partners(name)} />}
              />
            </Card>
          );
        }}
      </Awaited>
    </Screen>
  );
}

function Legend({ isFelt, wide, paused }: { isFelt: boolean; wide: boolean; paused: boolean }) {
  return (
    <p class="legend">
      <span class="key line">{isFelt ? t.legend_mean : t.legend_share}</span>
      <span class="key band">{t.legend_band}</span>
      {wide && <span class="key wide">{t.legend_wide}</span>}
      {paused && <span class="key paused">{t.legend_paused}</span>}
    </p>
  );
}
