// What one consents to, as the service says it: the version that is agreed to is the one that was read.
import { useState } from "preact/hooks";
import { api } from "../api";
import type { ConsentText } from "../api_types";
import { me } from "../state";
import { language, t } from "../texts/texts";
import { Awaited, Button, Card, Check, Screen, attempt, useAnswer } from "../ui";

export function useConsentText(): ReturnType<typeof useAnswer<ConsentText>> {
  const spoken = language.value;
  return useAnswer(`consent ${spoken}`, (client) => client.GET("/v1/consent", { params: { query: { language: spoken } } }));
}

/** The text in paragraphs, marked with its language: the service may not have it in the app's. */
export function ConsentWords({ of }: { of: ConsentText }) {
  return (
    <blockquote lang={of.language}>
      {of.text.trim().split(/\n{2,}/).map((one) => <p key={one}>{one}</p>)}
    </blockquote>
  );
}

export function Consent({ done }: { done: () => unknown }) {
  const [agreed, agree] = useState(false);
  const text = useConsentText();
  const give = async (version: string) => {
    const given = await attempt(api.PUT("/v1/me/consent", { body: { version, adult: true } }));
    if (!given) return;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (me.value?.time_zone === "UTC" && zone) await api.PATCH("/v1/me", { body: { time_zone: zone } });
    await done();
  };
  return (
    <Screen title={t.consent_title}>
      <Card label={t.consent}>
        <Awaited of={text}>
          {(data) => (
            <>
              <ConsentWords of={data} />
              <p class="quiet">{t.consent_version(data.version)}</p>
              <Check label={t.consent_adult} on={agreed} turn={agree} />
              <Button kind="main" act={() => give(data.version)} disabled={!agreed}>{t.consent_give}</Button>
            </>
          )}
        </Awaited>
      </Card>
    </Screen>
  );
}
