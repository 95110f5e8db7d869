// What the other keeps private changes no pixel of mine, on any screen.

import { ask, given, phone, show, signedIn, story } from "./browser.mjs";

const ROUTES = ["/today", "/us", "/pictures", "/pictures/trends", "/pictures/month", "/pictures/agreement", "/pictures/more", "/log"];

await story(async () => {
  const { page, faults, close } = await phone();
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
  const pictures = [];
  for (const route of ROUTES) {
    await show(page, route);
    await page.waitForLoadState("networkidle");
    pictures.push(await still(page));
  }
  return pictures;
}

/** A picture that has come to rest: two in a row are the same. */
async function still(page) {
  let last = Buffer.alloc(0);
  for (;;) {
    await page.waitForTimeout(100);
    const now = await page.screenshot({ fullPage: true, animations: "disabled" });
    if (now.equals(last)) return now;
    last = now;
  }
}
