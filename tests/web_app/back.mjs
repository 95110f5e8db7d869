// The phone's own way back stays within the app while there is a screen to go back to, and still nothing of the app is left
// in the history once somebody has left quickly. (Chromium takes Escape for Android's button: both are its close request.)

import { check, given, phone, quiet, signedIn, story } from "./browser.mjs";

await story(async () => {
  const { context, page, faults, close } = await phone({ hasTouch: true, isMobile: true });
  const devtools = await context.newCDPSession(page);
  const history = async () => (await devtools.send("Page.getNavigationHistory")).entries.map((one) => one.url);
  const tap = (name) => page.getByRole("link", { name, exact: true }).tap();
  const back = () => page.keyboard.press("Escape");
  const at = (name) => page.getByRole("heading", { name, level: 1 }).waitFor();

  await page.goto("data:text/html,before");
  await page.goto(signedIn(given.session));
  await at("Today");
  const entries = (await history()).length;
  await tap("Log");
  await tap("Me");
  await tap("Where I am signed in");
  await at("Where I am signed in");
  await back();
  await at("Me");
  await back(); // without a touch in between
  await at("Log");
  await back();
  await at("Today");
  await back();
  await quiet(page);
  check(await page.getByRole("heading", { name: "Today", level: 1 }).isVisible(), "where there is nothing before, nothing is taken over");
  check((await history()).length === entries, "no screen is an entry of the history");

  await tap("Between us");
  await page.getByRole("button", { name: /Leave quickly/ }).tap();
  await page.waitForURL("about:blank");
  const left = (await history()).filter((one) => one.startsWith(given.url));
  await page.goBack();
  const before = page.url();
  await close();
  return { faults, left, before };
});
