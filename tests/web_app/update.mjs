// A new version of the app comes while entries wait in the queue: it opens when it is wanted, and the queue is sent once.

import { ask, check, given, phone, signedIn, story } from "./browser.mjs";

await story(async () => {
  const { page, faults, close } = await phone();
  const title = (text) => page.getByRole("heading", { name: text, level: 1 }).waitFor();
  await page.goto(signedIn(given.session));
  await title("Today");
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload();
  await title("Today");

  // The service takes no entries just now, and is replaced by one with a newer app.
  await page.route("**/sync", (route) => route.abort());
  for (const text of given.notes) await record(page, text);
  await page.getByText("2 entries wait to be sent.").waitFor();
  await ask("update");

  // The old version goes on until the member opens the new one.
  await page.reload();
  await title("Today");
  await page.getByText("A new version of the app is ready.").waitFor();
  await page.getByText("2 entries wait to be sent.").waitFor();
  await page.getByRole("button", { name: "Open it" }).click();
  await title(given.title);
  await page.getByText("2 entries wait to be sent.").waitFor();
  const caches_ = await page.evaluate(() => caches.keys());
  check(caches_.length === 1, `of the old version nothing is kept: ${caches_}`);

  await page.unroute("**/sync");
  await page.getByRole("button", { name: "Send now" }).click();
  await page.getByText("2 entries wait to be sent.").waitFor({ state: "hidden" });
  await close();
  return { faults };
});

async function record(page, text) {
  const card = page.getByRole("region", { name: "How was it for you?" });
  await card.locator(".seven").first().getByLabel("5 of 7").check();
  await card.getByLabel("A few words").fill(text);
  await card.getByRole("button", { name: "Record" }).click();
  await card.getByRole("button", { name: "Record" }).waitFor({ state: "hidden" });
}
