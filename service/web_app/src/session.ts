// Who is signed in here. Tokens are refreshed by one tab at a time, for all: a refresh token works once.
import type { SignedIn } from "./api_types";
import { forget, forgetSession, keep, queued, recall, unqueue, wipe } from "./store";
import { session, tell } from "./state";

const EARLY = 30_000;
const LOCK = "mutuality-session";

export async function openSession(): Promise<void> {
  session.value = (await recall("session")) ?? null;
}

/** Keep a session. What another member has left in the queue is not theirs to send, nor to see. */
export async function takeSession(signedIn: SignedIn): Promise<void> {
  const strangers = (await queued()).filter((one) => one.member !== signedIn.member_id);
  await unqueue(strangers);
  await keep("session", signedIn);
  session.value = signedIn;
  tell("session");
}

/** Whether there is a token to call with; renewed if it ends soon, or is the one that was just refused. */
export async function accessToken(refused?: string): Promise<string | null> {
  const now = session.value;
  if (!now) return null;
  if (isFresh(now) && now.access_token !== refused) return now.access_token;
  return navigator.locks.request(LOCK, async () => {
    // Another tab may have been here first.
    const kept = (await recall("session")) ?? null;
    session.value = kept;
    if (!kept || (isFresh(kept) && kept.access_token !== refused)) return kept?.access_token ?? null;
    return refresh(kept);
  });
}

function isFresh(one: SignedIn): boolean {
  return Date.parse(one.access_expires_at) - Date.now() > EARLY;
}

async function refresh(old: SignedIn): Promise<string | null> {
  const answer = await fetch("/v1/sessions/refresh", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ refresh_token: old.refresh_token }),
    cache: "no-store",
    credentials: "omit",
  });
  if (answer.status === 401) {
    await sessionEnded();
    return null;
  }
  if (!answer.ok) throw new TypeError(`refresh: ${answer.status}`);
  const renewed = (await answer.json()) as SignedIn;
  await keep("session", renewed);
  session.value = renewed;
  return renewed.access_token;
}

/** The service has ended it: here, from another device, or because a token was used twice. */
async function sessionEnded(): Promise<void> {
  await forgetSession();
  session.value = null;
  tell("session");
}

/** Nothing of the member stays on this phone, whether or not the service hears of it now. */
export async function signOut(): Promise<void> {
  await wipe();
  session.value = null;
  tell("signed-out");
}

export async function forgetRelationship(): Promise<void> {
  await forget("relationship");
}
