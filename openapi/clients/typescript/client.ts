/** A signed-in phone: the typed client, and what it throws where the service refuses. */

import createClient, { type Client } from "openapi-fetch";

import type { paths, Problem } from "./mutuality.js";

export type Mutuality = Client<paths>;

/** What the service refused: programs look at `problem.code`, people read the message. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(`${problem.detail} (${problem.code})`);
  }
}

/** A client of the service at that address; with an access token, one that is signed in. */
export function connect(baseUrl: string, accessToken?: string): Mutuality {
  return createClient<paths>({ baseUrl, headers: accessToken ? { Authorization: `Bearer ${accessToken}` } : {} });
}

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The body of an answer, or its problem thrown. */
export async function answered<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok) throw new Refused(error as Problem);
  return data as T;
}

/** Local time with the offset of the place, whose date is the day on which an entry counts. `toISOString` would lose it. */
export function localTime(at: Date = new Date()): string {
  const minutes = -at.getTimezoneOffset();
  const two = (part: number) => String(Math.trunc(Math.abs(part))).padStart(2, "0");
  const shifted = new Date(at.getTime() + minutes * 60_000).toISOString().slice(0, 19);
  return `${shifted}${minutes < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
}
