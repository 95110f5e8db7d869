// What happens, as it happens: while the app is looked at, each new event makes screens ask for what they show.
import { accessToken } from "./session";
import { news, relationship, session } from "./state";
import { pauseAfter } from "./queue_rules";

let listening: AbortController | undefined;
let failures = 0;

/** Listen to the relationship on the screen while somebody looks; called again whenever either changes. */
export function followEvents(): void {
  listening?.abort();
  listening = undefined;
  const rid = relationship.value?.id;
  if (!session.value || !rid || document.visibilityState === "hidden") return;
  listening = new AbortController();
  void listen(rid, listening.signal);
}

async function listen(rid: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await read(rid, signal);
      failures = 0;
    } catch {
      failures += 1;
    }
    await new Promise((done) => setTimeout(done, pauseAfter(failures + 1, Math.random())));
  }
}

/**
 * Until the stream ends, as it does with each access token.
 *
 * Not an EventSource: that sends no header, and would need a ticket (`…/live-tickets`) before each stream. Its own way of
 * connecting again would then only ever show a ticket that is used up. A fetch sends the token that there is, in one call,
 * and waits between two tries as the queue does.
 */
async function read(rid: string, signal: AbortSignal): Promise<void> {
  const token = await accessToken();
  if (!token) throw new Error("nobody is signed in");
  const headers = { Authorization: `Bearer ${token}` };
  const answer = await fetch(`/v1/relationships/${rid}/live`, { headers, signal, cache: "no-store", credentials: "omit" });
  if (!answer.ok || !answer.body) throw new Error(String(answer.status));
  const parts = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await parts.read(); !part.done; part = await parts.read()) {
    const lines = (text + part.value).split("\n");
    text = lines.pop()!; // a line may come in parts
    if (lines.some((line) => line.startsWith("data:"))) news.value += 1;
  }
}
