// What the other keeps private changes no pixel of mine, on any screen, and no byte of the page behind it.

import { ask, given, phone, showAll, signedIn, story } from "./browser.mjs";

const ROUTES = ["/today", "/us", "/pictures", "/pictures/trends", "/pictures/month", "/pictures/agreement", "/pictures/more", "/log"];

await story(async () => {
  const faults = [];
  const before = await looks(faults);
  await ask("private");
  const after = await looks(faults, before);
  await ask("shared");
  const told = await looks(faults);
  const differ = (one, other) => ROUTES.filter((_, i) => !one[i].equals(other[i]));
  return { faults, private: differ(before, after), shared: differ(after, told) };
});

/** What each screen is on a phone that has kept nothing: what it has kept, it would show again. Where it is not as before, it is looked at again: two drawings of one page may differ in a pixel. */
async function looks(faults, before = []) {
  const one = await phone({ viewport: { width: 390, height: 2400 } });
  const { page } = one;
  await page.goto(signedIn(given.session));
  await page.getByRole("heading", { name: "Today" }).waitFor();
  const seen = [];
  for (const route of ROUTES) {
    await showAll(page, route);
    const expected = before[seen.length];
    let now = await look(page);
    for (let again = 0; expected && !now.equals(expected) && again < 3; again += 1) {
      await page.evaluate(() => { document.body.hidden = true; });
      await page.evaluate(() => { document.body.hidden = false; });
      now = await look(page);
    }
    seen.push(now);
  }
  faults.push(...one.faults);
  await one.close();
  return seen;
}

async function look(page) {
  const html = (await page.content()).replace(/\bP\d+-\d+/g, ""); // ids, in the order in which answers came
  return Buffer.concat([Buffer.from(html), await still(page)]);
}

/** A picture that has come to rest: two in a row are the same. */
async function still(page) {
  for (let last = Buffer.alloc(0); ; ) {
    const now = await page.screenshot({ animations: "disabled" });
    if (now.equals(last)) return now;
    last = now;
  }
}
