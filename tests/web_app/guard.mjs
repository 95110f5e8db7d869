// A phone that may be looked at: leaving quickly, the lock, tokens that are renewed once, taking all along, being erased.

import { readFileSync } from "node:fs";
import { ask, check, given, phone, quiet, show, signedIn, story } from "./browser.mjs";

await story(async () => {
  const stranger = new URL(given.url);
  stranger.hostname = "mutuality.test";
  const { context, page, faults, close } = await phone({
    acceptDownloads: true,
    args: ["--host-resolver-rules=MAP mutuality.test 127.0.0.1", `--unsafely-treat-insecure-origin-as-secure=${stranger.origin}`],
  });

  // A session behind the # is taken on this machine alone: elsewhere it could be a stranger's.
  const behind = new URL(signedIn(given.session)).hash;
  await page.goto(stranger.origin + "/" + behind);
  await page.getByLabel("Mail address").waitFor();
  check(!page.url().includes("demo"), "it is taken away from the address");

  // The access token has run out: two tabs renew it, once.
  const second = await context.newPage();
  const renewals = [];
  context.on("request", (request) => request.url().endsWith("/sessions/refresh") && renewals.push(request));
  await page.goto(signedIn({ ...given.session, access_expires_at: "2020-01-01T00:00:00Z" }));
  await page.getByRole("heading", { name: "Today" }).waitFor();
  check(renewals.length === 1, `renewed once at the start: ${renewals.length}`);
  await page.evaluate(expire);
  await Promise.all([page.reload(), second.goto(given.url)]);
  await Promise.all([page, second].map((one) => one.getByRole("heading", { name: "Today" }).waitFor()));
  await Promise.all([page, second].map(quiet));
  check(renewals.length === 2, `renewed once for both: ${renewals.length}`);

  // A PIN before the app opens, in all tabs; kept as a hash.
  await show(page, "/me/lock");
  await page.getByLabel("PIN, at least 4 digits").fill("2580");
  await page.getByLabel("The same again").fill("2580");
  await page.getByRole("button", { name: "Set the PIN" }).click();
  await page.getByRole("button", { name: "Lock now" }).click();
  await Promise.all([page, second].map((one) => one.getByRole("heading", { name: "Locked" }).waitFor()));
  await page.reload();
  await page.getByLabel("PIN").fill("1111");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByText("That is not the PIN.").waitFor();
  check((await page.getByText("Today").count()) === 0, "nothing stands behind the lock");
  await page.getByLabel("PIN").fill("2580");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByRole("link", { name: "Me", exact: true }).waitFor();

  // Gone at once, from both tabs; the way back does not lead here.
  await page.getByRole("link", { name: "Today" }).click();
  await page.getByRole("link", { name: "Between us" }).click();
  const length = await page.evaluate(() => history.length);
  await page.getByRole("button", { name: /Leave quickly/ }).click();
  await Promise.all([page, second].map((one) => one.waitForURL("about:blank")));
  check((await page.evaluate(() => history.length)) === length, "the entry was replaced");
  await second.close();

  // Another mail address takes a code at the one before and one at the new.
  await page.goto(`${given.url}/#/me/address`);
  await page.getByLabel("PIN").fill("2580");
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByLabel("New mail address").fill(given.other);
  await page.getByRole("button", { name: "Send me a code" }).click();
  await page.getByText("First a fresh code was sent to").waitFor();
  await page.getByLabel("Code").fill(await ask("code", given.email));
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByText(`If ${given.other} can get mail`).waitFor();
  await page.getByLabel("Code").fill(await ask("code", given.other));
  await page.getByRole("button", { name: "Sign in with this address" }).click();
  await page.getByText(`You sign in with ${given.other}.`).waitFor();

  // Everything along, with a fresh code; then erased, with another.
  await show(page, "/me/data");
  await page.getByText("You must be an adult.").waitFor();
  await page.getByRole("button", { name: "With my private entries" }).click();
  await page.getByLabel("Code").fill(await ask("code", given.other));
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Take everything along" }).click();
  const exported = JSON.parse(readFileSync(await (await download).path(), "utf8"));
  await page.getByRole("button", { name: "Erase me" }).click();
  await page.getByLabel("Code").fill(await ask("code", given.other));
  await page.getByRole("button", { name: "Yes, erase me now" }).click();
  await page.getByLabel("Mail address").waitFor();
  await close();
  return { faults, format: exported.format, member: exported.me.member_id };
});

/** As if a quarter of an hour had gone by. */
async function expire() {
  const db = await new Promise((done) => { const asked = indexedDB.open("mutuality"); asked.onsuccess = () => done(asked.result); });
  const store = db.transaction("kept", "readwrite").objectStore("kept");
  const session = await new Promise((done) => { const asked = store.get("session"); asked.onsuccess = () => done(asked.result); });
  await new Promise((done) => { store.put({ ...session, access_expires_at: "2020-01-01T00:00:00Z" }, "session").onsuccess = done; });
  db.close();
}
