// The app: who is signed in, how far they are, which screen they look at.
import { effect, untracked } from "@preact/signals";
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { NextStep } from "./api_types";
import { takeDemo } from "./demo";
import { lazy } from "./lazy";
import { lockNow, unlock, watchLock } from "./lock";
import { keepSending } from "./queue";
import { followEvents } from "./live";
import { openSession, signOut } from "./session";
import { askStanding, atRest, followStanding, member, standing } from "./standing";
import { go, listen, locked, me, news, notice, path, reached, relationship, session, shownAsOf, tell } from "./state";
import { openLanguage, t, timeText } from "./texts/texts";
import { SignIn } from "./screens/sign_in";
import { Today } from "./screens/today";
import { Button, Field, Form, Refusal, Screen } from "./ui";

const begin = () => import("./screens/begin");
const us = () => import("./screens/us");
const pictures = () => import("./screens/pictures");
const readings = () => import("./screens/readings");
const mine = () => import("./screens/me");
const Consent = lazy(async () => (await import("./screens/consent")).Consent);
const Begin = lazy(async () => (await begin()).Begin);
const AcceptScreen = lazy(async () => (await begin()).AcceptScreen);
const Us = lazy(async () => (await us()).Us);
const Ask = lazy(async () => (await us()).Ask);
const Open = lazy(async () => (await us()).Open);
const Decide = lazy(async () => (await us()).Decide);
const Log = lazy(async () => (await import("./screens/log")).Log);
const Balances = lazy(async () => (await pictures()).BalancesScreen);
const Trends = lazy(async () => (await pictures()).TrendsScreen);
const Month = lazy(async () => (await readings()).Month);
const Agreement = lazy(async () => (await readings()).Agreement);
const More = lazy(async () => (await readings()).More);
const MeScreen = lazy(async () => (await mine()).MeScreen);
const Profile = lazy(async () => (await mine()).Profile);
const RelationshipScreen = lazy(async () => (await mine()).RelationshipScreen);
const Pauses = lazy(async () => (await mine()).Pauses);
const Notifications = lazy(async () => (await mine()).Notifications);
const SessionsScreen = lazy(async () => (await mine()).SessionsScreen);
const LockScreen = lazy(async () => (await mine()).LockScreen);
const Data = lazy(async () => (await mine()).Data);
const HelpScreen = lazy(async () => (await mine()).HelpScreen);
const AddressScreen = lazy(async () => (await import("./screens/address")).AddressScreen);
const Schedule = lazy(async () => (await import("./screens/schedule")).ScheduleScreen);

function App() {
  const { step, isKnown, failed } = standing.value;
  const needsConsent = me.value !== null && me.value.consent.accepted == null && path.value[0] !== "help" && path.value[0] !== "me";
  return (
    <>
      <a class="skip" href="#content" onClick={(event) => { event.preventDefault(); document.getElementById("content")?.focus(); }}>{t.skip_to_content}</a>
      <Top />
      {!session.value ? (
        path.value[0] === "help" ? <HelpScreen /> : <SignIn />
      ) : locked.value ? (
        <Locked />
      ) : !isKnown ? (
        <main id="content"><p class="quiet">{failed ? t.unreached : t.loading}</p></main>
      ) : needsConsent ? (
        <Consent done={askStanding} />
      ) : !relationship.value && path.value[0] !== "help" && path.value[0] !== "me" ? (
        <Begin done={askStanding} />
      ) : (
        <Shown step={step} done={askStanding} />
      )}
      {session.value && !locked.value && relationship.value && <Bottom />}
    </>
  );
}

function Shown({ step, done }: { step: NextStep["next"] | undefined; done: () => Promise<void> }) {
  const [first, second] = path.value;
  if (first === "help") return <HelpScreen />;
  if (first === "me")
    switch (second) {
      case "profile": return <Profile done={done} />;
      case "address": return <AddressScreen done={done} />;
      case "relationship": return relationship.value ? <RelationshipScreen done={done} /> : <MeScreen />;
      case "schedule": return relationship.value ? <Schedule /> : <MeScreen />;
      case "pauses": return <Pauses />;
      case "notifications": return <Notifications />;
      case "sessions": return <SessionsScreen />;
      case "lock": return <LockScreen />;
      case "data": return <Data done={done} />;
      default: return <MeScreen />;
    }
  if (first === "pictures")
    switch (second) {
      case "trends": return <Trends />;
      case "month": return <Month />;
      case "agreement": return <Agreement />;
      case "more": return <More />;
      default: return <Balances />;
    }
  switch (first) {
    case "accept": return <AcceptScreen done={done} />;
    case "us": return <Us step={step} done={done} />;
    case "ask": return <Ask />;
    case "open": return <Open />;
    case "decide": return <Decide />;
    case "log": return <Log />;
    default: return <Today step={step} done={done} />;
  }
}

/** Gone at once: from all tabs, and from the history of this one. */
function leaveQuickly(): void {
  tell("exit");
  vanish();
}

function vanish(): void {
  document.documentElement.hidden = true;
  void lockNow().catch(() => undefined);
  location.replace("about:blank");
}

function Top() {
  return (
    <header>
      <button type="button" class="leave" onClick={leaveQuickly}>{t.leave_quickly} ✕</button>
      <div role="status" aria-live="polite">
        {notice.value && <p class={`notice ${notice.value.tone}`}>{"problem" in notice.value ? <Refusal problem={notice.value.problem} /> : notice.value.text}</p>}
        {session.value && !reached.value && <p class="notice told">{t.offline}</p>}
        {session.value && !reached.value && shownAsOf.value && <p class="quiet">{t.as_of(timeText(shownAsOf.value))}</p>}
      </div>
      <Update />
    </header>
  );
}

const PLACES = ["today", "us", "pictures", "log", "me"] as const;
const SIGNS: Record<(typeof PLACES)[number], string> = {
  today: "M12 4v2M12 18v2M4 12h2M18 12h2M6.5 6.5l1.4 1.4M16.1 16.1l1.4 1.4M6.5 17.5l1.4-1.4M16.1 7.9l1.4-1.4M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
  us: "M9 6a6 6 0 1 0 0 12 6 6 0 0 0 0-12M15 6a6 6 0 1 0 0 12 6 6 0 0 0 0-12",
  pictures: "M4 18h16M5 14l4-3 4 2 6-6",
  log: "M5 7h14M5 12h14M5 17h9",
  me: "M12 5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M5 19c1-4 4-5 7-5s6 1 7 5",
};

function Bottom() {
  const here = path.value[0] ?? "today";
  return (
    <nav class="bottom" aria-label={t.app}>
      {PLACES.map((one) => (
        <a key={one} href={`#/${one}`} aria-current={here === one ? "page" : undefined} onClick={(event) => { event.preventDefault(); go(`/${one}`); }}>
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d={SIGNS[one]} /></svg>
          {t.nav[one]}
        </a>
      ))}
    </nav>
  );
}

function Locked() {
  const [pin, setPin] = useState("");
  const [said, say] = useState("");
  const open = async () => {
    const result = await unlock(pin);
    setPin("");
    if (result !== true) say(result === 0 ? t.pin_wrong : t.pin_wait(result));
  };
  return (
    <Screen title={t.locked}>
      <Form send={open}>
        <Field label="PIN" type="password" mode="numeric" complete="current-password" value={pin} change={setPin} hint={said} />
        <Button kind="main" act={open}>{t.unlock}</Button>
      </Form>
      <p class="quiet">{t.pin_forgotten}</p>
      <Button kind="plain" act={signOut}>{t.sign_out}</Button>
    </Screen>
  );
}

/** A new version waits until it is wanted. */
function Update() {
  const [fresh, setFresh] = useState<ServiceWorker | null>(null);
  useEffect(() => void atRest().then(() => watchForUpdate(setFresh)), []);
  if (!fresh) return null;
  const open = () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    fresh.postMessage("open the new version");
  };
  return <p class="notice good">{t.new_version} <Button kind="plain" act={open}>{t.reload}</Button></p>;
}

async function watchForUpdate(found: (worker: ServiceWorker) => void): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  const registration = await navigator.serviceWorker.register("/service-worker.js");
  const look = () => {
    if (registration.waiting && navigator.serviceWorker.controller) found(registration.waiting);
  };
  look();
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", look));
}

async function start(): Promise<void> {
  const place = document.getElementById("app")!;
  if (!isSecureContext) {
    // Without TLS browsers give a page neither locks nor a service worker, and everybody on the way could read along.
    await openLanguage();
    return render(<main><h1>{t.app}</h1><p>{t.needs_tls}</p></main>, place);
  }
  await takeDemo();
  await Promise.all([openSession().then(followStanding), openLanguage(), watchLock()]);
  render(<App />, place);
  keepSending();
  effect(() => {
    void [member.value, relationship.value?.id];
    untracked(followEvents);
  });
  listen((message) => {
    if (message === "exit") vanish();
    if (message === "session") void openSession().then(() => { news.value += 1; });
    if (message === "signed-out") location.reload();
  });
  navigator.serviceWorker?.addEventListener("message", (event) => event.data === "today" && go("/today"));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") news.value += 1;
    followEvents();
  });
  await atRest();
  if (session.value) await (await import("./push")).followKey().catch(() => undefined);
}

void start();
