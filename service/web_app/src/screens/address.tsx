// Another mail address: a fresh code to the one there is, then a code to the new one.
import { useState } from "preact/hooks";
import { api, problemOf } from "../api";
import { me, notice } from "../state";
import { t } from "../texts/texts";
import { Button, Card, Field, Form, Screen, attempt } from "../ui";

type Step = "address" | "old_code" | "new_code";

export function AddressScreen({ done }: { done: () => unknown }) {
  const [step, setStep] = useState<Step>("address");
  const [email, setEmail] = useState("");
  const [code, setCode] = useState("");
  const now = me.value?.email ?? "–";

  const go = (to: Step) => {
    setCode("");
    setStep(to);
  };
  const send = async () => {
    const answer = await api.POST("/v1/me/email-codes", { body: { email } });
    if (answer.response.ok) return go("new_code");
    const problem = problemOf(answer);
    if (problem.code !== "step_up_required") notice.value = { problem, tone: "told" };
    else if (await attempt(api.POST("/v1/sessions/step-up-codes", { body: {} }))) go("old_code");
  };
  const proceed = async () => {
    if (step === "old_code") {
      if (await attempt(api.POST("/v1/sessions/step-up", { body: { code } }))) await send();
    } else if (await attempt(api.PUT("/v1/me/email", { body: { code } }))) {
      go("address");
      setEmail("");
      await done();
      notice.value = { text: t.saved, tone: "good" };
    }
  };

  return (
    <Screen title={t.email} back="/me">
      <Card label={t.email}>
        <p>{t.address_now(now)}</p>
        {step === "address" ? (
          <Form send={send}>
            <Field label={t.address_new} type="email" complete="email" value={email} change={setEmail} hint={t.address_means} />
            <Button kind="main" act={send} disabled={!email.includes("@")}>{t.send_code}</Button>
          </Form>
        ) : (
          <Form send={proceed}>
            <p>{step === "old_code" ? t.address_first(now) : t.code_sent(email)}</p>
            <Field label={t.code} mode="numeric" complete="one-time-code" value={code} change={setCode} />
            <Button kind="main" act={proceed} disabled={code.replace(/\D/g, "").length < 8}>{step === "old_code" ? t.go_on : t.address_take}</Button>
            <Button kind="plain" act={() => go("address")}>{t.cancel}</Button>
          </Form>
        )}
      </Card>
    </Screen>
  );
}
