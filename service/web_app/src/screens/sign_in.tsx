// Signing in by a mailed code.
import { useState } from "preact/hooks";
import { api } from "../api";
import type { SignedIn } from "../api_types";
import { takeSession } from "../session";
import { chooseLanguage, language, t } from "../texts/texts";
import { Button, Card, Field, Form, Screen, attempt } from "../ui";

/** What this device calls itself in the list of sessions: no more than its system. */
export function deviceName(): string {
  const system = /Android|iPhone|iPad|Mac|Windows|Linux/.exec(navigator.userAgent)?.[0] ?? "?";
  return t.device_name(system);
}

export function SignIn() {
  const [email, setEmail] = useState("");
  const [attemptId, setAttempt] = useState("");
  const [code, setCode] = useState("");

  const send = async () => {
    const sent = await attempt(api.POST("/v1/sign-in-codes", { body: { email } }));
    if (sent && sent !== true) setAttempt(sent.attempt_id);
  };
  const enter = async () => {
    const body = { attempt_id: attemptId, code, device_name: deviceName() };
    const signedIn = await attempt(api.POST("/v1/sessions", { body }));
    if (signedIn && signedIn !== true) await takeSession(signedIn as SignedIn);
  };

  return (
    <Screen title={t.app}>
      <p class="lead">{t.welcome}</p>
      <Card label={t.sign_in}>
        {!attemptId ? (
          <Form send={send}>
            <p>{t.welcome_text}</p>
            <Field label={t.email} type="email" complete="email" value={email} change={setEmail} />
            <Button kind="main" act={send} disabled={!email.includes("@")}>{t.send_code}</Button>
          </Form>
        ) : (
          <Form send={enter}>
            <p>{t.code_sent(email)}</p>
            <Field label={t.code} mode="numeric" complete="one-time-code" value={code} change={setCode} />
            <Button kind="main" act={enter} disabled={code.replace(/\D/g, "").length < 8}>{t.sign_in}</Button>
            <Button kind="plain" act={() => setAttempt("")}>{t.other_address}</Button>
          </Form>
        )}
      </Card>
      <p>
        <button type="button" class="plain" lang={language.value === "en" ? "de" : "en"} onClick={() => void chooseLanguage(language.value === "en" ? "de" : "en")}>
          {language.value === "en" ? "Deutsch" : "English"}
        </button>
      </p>
    </Screen>
  );
}
