// Two browsers tell the whole story of a couple, by what stands on their screens.

import { ask, check, given, phone, quiet, story } from "./browser.mjs";

const ENGLISH = { consent: "You must be an adult.",  email: "Mail address", send: "Send me a code", code: "Code", enter: "Sign in", adult: "I am an adult, and I agree.", agree: "Agree and go on" };
const GERMAN = { consent: "Du musst volljährig sein.",  email: "Mailadresse", send: "Schick mir einen Code", code: "Code", enter: "Anmelden", adult: "Ich bin volljährig und einverstanden.", agree: "Zustimmen und weiter" };

/** One question to the test at a time: its answers come in order. */
let turn = Promise.resolve();
function asked(email) {
  turn = turn.then(() => ask("code", email));
  return turn;
}

await story(async () => {
  const [one, two] = await Promise.all([phone(), phone({ locale: "de-DE" })]);
  await Promise.all([enter(one.page, "one@example.org", ENGLISH), enter(two.page, "two@example.org", GERMAN)]);

  // One begins alone, records, and invites.
  await one.page.getByRole("button", { name: "Begin", exact: true }).click();
  await one.page.getByRole("heading", { name: "Today" }).waitFor();
  await checkIn(one.page, 6, "Record");
  await one.page.getByText("Recorded.").waitFor();
  await one.page.getByRole("link", { name: "Between us" }).click();
  await one.page.getByRole("button", { name: "Make a code" }).click();
  const code = await one.page.locator("output.code").getAttribute("data-code");
  check(/^[0-9A-Z]{12}$/.test(code), `a code of 12 characters: ${code}`);
  await one.page.getByRole("img", { name: /QR code/ }).waitFor();

  // The other mistypes it, and is told so in the language of the app, in words that are loaded only now.
  const loaded = () => two.page.evaluate(() => performance.getEntriesByType("resource").filter((one) => /refusals/.test(one.name)).length);
  check((await loaded()) === 0, "no words of refusals before the first one");
  await two.page.getByLabel(/^Code/).fill("000000000000");
  await two.page.getByRole("button", { name: "Annehmen" }).click();
  await two.page.getByText("Dieser Code gilt nicht.").waitFor();
  check((await loaded()) === 1, "those of one language");

  // The other opens the link, and accepts; one confirms.
  await two.page.goto(`${given.url}/#/accept?code=${code}`);
  await two.page.getByRole("button", { name: "Annehmen" }).click();
  await two.page.getByText("Jetzt bestätigt die andere Seite").waitFor();
  await again(one.page);
  await one.page.getByRole("button", { name: "Confirm" }).click();
  await one.page.getByRole("button", { name: "Ask for something" }).click();

  // One asks; the other says no, and keeps it: to one it stays open.
  await one.page.getByLabel("What would you like?").fill("An evening for the two of us?");
  await one.page.getByRole("button", { name: "Record" }).click();
  await one.page.getByText("An evening for the two of us?").waitFor();
  await again(two.page);
  await two.page.getByText("An evening for the two of us?").waitFor();
  await two.page.getByLabel("Nein", { exact: true }).check();
  await two.page.getByText("als hättest du nicht geantwortet").waitFor();
  await two.page.getByRole("button", { name: "Festhalten" }).click();
  await two.page.getByText("Festgehalten.").waitFor();
  await again(one.page);
  await card(one.page, "Asked by me").getByText(/Open until/).waitFor();

  // One opens a decision; both say their view, sealed; then it is decided, and the other tells theirs.
  await one.page.getByRole("button", { name: "Open a decision" }).click();
  await one.page.getByLabel("What is to be decided?").fill("Which washing machine?");
  await one.page.getByRole("button", { name: "Record" }).click();
  const mine = card(one.page, "To be decided");
  await mine.getByRole("button", { name: "Say my view" }).click();
  await mine.getByLabel(/What do you want/).fill("A quiet one.");
  await mine.getByRole("button", { name: "Record" }).click();
  await one.page.getByText("You have said a view.").waitFor();
  await again(two.page);
  const theirs = card(two.page, "Zu entscheiden");
  await theirs.getByText("Noch hat niemand etwas dazu gesagt.").waitFor();
  await theirs.getByRole("button", { name: "Sagen, wie ich es sehe" }).click();
  await theirs.getByLabel(/Was möchtest du/).fill("Eine sparsame.");
  await theirs.getByRole("button", { name: "Festhalten" }).click();
  await theirs.getByText("Ihr habt beide gesagt, wie ihr es seht.").waitFor();
  await mine.getByText("Both have said a view.").waitFor(); // as it happens: one was looking
  await mine.getByRole("button", { name: "It is decided" }).click();
  await one.page.getByRole("group", { name: "Who decided it?" }).getByLabel("Both").check();
  await one.page.getByRole("button", { name: "Record" }).click();
  await one.page.getByText("Recorded.").waitFor();
  await two.page.getByRole("link", { name: "Verlauf" }).click();
  await two.page.getByText("Eine sparsame.").waitFor();
  await two.page.getByText("A quiet one.").waitFor();
  await two.page.getByRole("button", { name: "Meine Sicht erzählen" }).click();
  await two.page.getByRole("group", { name: "Wer hat es entschieden?" }).getByLabel("Dein Gegenüber").check();
  await two.page.getByRole("button", { name: "Festhalten" }).click();
  await two.page.getByText("Festgehalten.").waitFor();

  // Both tellings stand beside each other, each as it was told.
  await one.page.getByRole("link", { name: "Pictures" }).click();
  const decides = card(one.page, "Who decides").locator("figure");
  await decides.first().locator(".marks.both .number", { hasText: "1" }).waitFor();
  await decides.last().locator(".marks.me .number", { hasText: "1" }).waitFor();

  // One leaves, which takes one act; the other finds it ended.
  await one.page.getByRole("link", { name: "Me", exact: true }).click();
  await one.page.getByRole("link", { name: "Relationship" }).click();
  await one.page.getByRole("button", { name: "Leave the relationship" }).click();
  await one.page.getByRole("button", { name: "Yes, end it now" }).click();
  await one.page.getByText("This relationship has ended").waitFor();
  await two.page.getByRole("link", { name: "Zwischen uns" }).click();
  await again(two.page);
  await two.page.getByText("Diese Beziehung ist beendet").waitFor();

  // Signing out leaves nothing behind.
  await one.page.getByRole("link", { name: "Me", exact: true }).click();
  await one.page.getByRole("button", { name: "Sign out" }).click();
  await one.page.getByRole("button", { name: "Sign out" }).click();
  await one.page.getByLabel("Mail address").waitFor();
  const left = await one.page.evaluate(kept);
  const said = { faults: [...one.faults, ...two.faults], elsewhere: [...one.elsewhere, ...two.elsewhere], left };
  await Promise.all([one.close(), two.close()]);
  return said;
});

async function enter(page, email, texts) {
  await page.goto(given.url);
  await page.getByLabel(texts.email).fill(email);
  await page.getByRole("button", { name: texts.send }).click();
  const field = page.getByLabel(texts.code, { exact: true });
  await field.waitFor();
  await field.fill(await asked(email));
  await page.getByRole("button", { name: texts.enter }).click();
  await page.getByText(texts.consent).waitFor(); // as the service says it
  await page.getByLabel(texts.adult).check();
  await page.getByRole("button", { name: texts.agree }).click();
}

/** Look away and back, as people do: the app then asks for what is new. */
async function again(page) {
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await quiet(page);
}

async function checkIn(page, value, record) {
  await page.locator(".seven").first().getByLabel(`${value} of 7`).check();
  await page.getByRole("button", { name: record }).click();
}

function card(page, title) {
  return page.getByRole("region", { name: title, exact: true });
}

async function kept() {
  const names = await indexedDB.databases();
  const stores = [];
  for (const { name } of names) {
    const db = await new Promise((done) => { const asked = indexedDB.open(name); asked.onsuccess = () => done(asked.result); });
    for (const store of db.objectStoreNames) {
      const count = await new Promise((done) => { const asked = db.transaction(store).objectStore(store).count(); asked.onsuccess = () => done(asked.result); });
      if (count) stores.push(`${store}: ${count}`);
    }
    db.close();
  }
  return [...stores, ...Object.keys(localStorage), ...Object.keys(sessionStorage)];
}
