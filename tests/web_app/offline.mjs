// The network is cut, in the middle of a call too: what was recorded stays, in order, and goes out once.

import { ask, check, given, phone, show, signedIn, story } from "./browser.mjs";

await story(async () => {
  const { context, page, faults, close } = await phone();
  await page.goto(signedIn(given.session));
  await page.getByRole("heading", { name: "Today" }).waitFor();
  await page.evaluate(() => navigator.serviceWorker.ready);

  // The answer to the first call is lost after the service has recorded: the next try is a replay.
  let lost = 0;
  await page.route("**/sync", async (route) => {
    if (lost++) return route.continue();
    await route.fetch();
    await route.abort();
  });
  await record(page, "one");
  await page.getByText("1 entry waits to be sent.").waitFor();
  await page.getByRole("button", { name: "Send now" }).click();
  await page.getByText("1 entry waits to be sent.").waitFor({ state: "hidden" });
  check(lost >= 2, `the call was made again: ${lost}`);
  await page.unroute("**/sync");

  // No network at all: the app opens, shows what it knew, and takes what is recorded.
  await context.setOffline(true);
  await page.reload();
  await page.getByRole("heading", { name: "Today" }).waitFor();
  for (const text of ["two", "three", "four"]) await record(page, text);
  await page.getByText("3 entries wait to be sent.").waitFor();
  await page.getByText("No connection.").waitFor();
  await page.getByText("This is how it was on").waitFor();
  await show(page, "/pictures/more"); // a screen that was never looked at: its code is there
  await page.getByRole("heading", { name: "Pictures" }).waitFor();

  // Another version of the app comes: what waits survives it.
  const second = await context.newPage();
  await second.goto(`${given.url}/#/today`);
  await second.getByText("3 entries wait to be sent.").waitFor();
  const atOnce = await ask("recorded");
  check(atOnce === 1, `nothing got through: ${atOnce}`);

  // Both tabs see the network come back at the same moment.
  for (const one of [page, second]) await one.evaluate(listen);
  await context.setOffline(false);
  await second.getByText("3 entries wait to be sent.").waitFor({ state: "hidden" });
  await show(page, "/today");
  await page.getByText("3 entries wait to be sent.").waitFor({ state: "hidden" });
  await second.waitForTimeout(300);
  const calls = (await Promise.all([page, second].map((one) => one.evaluate(() => globalThis.sent)))).flat();

  // What the service does not take is told in words, and stays until somebody says what is to become of it.
  await second.close();
  await ask("withdraw");
  await record(page, "five");
  await page.getByLabel("I am an adult, and I agree.").check();
  await page.getByRole("button", { name: "Agree and go on" }).click();
  await page.getByText("The service did not take it:").waitFor();
  const why = await page.locator(".card", { hasText: "Not recorded" }).locator("p").innerText();
  await page.getByRole("button", { name: "Send again" }).click();
  await page.getByText("Not recorded").waitFor({ state: "hidden" });

  // Two entries under one id, which chance does not make: the second one is told so in words, and can be put aside.
  await page.evaluate(() => { crypto.randomUUID = () => "0f6c3b0e-6f5b-4b7e-9c55-2f0f7c1d0001"; });
  await record(page, "six");
  await page.getByText("Recorded.").waitFor();
  await fill(page, "another six");
  const conflict = await page.locator(".card", { hasText: "Not recorded" }).locator("p").innerText();
  await page.getByRole("button", { name: "Discard" }).click();
  await page.getByText("Not recorded").waitFor({ state: "hidden" });
  await close();
  return { faults, calls, why, conflict };
});

/** Note how many entries each call takes along: a call that is made with a Request shows its body to nobody else. */
function listen() {
  const real = globalThis.fetch;
  globalThis.sent = [];
  globalThis.fetch = async (request, options) => {
    if (request.url?.endsWith("/sync")) globalThis.sent.push((await request.clone().json()).entries.length);
    return real(request, options);
  };
}

async function record(page, text) {
  const card = await fill(page, text);
  await card.getByRole("button", { name: "Record" }).waitFor({ state: "hidden" });
}

async function fill(page, text) {
  const card = page.getByRole("region", { name: "How was it for you?" });
  await card.locator(".seven").first().getByLabel("5 of 7").check();
  await card.getByLabel("A few words").fill(text);
  await card.getByRole("button", { name: "Record" }).click();
  return card;
}
