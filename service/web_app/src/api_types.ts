// What the API gives and takes, by operation: the names of its schemas stand nowhere in the app but here.
import type { operations } from "./api_schema";

type Operation = keyof operations;
type Content<T> = T extends { content: { "application/json": infer Body } } ? Body : never;
type Given<O extends Operation> = operations[O] extends { responses: { 200: infer Answer } } ? Content<Answer> : never;
type Made<O extends Operation> = operations[O] extends { responses: { 201: infer Answer } } ? Content<Answer> : never;
type Taken<O extends Operation> = operations[O] extends { requestBody: infer Body } ? Content<Body> : never;

export type SignedIn = Made<"signIn">;
export type ConsentText = Given<"getConsentText">;
export type Me = Given<"getMe">;
export type NextStep = Given<"getNextStep">;
export type Relationship = Given<"getRelationship">;
export type Home = Given<"getHome">;
export type Figure = Home["figures"][number];
export type Cell = Figure["mine"];
export type FeltPair = Home["felt"][number];
export type Balances = Given<"getBalances">;
export type Telling = Balances["mine"];
export type Split = Balances["asks"];
export type WhoCounts = Split["counts"];
export type Answers = Telling["counted"]["when_other_decided"];
export type Felt = Telling["felt"][string];
export type Trend = Given<"getTrend">;
export type Point = Trend["mine"][number];
export type Perspectives = Given<"getPerspectives">;
export type Roles = Given<"getRoles">;
export type Changes = Given<"getChanges">;
export type Voice = Given<"getVoice">;
export type Review = Given<"getReview">;
export type Event = Given<"listEvents">["events"][number];
export type RequestStanding = Given<"listRequests">["requests"][number];
export type OpeningStanding = Given<"listOpenings">["openings"][number];
export type Prompt = Given<"listPrompts">["prompts"][number];
export type Questions = Given<"listQuestions">;
export type Schedule = Given<"getSchedule">;
export type ScheduledCheckIn = NonNullable<Schedule["check_ins"]>[number];
export type Pause = Given<"getPause">;
export type Sessions = Given<"listSessions">;
export type Devices = Given<"listDevices">;
export type Help = Given<"getHelp">;

export type CheckIn = Taken<"recordCheckIn">;
export type Request = Taken<"recordRequest">;
export type Opening = Taken<"recordOpening">;
export type Decision = Taken<"recordDecision">;
export type Retraction = Taken<"recordRetraction">;
export type Synced = Given<"sync">;
export type SyncResult = Synced["results"][number];

export type Domain = Request["domain"];
export type Who = keyof WhoCounts;
export type FeltItem = NonNullable<Perspectives["item"]>;
export type QuestionId = Questions["questions"][number]["question"];
export type Concern = "criticised" | "mocked" | "overruled" | "kept_from_friends" | "jealousy" | "smothered" | "pressured"
  | "afraid" | "hurt" | "to_keep_peace";
export type Measure = Trend["measure"];

/** What is recorded, by its kind. */
export interface Bodies {
  check_in: CheckIn;
  request: Request;
  opening: Opening;
  decision: Decision;
  retraction: Retraction;
}
export type Kind = keyof Bodies;

/** What the service answers before it has read which operation is meant, and which no operation therefore names. */
type EarlyCode = "head_too_large" | "malformed_request";
/** All codes that the service knows; one that is newer than the app may send others. */
export type ProblemCode = operations["getMe"]["responses"][500]["content"]["application/problem+json"]["code"] | EarlyCode;
export interface Problem {
  status: number;
  code: string;
}

export const DOMAINS: readonly Domain[] = [
  "home", "money", "time", "intimacy", "family", "friends", "parenting", "plans", "chores", "other",
];
export const FELT_ITEMS: readonly FeltItem[] = [
  "close", "heard", "valued", "room_for_me", "free_to_say_no", "fair", "enjoyed", "satisfied", "conflict",
];
export const WHO: readonly Who[] = ["me", "partner", "both", "neither"];
export const CONCERNS: readonly Concern[] = [
  "criticised", "mocked", "overruled", "kept_from_friends", "jealousy", "smothered", "pressured", "afraid", "hurt",
  "to_keep_peace",
];
