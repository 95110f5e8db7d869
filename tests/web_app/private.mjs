// What the other keeps private changes no pixel of mine, on any screen, and no byte of the page behind it.

import { ask, given, phone, quiet, show, signedIn, story } from "./browser.mjs";

const ROUTES = ["/today", "/us", "/pictures", "/pictures/trends", "/pictures/month", "/pictures/agreement", "/pictures/more", "/log"];

await story(async () => {
  const { page, faults, close } = await phone({ viewport: { width: 390, height: 2400 } });
  await page.goto(signedIn(given.session));
  await page.getByRole("heading", { name: "Today" }).waitFor();
  const before = await looks(page);
  await ask("private");
  const after = await looks(page);
  await ask("shared");
  const told = await looks(page);
  await close();
  const differ = (one, other) => ROUTES.filter((_, i) => !one[i].equals(other[i]));
  return { faults, private: differ(before, after), shared: differ(after, told) };
});

async function looks(page) {
  await page.reload();
  await page.getByRole("navigation").last().waitFor();
  const seen = [];
  for (const route of ROUTES) {
    await show(page, route);
    await quiet(page);
    await page.waitForFunction(() => !document.body.innerText.includes("One moment …"));
    const html = (await page.content()).replace(/\bP\d+-\d+/g, ""); // ids, in the order in which answers came
    seen.push(Buffer.concat([Buffer.from(html), await still(page)]));
  }
  return seen;
}

/** A picture that has come to rest: two in a row are the same. */
async function still(page) {
  for (let last = Buffer.alloc(0); ; ) {
    const now = await page.screenshot({ animations: "disabled" });
    if (now.equals(last)) return now;
    last = now;
  }
}
