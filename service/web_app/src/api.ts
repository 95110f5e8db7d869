// Calls to the service. Every answer that is read is kept on the phone, and shown where the service is out of reach.
import createClient from "openapi-fetch";
import type { paths } from "./api_schema";
import type { Problem } from "./api_types";
import { accessToken } from "./session";
import { reached } from "./state";
import { keepAnswer, keptAnswer } from "./store";

const KEPT_AT = "x-kept-at";
// What is only looked at once, or is none of the phone's memory's business.
const NEVER_KEPT = /^\/v1\/me\/export|\/live$/;

/** The call itself, with the session's token; a token that is refused is renewed once. */
async function authorised(request: Request): Promise<Response> {
  const token = await accessToken();
  const answer = await send(request.clone(), token);
  if (answer.status !== 401 || !token) return answer;
  const renewed = await accessToken(token);
  return renewed ? send(request, renewed) : answer;
}

async function send(request: Request, token: string | null): Promise<Response> {
  if (token) request.headers.set("Authorization", `Bearer ${token}`);
  // no-store: what is kept stands in one place, which signing out empties.
  return fetch(request, { cache: "no-store", credentials: "omit" });
}

async function live(request: Request): Promise<Response> {
  const url = request.url.slice(location.origin.length);
  const kept = request.method === "GET" && !NEVER_KEPT.test(url) ? await keptAnswer(url) : undefined;
  if (kept?.etag) request.headers.set("If-None-Match", kept.etag);
  let answer: Response;
  try {
    answer = await authorised(request);
    reached.value = true;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    reached.value = false;
    return kept ? asAnswer(kept) : unreached();
  }
  if (answer.status === 304 && kept) return asAnswer({ ...kept, kept_at: 0 });
  if (kept && answer.status >= 500) return asAnswer(kept);
  if (request.method === "GET" && answer.ok && !NEVER_KEPT.test(url)) {
    const body = await answer.clone().text();
    await keepAnswer(url, { body, etag: answer.headers.get("ETag"), kept_at: Date.now() });
  }
  return answer;
}

async function fromMemory(request: Request): Promise<Response> {
  const kept = await keptAnswer(request.url.slice(location.origin.length));
  return kept ? asAnswer(kept) : unreached();
}

function asAnswer(kept: { body: string; kept_at: number }): Response {
  return new Response(kept.body, { headers: { "Content-Type": "application/json", [KEPT_AT]: String(kept.kept_at) } });
}

/** Status 0 cannot be made; 599 is what nobody sends. */
const UNREACHED = 599;

function unreached(): Response {
  return new Response(JSON.stringify({ status: 0, code: "unreached" }), { status: UNREACHED });
}

const base = { baseUrl: location.origin };
export const api = createClient<paths>({ ...base, fetch: live });
export const memory = createClient<paths>({ ...base, fetch: fromMemory });
export type Api = typeof api;

export interface Answered<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What went wrong, by its code; status 0 where nobody was reached. */
export function problemOf(answer: Answered<unknown>): Problem {
  const said = answer.error as Partial<Problem> | undefined;
  const status = answer.response.status === UNREACHED ? 0 : answer.response.status;
  return { status, code: said?.code ?? "unknown" };
}

/** When the answer was given, if it is a kept one. */
export function keptAt(answer: Answered<unknown>): number | null {
  return Number(answer.response.headers.get(KEPT_AT) ?? 0) || null;
}
