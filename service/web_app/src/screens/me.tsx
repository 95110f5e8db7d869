// Everything that is one's own: name, schedule, pauses, notifications, sessions, lock, data, leaving.
import { useEffect, useState } from "preact/hooks";
import { api, problemOf } from "../api";
import { hasLock, lockNow, removeLock, setLock } from "../lock";
import { waiting } from "../queue";
import { type PushState, pushState, subscribe, unsubscribe } from "../push";
import { signOut } from "../session";
import { go, me, news, notice, relationship } from "../state";
import { keep } from "../store";
import { chooseLanguage, dayText, language, t, timeText } from "../texts/texts";
import { dayAt } from "../time";
import { Awaited, Button, Card, Choice, Field, Form, Link, Menu, Screen, Twice, attempt, isLinked, options, partnerName, useAnswer } from "../ui";
import { ConsentWords, useConsentText } from "./consent";

export function MeScreen() {
  const unsent = waiting.value.length;
  const leave = async () => {
    const current = (await api.GET("/v1/sessions")).data?.sessions.find((one) => one.current);
    await unsubscribe().catch(() => undefined);
    if (current) await api.DELETE("/v1/sessions/{session_id}", { params: { path: { session_id: current.id } } });
    await signOut();
  };
  return (
    <Screen title={t.nav.me}>
      <nav class="rows" aria-label={t.nav.me}>
        <Link to="/me/profile">{t.profile}</Link>
        <Link to="/me/address">{t.email}</Link>
        <Link to="/me/relationship">{t.relationship}</Link>
        <Link to="/me/schedule">{t.schedule}</Link>
        <Link to="/me/pauses">{t.pauses}</Link>
        <Link to="/me/notifications">{t.notifications}</Link>
        <Link to="/me/sessions">{t.sessions}</Link>
        <Link to="/me/lock">{t.lock}</Link>
        <Link to="/me/data">{t.data}</Link>
        <Link to="/help">{t.help}</Link>
      </nav>
      <Card title={t.about_app}><p class="quiet">{t.about_text}</p><p class="quiet">{t.leaving_text}</p></Card>
      <Twice text={t.sign_out} explain={unsent ? `${t.sign_out_text} ${t.sign_out_unsent(unsent)}` : t.sign_out_text} sure={t.sign_out} act={leave} />
    </Screen>
  );
}

export function Profile({ done }: { done: () => unknown }) {
  const [name, setName] = useState(me.value?.name ?? "");
  const [zone, setZone] = useState(me.value?.time_zone ?? "UTC");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = [...new Set([zone, here, "UTC", ...Intl.supportedValuesOf("timeZone")])];
  const save = async () => {
    if (await attempt(api.PATCH("/v1/me", { body: { ...(name.trim() && { name: name.trim() }), time_zone: zone } }))) {
      await done();
      notice.value = { text: t.saved, tone: "good" };
    }
  };
  return (
    <Screen title={t.profile} back="/me">
      <Card label={t.profile}>
        <Choice legend={t.language} options={[{ value: "en", text: "English" }, { value: "de", text: "Deutsch" }]} value={language.value} choose={(one) => one && void chooseLanguage(one)} />
        <Form send={save}>
          <Field label={t.name} value={name} change={setName} hint={t.name_means} complete="name" most={100} />
          <Menu label={t.time_zone} options={options(zones, (one) => one)} value={zone} choose={setZone} />
          <p class="quiet">{t.this_zone(here)}</p>
          <Button kind="main" act={save}>{t.save}</Button>
        </Form>
      </Card>
    </Screen>
  );
}

export function RelationshipScreen({ done }: { done: () => unknown }) {
  const current = relationship.value!;
  const all = useAnswer("relationships", (client) => client.GET("/v1/relationships"));
  const leave = async () => {
    if (await attempt(api.POST("/v1/relationships/{rid}/leave", { params: { path: { rid: current.id } } }))) await done();
  };
  const begin = async () => {
    const made = await attempt(api.POST("/v1/relationships", { body: {} }));
    if (made && made !== true) await choose(made.id);
  };
  const choose = async (id: string) => {
    await keep("relationship", id);
    await done();
  };
  return (
    <Screen title={t.relationship} back="/me">
      <Card label={t.relationship}>
        <p>{isLinked() ? t.linked(partnerName()) : current.state === "ended" ? t.ended : t.alone}</p>
        <Awaited of={all}>
          {({ relationships }) =>
            relationships.length > 1 && (
              <Menu
                label={t.which_relationship}
                options={relationships.map((one) => ({ value: one.id, text: `${t.relationship_state[one.state]}${one.partner?.name ? ` · ${one.partner.name}` : ""}` }))}
                value={current.id}
                choose={(id) => void choose(id)}
              />
            )
          }
        </Awaited>
        {!isLinked() && <Button act={() => go("/us")}>{t.invite_title}</Button>}
        {current.state === "ended" && <Button act={begin}>{t.new_relationship}</Button>}
        {isLinked() && <Twice text={t.leave} explain={t.leave_text} sure={t.leave_sure} act={leave} />}
      </Card>
    </Screen>
  );
}

export function Pauses() {
  const pauses = useAnswer("pauses", (client) => client.GET("/v1/me/pauses"));
  const [from, setFrom] = useState(dayAt(new Date()));
  const [to, setTo] = useState("");
  const add = async () => {
    const params = { path: { pause_id: crypto.randomUUID() } };
    if (await attempt(api.PUT("/v1/me/pauses/{pause_id}", { params, body: { from, ...(to && { to }) } }), t.saved)) news.value += 1;
  };
  const drop = async (id: string) => {
    if (await attempt(api.DELETE("/v1/me/pauses/{pause_id}", { params: { path: { pause_id: id } } }))) news.value += 1;
  };
  return (
    <Screen title={t.pauses} back="/me">
      <p class="quiet">{t.pauses_text}</p>
      <Card title={t.add_pause}>
        <Form send={add}>
          <Field label={t.first_day} type="date" value={from} change={setFrom} />
          <Field label={`${t.last_day} (${t.optional})`} type="date" value={to} change={setTo} />
          <Button kind="main" act={add} disabled={!from}>{t.add_pause}</Button>
        </Form>
      </Card>
      <Awaited of={pauses}>
        {(data) => (
          <ul class="entries">
            {data.pauses.map((one) => (
              <li key={one.id} class="line">
                <span>{dayText(one.from)} – {one.to ? dayText(one.to) : t.open_end}</span>
                <Button kind="plain" act={() => drop(one.id)}>{t.remove}</Button>
              </li>
            ))}
          </ul>
        )}
      </Awaited>
    </Screen>
  );
}

export function Notifications() {
  const devices = useAnswer("devices", (client) => client.GET("/v1/me/devices"));
  const [state, setState] = useState<PushState>();
  const key = devices.data?.vapid_public_key;
  useEffect(() => {
    if (devices.data) void pushState(key).then(setState);
  }, [devices.data]);
  const on = async () => {
    const agreed = await subscribe(key!);
    notice.value = agreed ? { text: t.saved, tone: "good" } : { text: t.failed, tone: "told" };
    setState(await pushState(key));
  };
  const off = async () => {
    await unsubscribe();
    setState(await pushState(key));
  };
  return (
    <Screen title={t.notifications} back="/me">
      <Card label={t.notifications}>
        <p>{t.notifications_text}</p>
        {state === "off" && <p class="sees">{t.notify_off}</p>}
        {state === "unsupported" && <p class="sees">{t.notify_unsupported}</p>}
        {state === "denied" && <p class="sees">{t.notify_denied}</p>}
        {state === "none" && <Button kind="main" act={on}>{t.notify}</Button>}
        {state === "on" && <Button act={off}>{t.notify_stop}</Button>}
        {devices.data?.devices.some((one) => one.platform === "web" && one.failing_since) && <p class="quiet">{t.device_failing}</p>}
        <Link to="/me/schedule">{t.schedule}</Link>
      </Card>
    </Screen>
  );
}

export function SessionsScreen() {
  const sessions = useAnswer("sessions", (client) => client.GET("/v1/sessions"));
  const end = async (id: string) => {
    if (await attempt(api.DELETE("/v1/sessions/{session_id}", { params: { path: { session_id: id } } }))) news.value += 1;
  };
  return (
    <Screen title={t.sessions} back="/me">
      <Awaited of={sessions}>
        {(data) => (
          <ul class="entries">
            {data.sessions.map((one) => (
              <li key={one.id} class="line">
                <span>
                  {one.device_name} {one.current && <em>({t.this_device})</em>}
                  <br />
                  <span class="quiet">{t.since(timeText(one.created_at))}</span>
                </span>
                {!one.current && <Button kind="plain" act={() => end(one.id)}>{t.end_session}</Button>}
              </li>
            ))}
          </ul>
        )}
      </Awaited>
    </Screen>
  );
}

export function LockScreen() {
  const [isSet, setIsSet] = useState<boolean>();
  const [pin, setPin] = useState("");
  const [again, setAgain] = useState("");
  useEffect(() => void hasLock().then(setIsSet), []);
  const set = async () => {
    if (!/^\d{4,}$/.test(pin)) notice.value = { text: t.pin_short, tone: "told" };
    else if (pin !== again) notice.value = { text: t.pin_differs, tone: "told" };
    else {
      await setLock(pin);
      setIsSet(true);
      notice.value = { text: t.saved, tone: "good" };
    }
  };
  const remove = async () => {
    await removeLock();
    setIsSet(false);
  };
  return (
    <Screen title={t.lock} back="/me">
      <Card label={t.lock}>
        <p>{t.lock_text}</p>
        {isSet ? (
          <>
            <Button kind="main" act={lockNow}>{t.lock_now}</Button>
            <Button act={remove}>{t.lock_off}</Button>
          </>
        ) : (
          <Form send={set}>
            <Field label={t.pin} type="password" mode="numeric" complete="new-password" value={pin} change={setPin} />
            <Field label={t.pin_again} type="password" mode="numeric" complete="new-password" value={again} change={setAgain} />
            <Button kind="main" act={set}>{t.lock_set}</Button>
          </Form>
        )}
      </Card>
    </Screen>
  );
}

export function Data({ done }: { done: () => unknown }) {
  const [wanted, want] = useState<"export" | "shared" | "erase" | null>(null);
  const [code, setCode] = useState("");
  const consent = useConsentText();
  const begin = async (what: "export" | "shared" | "erase") => {
    if (await attempt(api.POST("/v1/sessions/step-up-codes", { body: {} }))) want(what);
  };
  const proceed = async () => {
    if (!(await attempt(api.POST("/v1/sessions/step-up", { body: { code } })))) return;
    setCode("");
    if (wanted === "erase") {
      if (await attempt(api.DELETE("/v1/me"))) await signOut();
    } else await save(wanted === "export");
    want(null);
  };
  const withdraw = async () => {
    if (await attempt(api.DELETE("/v1/me/consent"), t.consent_withdrawn)) await done();
  };
  return (
    <Screen title={t.data} back="/me">
      {wanted ? (
        <Card title={wanted === "erase" ? t.erase : t.export}>
          <Form send={proceed}>
            <p>{t.step_up_text}</p>
            <Field label={t.code} mode="numeric" complete="one-time-code" value={code} change={setCode} />
            <Button kind={wanted === "erase" ? "grave" : "main"} act={proceed} disabled={code.replace(/\D/g, "").length < 8}>
              {wanted === "erase" ? t.erase_sure : t.export}
            </Button>
            <Button kind="plain" act={() => want(null)}>{t.cancel}</Button>
          </Form>
        </Card>
      ) : (
        <>
          <Card title={t.export}>
            <p>{t.export_text}</p>
            <Button act={() => begin("export")}>{t.export_private}</Button>
            <Button act={() => begin("shared")}>{t.export_shared}</Button>
          </Card>
          <Card title={t.consent}>
            <Awaited of={consent}>{(data) => <ConsentWords of={data} />}</Awaited>
            <Twice text={t.withdraw_consent} explain={t.withdraw_text} sure={t.withdraw_consent} act={withdraw} />
          </Card>
          <Card title={t.erase}>
            <p>{t.erase_text}</p>
            <Button act={() => begin("erase")}>{t.erase}</Button>
          </Card>
        </>
      )}
    </Screen>
  );
}

/** The export as a file, as it was sent: proofs are held against its very bytes. */
async function save(withPrivate: boolean): Promise<void> {
  const answer = await api.GET("/v1/me/export", { params: { query: { private: withPrivate } }, parseAs: "blob" });
  if (!answer.data) {
    notice.value = { problem: problemOf(answer), tone: "told" };
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(answer.data as Blob);
  link.download = "mutuality.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export function HelpScreen() {
  const [region, setRegion] = useState((navigator.language.split("-")[1] ?? (language.value === "de" ? "DE" : "")).toUpperCase());
  const known = /^[A-Z]{2}$/.test(region) ? region : "";
  const help = useAnswer(`help ${known}`, (client) => client.GET("/v1/help", { params: { query: known ? { region: known } : {} } }));
  const names = new Intl.DisplayNames(language.value, { type: "region" });
  return (
    <Screen title={t.help} back="/me">
      <p>{t.help_text}</p>
      <Awaited of={help}>
        {(data) => (
          <>
            <Menu
              label={t.help_region}
              options={[{ value: "", text: t.help_anywhere }, ...data.regions.map((one) => ({ value: one, text: names.of(one) ?? one }))]}
              value={data.region ?? ""}
              choose={setRegion}
            />
            {data.emergency.length > 0 && (
              <Card title={t.help_emergency}>
                <p class="phones">{data.emergency.map((one) => <a key={one} href={`tel:${one}`}>{one}</a>)}</p>
              </Card>
            )}
            {data.places.map((one) => (
              <Card key={one.url + one.name} title={one.name}>
                <p class="quiet">{t.meant_for[one.meant_for]}</p>
                {one.phone && <p class="phones"><a href={`tel:${one.phone.replace(/\s/g, "")}`}>{one.phone}</a></p>}
                <p><a href={one.url} rel="noreferrer noopener" target="_blank">{one.url.replace(/^https?:\/\//, "")}</a></p>
                {!one.verified && <p class="quiet">{t.help_unverified}</p>}
              </Card>
            ))}
          </>
        )}
      </Awaited>
    </Screen>
  );
}

