// A real browser for the stories: Chromium with nothing in it, driven by playwright-core. What a story says on standard
// output, a line of JSON, is what the test looks at.

import { createRequire } from "node:module";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../service/web_app/package.json", import.meta.url));
const { chromium } = require("playwright-core");
export const AXE = require.resolve("axe-core/axe.min.js");

export const given = JSON.parse(process.env.STORY ?? "{}");
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
  // The same page is the same pixels.
  "--font-render-hinting=none", "--disable-partial-raster", "--disable-skia-runtime-opts", "--disable-lcd-text", "--force-color-profile=srgb",
];
export const PHONE = { width: 390, height: 844 };
export const DESK = { width: 1280, height: 900 };

/** A phone of its own: a new profile, and with it its own storage, service worker and queue. */
export async function phone(options = {}) {
  const folder = mkdtempSync(join(tmpdir(), "mutuality-browser-"));
  const context = await chromium.launchPersistentContext(folder, {
    executablePath: given.chromium ?? "/usr/bin/chromium", headless: true, viewport: PHONE,
    locale: "en-GB", timezoneId: "Europe/Berlin", reducedMotion: "reduce", ...options, args: [...ARGUMENTS, ...(options.args ?? [])],
  });
  context.setDefaultTimeout(8000);
  const faults = [];
  const watch = (page) => {
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => message.type() === "error" && !/Failed to load resource|ERR_/.test(message.text()) && faults.push(message.text()));
  };
  context.pages().forEach(watch);
  context.on("page", watch);
  const elsewhere = [];
  context.on("request", (request) => {
    if (!request.url().startsWith(given.url) && !/^(data|blob|about|chrome)/.test(request.url())) elsewhere.push(request.url());
  });
  // What comes as it happens stays open for as long as somebody looks.
  const asked = new Set();
  context.on("request", (request) => !request.url().endsWith("/live") && [asked, underway].forEach((all) => all.add(request)));
  for (const end of ["requestfinished", "requestfailed"]) context.on(end, (request) => underway.delete(request));
  const page = context.pages()[0] ?? (await context.newPage());
  return {
    context, page, faults, elsewhere,
    async close() {
      await context.close();
      for (const request of asked) underway.delete(request);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The address that opens the app as somebody who has signed in already. */
export function signedIn(session) {
  return `${given.url}/#demo=${Buffer.from(JSON.stringify(session)).toString("base64url")}`;
}

const underway = new Set();
const QUIET_MILLISECONDS = 60;

/** Return once no call has been under way for a moment: what was asked for is on the screen. A page that still computes what came says nothing meanwhile, however long that takes. */
export async function quiet(page) {
  for (let calm = 0; calm < 3; calm = underway.size ? 0 : calm + 1) {
    await page.waitForTimeout(QUIET_MILLISECONDS / 3);
    await page.evaluate(() => null);
  }
}

/** Go to a screen as the app itself does it. */
export async function show(page, route) {
  await page.evaluate((to) => { location.hash = to; }, route);
}

/** Go to a screen, and return once all that it asks for stands on it: one answer may come long after another. */
export async function showAll(page, route) {
  await show(page, route);
  await quiet(page);
  await page.waitForFunction(() => !document.body.innerText.includes("One moment …"));
  await quiet(page);
}

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** Run a story: what it returns goes to standard output, what it throws to standard error. */
export async function story(tell) {
  try {
    const told = JSON.stringify((await tell()) ?? {});
    process.stdout.write(`${told}\n`, () => process.exit(0)); // once all of it is out
  } catch (error) {
    console.error(error);
    process.exit(1);
  }
}

let answers;

/** Ask the test for something that only it knows. */
export async function ask(what, ...values) {
  answers ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log(JSON.stringify({ ask: what, with: values }));
  return JSON.parse((await answers.next()).value);
}
