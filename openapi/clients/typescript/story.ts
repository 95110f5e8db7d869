/**
 * The whole story of two people, told to a running service through the generated types.
 *
 *     node built/story.js http://127.0.0.1:8000 console.txt
 *
 * The second argument is the file that the console of `make serve` goes to: the mailed codes are read there.
 */

import { strict as assert } from "node:assert";
import { createECDH, randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";

import { answered, connect, localTime, type Mutuality, Refused } from "./client.js";
import type { CheckInEntry, DeviceRegistration, Event, Measure, TrendPoint } from "./mutuality.js";

const [baseUrl, mails] = process.argv.slice(2);
if (!baseUrl || !mails) throw new Error("usage: node built/story.js http://127.0.0.1:8000 console.txt");

const browser = createECDH("prime256v1");
const BROWSER_KEYS = { p256dh: browser.generateKeys("base64url"), auth: randomBytes(16).toString("base64url") };

/** The code in the last mail to that address that is for this. */
async function mailedCode(address: string, purpose: string): Promise<string> {
  for (let tries = 0; tries < 200; tries += 1) {
    const mail = (await readFile(mails!, "utf8"))
      .split("--- mail to ")
      .findLast((one) => one.startsWith(`${address} `) && one.includes(`Your code to ${purpose}`));
    const code = mail?.match(/\d{4} \d{4}/)?.[0];
    if (code) return code;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no mail came to ${address}`);
}

async function signIn(address: string): Promise<Mutuality> {
  const nobody = connect(baseUrl!);
  const attempt = await answered(nobody.POST("/v1/sign-in-codes", { body: { email: address } }));
  const body = { ...attempt, code: await mailedCode(address, "sign in"), device_name: "a phone in TypeScript" };
  const first = await answered(nobody.POST("/v1/sessions", { body }));
  const next = await answered(
    nobody.POST("/v1/sessions/refresh", { body: { refresh_token: first.refresh_token } }),
  );
  assert.equal(next.member_id, first.member_id);
  return connect(baseUrl!, next.access_token);
}

async function consent(phone: Mutuality): Promise<void> {
  const me = await answered(phone.GET("/v1/me"));
  assert.equal(me.consent.accepted, null);
  await answered(phone.PUT("/v1/me/consent", { body: { version: me.consent.version, adult: true } }));
  await answered(phone.PATCH("/v1/me", { body: { name: "Robin", time_zone: "Europe/Berlin" } }));
}

/** Two become linked: begin, invite, accept, confirm. */
async function link(one: Mutuality, two: Mutuality): Promise<string> {
  const made = await answered(one.POST("/v1/relationships", { body: { id: randomUUID() } }));
  assert.equal(made.partner, null);
  const rid = made.id;
  const invite = await answered(one.POST("/v1/relationships/{rid}/invites", { params: { path: { rid } } }));
  const accepted = await answered(two.POST("/v1/invites/accept", { body: { code: invite.code } }));
  assert.equal(accepted.relationship_id, rid);
  const confirmed = await answered(one.POST("/v1/relationships/{rid}/confirm", { params: { path: { rid } } }));
  assert.equal(confirmed.state, "active");
  assert.equal(confirmed.partner?.name, "Robin");
  return rid;
}

async function registerDevices(phone: Mutuality): Promise<void> {
  const web = await registered(phone, {
    platform: "web",
    provider: "webpush",
    subscription: { endpoint: "https://updates.push.services.mozilla.com/wpush/v2/one", keys: BROWSER_KEYS },
  });
  const token = randomUUID().replaceAll("-", "").repeat(2);
  const apple = await registered(phone, { platform: "ios", provider: "apns", token, environment: "sandbox" });
  assert.deepEqual([web.platform, apple.environment], ["web", "sandbox"]);
  assert.equal((await answered(phone.GET("/v1/me/devices"))).devices.length, 2);
}

function registered(phone: Mutuality, body: DeviceRegistration) {
  const path = { device_id: randomUUID() };
  return answered(phone.PUT("/v1/me/devices/{device_id}", { params: { path }, body }));
}

/** One records something of each kind; the other answers. */
async function record(one: Mutuality, two: Mutuality, rid: string): Promise<void> {
  const at = () => ({ path: { rid, id: randomUUID() } });
  const entry: CheckInEntry = {
    occurred_at: localTime(),
    domain: "home",
    initiated_by: "me",
    felt: { heard: 6, room_for_me: 5 },
    words: { change: "More time before it is decided." },
    audience: "shared",
  };
  const params = at();
  const told = await answered(one.PUT("/v1/relationships/{rid}/check-ins/{id}", { params, body: entry }));
  const again = await answered(one.PUT("/v1/relationships/{rid}/check-ins/{id}", { params, body: entry }));
  assert.deepEqual(again, told);
  assert.equal(told.event.day, entry.occurred_at.slice(0, 10));
  assert.equal(told.event.check_in?.felt?.["heard"], 6);

  const request = await answered(
    one.PUT("/v1/relationships/{rid}/requests/{id}", {
      params: at(),
      body: { occurred_at: localTime(), domain: "time", text: "An evening for the two of us?" },
    }),
  );
  await answered(
    two.PUT("/v1/relationships/{rid}/decisions/{id}", {
      params: at(),
      body: { occurred_at: localTime(), request_id: request.event.id, outcome: "yes" },
    }),
  );
  const decided = await answered(
    one.PUT("/v1/relationships/{rid}/decisions/{id}", {
      params: at(),
      body: {
        occurred_at: localTime(),
        domain: "money",
        size: "big",
        decided_by: "both",
        my_input: "counted",
        audience: "shared",
      },
    }),
  );
  await answered(
    two.PUT("/v1/relationships/{rid}/decisions/{id}", {
      params: at(),
      body: {
        occurred_at: localTime(),
        domain: "money",
        decided_by: "partner",
        about: decided.event.id,
        audience: "shared",
      },
    }),
  );
  const opening = await answered(
    two.PUT("/v1/relationships/{rid}/openings/{id}", {
      params: at(),
      body: { occurred_at: localTime(), domain: "plans", text: "Where to in summer?" },
    }),
  );
  await answered(
    two.PUT("/v1/relationships/{rid}/retractions/{id}", {
      params: at(),
      body: { occurred_at: localTime(), event_id: opening.event.id },
    }),
  );
}

/** The offline queue up, the news down; a bad entry blocks no other. */
async function sync(phone: Mutuality, rid: string): Promise<void> {
  const answer = await answered(
    phone.POST("/v1/relationships/{rid}/sync", {
      params: { path: { rid } },
      body: {
        entries: [
          { id: randomUUID(), kind: "check_in", check_in: { occurred_at: localTime(), felt: { close: 7 } } },
          { id: randomUUID(), kind: "retraction", retraction: { occurred_at: localTime(), event_id: randomUUID() } },
        ],
        shared_after: 0,
        private_after: 0,
      },
    }),
  );
  assert.deepEqual(answer.results.map((one) => one.status), ["recorded", "refused"]);
  assert.equal(answer.results[1]?.problem?.code, "unknown_event");
  const kinds = answer.shared.events.map(titleOf);
  assert.ok(kinds.includes("a decision") && kinds.includes("a request"));
  const unknown = { ...answer.shared.events[0]!, kind: "of_tomorrow" } as unknown as Event;
  assert.equal(titleOf(unknown), null);
}

/** What a screen says of an event; null for a kind that came after this app. */
function titleOf(event: Event): string | null {
  switch (event.kind) {
    case "check_in":
      return "a check-in";
    case "request":
      return "a request";
    case "decision":
      return "a decision";
    case "opening":
      return "something to decide";
    case "retraction":
      return "taken back";
    case "opened":
    case "ended":
    case "erased":
      return event.kind;
    default:
      return null;
  }
}

/** Every figure that a screen can show. */
async function read(phone: Mutuality, rid: string): Promise<void> {
  const path = { rid };
  const { data, response } = await phone.GET("/v1/relationships/{rid}/balances", {
    params: { path, query: { window: 28 } },
  });
  assert.equal(data?.asks.counts.me, 1);
  assert.equal(data?.asks.reading, "too_few");
  const held = { "If-None-Match": response.headers.get("ETag")! };
  const unchanged = await phone.GET("/v1/relationships/{rid}/balances", {
    params: { path, query: { window: 28 }, header: held },
  });
  assert.equal(unchanged.response.status, 304);

  const measures: Measure[] = ["asks", "initiates", "decides", "counted", "felt"];
  for (const measure of measures) {
    const more = measure === "felt" ? { item: "heard" as const } : {};
    const when = measure === "counted" ? { when: "both_decided" as const } : {};
    const query = { measure, window: 28, step: 7, ...more, ...when };
    const trend = await answered(phone.GET("/v1/relationships/{rid}/trends", { params: { path, query } }));
    assert.equal(trend.measure, measure);
    assert.ok(trend.mine.every((point) => countsOf(point).every(Number.isInteger)));
  }
  for (const query of [{ measure: "decides" as const }, { measure: "felt" as const, item: "heard" as const }]) {
    const seen = await answered(phone.GET("/v1/relationships/{rid}/perspectives", { params: { path, query } }));
    assert.equal(seen.table.length, seen.values.length);
  }
  const roles = await answered(phone.GET("/v1/relationships/{rid}/roles", { params: { path } }));
  assert.equal(roles.mine.table.length, 4);
  const home = await answered(phone.GET("/v1/relationships/{rid}/home", { params: { path } }));
  assert.ok(home.figures.every((figure) => figure.mine === null || figure.mine.line.length === 13));
  const voice = await answered(phone.GET("/v1/relationships/{rid}/voice", { params: { path } }));
  assert.equal(voice.both.n, 0);
  const month = localTime().slice(0, 7);
  const review = await answered(
    phone.GET("/v1/relationships/{rid}/reviews/{month}", { params: { path: { rid, month } } }),
  );
  assert.ok(review.sentences.every((sentence) => sentence.text));
  const quarter = "2024-Q1";
  await answered(phone.GET("/v1/relationships/{rid}/changes", { params: { path, query: { quarter } } }));
  const requests = await answered(
    phone.GET("/v1/relationships/{rid}/requests", { params: { path, query: { state: "recent" } } }),
  );
  assert.deepEqual(requests.requests.map((one) => one.state), ["decided"]);
  const withdrawn = await answered(
    phone.GET("/v1/relationships/{rid}/openings", { params: { path, query: { state: "withdrawn" } } }),
  );
  assert.equal(withdrawn.openings.length, 1);
  const page = await answered(
    phone.GET("/v1/relationships/{rid}/events", { params: { path, query: { stream: "shared", proof: true } } }),
  );
  assert.equal(page.head.position, page.events.length);
  assert.equal(typeof page.events[0]?.proof?.body, "string");
}

/** The numbers in a point: of a split by who, of what was felt by step, else none. */
function countsOf(point: TrendPoint): number[] {
  return Object.values((point.counts ?? {}) as Record<string, number> | number[]);
}

/** When to be asked, and what was. */
async function beAsked(phone: Mutuality, rid: string): Promise<void> {
  const asIs = await answered(phone.GET("/v1/me/schedule"));
  const schedule = await answered(
    phone.PUT("/v1/me/schedule", {
      body: {
        ...asIs,
        check_ins: [
          {
            id: randomUUID(),
            relationship_id: rid,
            weekdays: ["sun", "wed"],
            from: "20:00",
            to: "22:00",
            questions: ["close", "my_week"],
          },
        ],
      },
    }),
  );
  assert.equal(schedule.check_ins?.length, 1);
  assert.deepEqual((await answered(phone.GET("/v1/me/prompts"))).prompts, []);
  const questions = await answered(phone.GET("/v1/questions", { params: { query: { language: "de" } } }));
  assert.ok(questions.questions.length > 10);
  const params = { path: { pause_id: randomUUID() } };
  await answered(phone.PUT("/v1/me/pauses/{pause_id}", { params, body: { from: "2026-08-01" } }));
  assert.equal((await answered(phone.GET("/v1/me/pauses"))).pauses[0]?.to, null);
  await answered(phone.DELETE("/v1/me/pauses/{pause_id}", { params }));
}

/** Nobody exports by a borrowed phone alone: a fresh code first. */
async function takeAlong(phone: Mutuality, address: string): Promise<void> {
  await assert.rejects(
    answered(phone.GET("/v1/me/export")),
    (error) => error instanceof Refused && error.problem.code === "step_up_required",
  );
  await answered(phone.POST("/v1/sessions/step-up-codes", { body: {} }));
  const code = await mailedCode(address, "export or erase");
  await answered(phone.POST("/v1/sessions/step-up", { body: { code } }));
  const mine = await answered(phone.GET("/v1/me/export", { params: { query: { private: true } } }));
  assert.ok(typeof mine === "object"); // a text only where `format=csv` asks for an archive
  assert.equal(mine.relationships[0]?.private?.events.length, 1);
}

async function leave(one: Mutuality, two: Mutuality, rid: string): Promise<void> {
  await answered(one.POST("/v1/relationships/{rid}/leave", { params: { path: { rid } } }));
  const seen = await answered(two.GET("/v1/relationships/{rid}", { params: { path: { rid } } }));
  assert.equal(seen.state, "ended");
  const page = await answered(
    two.GET("/v1/relationships/{rid}/events", { params: { path: { rid }, query: { stream: "shared" } } }),
  );
  assert.deepEqual([page.events.at(-1)?.kind, page.events.at(-1)?.by], ["ended", null]);
}

const run = randomUUID().slice(0, 8);
const addresses = [`one-${run}@example.org`, `two-${run}@example.org`] as const;
const [one, two] = [await signIn(addresses[0]), await signIn(addresses[1])];
await Promise.all([consent(one), consent(two)]);
const rid = await link(one, two);
assert.equal((await answered(one.GET("/v1/home"))).next, "look");
await registerDevices(one);
await record(one, two, rid);
await sync(one, rid);
await read(one, rid);
await beAsked(one, rid);
await takeAlong(one, addresses[0]);
await leave(one, two, rid);
assert.equal((await answered(one.GET("/v1/sessions"))).sessions.length, 1);
console.log("The whole story was told.");
