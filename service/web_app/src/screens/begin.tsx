// From signing in to being two: begin alone, invite, accept, confirm.
import { useEffect, useState } from "preact/hooks";
import { encode } from "uqr";
import { api } from "../api";
import type { NextStep } from "../api_types";
import { go, news, query, relationship } from "../state";
import { keep } from "../store";
import { t, timeText } from "../texts/texts";
import { Button, Card, Field, Form, Screen, attempt, isLinked, partnerName } from "../ui";

export function Begin({ done }: { done: () => unknown }) {
  const begin = async () => {
    const made = await attempt(api.POST("/v1/relationships", { body: {} }));
    if (made && made !== true) await keep("relationship", made.id);
    await done();
  };
  return (
    <Screen title={t.begin_title}>
      <Card label={t.begin_title}>
        <p>{t.begin_text}</p>
        <Button kind="main" act={begin}>{t.begin}</Button>
      </Card>
      <Accept done={done} />
    </Screen>
  );
}

export function Accept({ done }: { done: () => unknown }) {
  const given = query.value.get("code") ?? "";
  const [code, setCode] = useState(given);
  // A link may come while the app is open.
  useEffect(() => {
    if (given) setCode(given);
  }, [given]);
  const accept = async () => {
    const accepted = await attempt(api.POST("/v1/invites/accept", { body: { code } }));
    if (!accepted || accepted === true) return;
    await keep("relationship", accepted.relationship_id);
    await done();
    go("/us");
  };
  return (
    <Card title={t.accept_title}>
      <Form send={accept}>
        <Field label={t.code} value={code} change={setCode} hint={t.accept_text} />
        <Button act={accept} disabled={code.replace(/[\s-]/g, "").length < 12}>{t.accept}</Button>
      </Form>
    </Card>
  );
}

export function AcceptScreen({ done }: { done: () => unknown }) {
  return (
    <Screen title={t.have_code} back="/us">
      <Accept done={done} />
    </Screen>
  );
}

/** How far the two are with becoming linked, and what can be done about it. */
export function Linking({ step, done }: { step: NextStep["next"] | undefined; done: () => unknown }) {
  const [invite, setInvite] = useState<{ code: string; link: string; expires_at: string } | null>(null);
  const rid = relationship.value!.id;
  const state = relationship.value!.state;
  const path = { params: { path: { rid } } };
  if (isLinked()) return null;
  if (state === "ended") return <Card title={t.relationship_state.ended}><p>{t.ended}</p><Link_ /></Card>;

  const makeInvite = async () => {
    const made = await attempt(api.POST("/v1/relationships/{rid}/invites", path));
    if (made && made !== true) setInvite(made);
    await done();
  };
  const confirm = async () => {
    if (await attempt(api.POST("/v1/relationships/{rid}/confirm", path))) await done();
  };
  const stepBack = async () => {
    if (await attempt(api.POST("/v1/relationships/{rid}/leave", path))) {
      news.value += 1;
      await done();
    }
  };

  if (state === "confirming" && step === "confirm")
    return (
      <Card title={t.confirm_title(partnerName())}>
        <p>{t.confirm_text}</p>
        <Button kind="main" act={confirm}>{t.confirm}</Button>
        <Button kind="plain" act={stepBack}>{t.step_back}</Button>
      </Card>
    );
  if (state === "confirming")
    return (
      <Card title={t.wait_confirm}>
        <p>{t.accept_text}</p>
        <Button kind="plain" act={stepBack}>{t.step_back}</Button>
      </Card>
    );
  return (
    <Card title={t.invite_title}>
      <p>{t.invite_text}</p>
      {state === "inviting" && <p>{t.wait_accept}</p>}
      {invite && <Invitation code={invite.code} link={invite.link} until={invite.expires_at} />}
      <Button kind={invite ? "soft" : "main"} act={makeInvite}>{t.make_invite}</Button>
      <Link_ />
    </Card>
  );
}

function Link_() {
  return <Button kind="plain" act={() => go("/accept")}>{t.have_code}</Button>;
}

export function grouped(code: string): string {
  return code.replace(/(.{4})(?=.)/g, "$1-");
}

function Invitation({ code, link, until }: { code: string; link: string; until: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(link);
    setCopied(true);
  };
  return (
    <div class="invitation">
      <output class="code" data-code={code}>{grouped(code)}</output>
      <QrCode text={link} label={t.invite_qr(code)} />
      <p class="quiet">{t.invite_valid(timeText(until))}</p>
      <Button act={copy}>{copied ? t.copied : t.copy}</Button>
    </div>
  );
}

function QrCode({ text, label }: { text: string; label: string }) {
  const { data, size } = encode(text, { border: 2 });
  const path = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label}>
      <rect width={size} height={size} fill="#fff" />
      <path d={path} fill="#000" shape-rendering="crispEdges" />
    </svg>
  );
}
