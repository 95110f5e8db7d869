// Each screen at both widths, light and dark: nothing serious for axe, nothing wider than the screen, targets large enough.

import { AXE, DESK, PHONE, given, phone, showAll, signedIn, story } from "./browser.mjs";

const ROUTES = [
  "/today", "/us", "/ask", "/open", "/decide", "/accept", "/pictures", "/pictures/trends", "/pictures/month", "/pictures/agreement",
  "/pictures/more", "/log", "/me", "/me/profile", "/me/address", "/me/relationship", "/me/schedule", "/me/pauses", "/me/notifications",
  "/me/sessions", "/me/lock", "/me/data", "/help",
];
const LOOKS = [[PHONE, "light"], [DESK, "dark"]];

await story(async () => {
  const { page, faults, elsewhere, close } = await phone();
  const found = [];
  await page.addInitScript({ path: AXE });
  await page.goto(given.url);
  await page.getByLabel("Mail address").waitFor();
  await look(page, "signing in", found);
  await page.goto(signedIn(given.session));
  await page.reload();
  await page.getByRole("heading", { name: "Today" }).waitFor();
  for (const [size, colorScheme] of LOOKS) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    for (const route of ROUTES) {
      await showAll(page, route);
      await openTables(page, `${route} ${size.width}`, found);
      if (route === "/today") await page.locator(".seven").first().getByLabel("4 of 7").check();
      await look(page, `${route} ${size.width} ${colorScheme}`, found);
    }
  }
  await close();
  return { faults, elsewhere, found };
});

/** Each picture over time has its numbers as a table, too. */
async function openTables(page, name, found) {
  await page.evaluate(() => document.querySelectorAll("figure details").forEach((one) => { one.open = true; }));
  const pictures = page.locator("figure", { has: page.locator(".thirteen, .trend") });
  const tables = pictures.filter({ has: page.locator("tbody th[scope=row]") });
  await page.waitForFunction(() => [...document.querySelectorAll("figure details")].every((one) => one.querySelector("table"))).catch(() => undefined);
  if ((await pictures.count()) !== (await tables.count())) found.push(`${name}: a picture without a table`);
}

async function look(page, name, found) {
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
  for (const one of violations) found.push(`${name}: ${one.id} (${one.impact}) ${one.nodes.slice(0, 2).map((node) => node.html.slice(0, 120)).join(" | ")}`);
  const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (width > 0) found.push(`${name}: ${width} px wider than the screen`);
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, nav a, select, input:not([type=radio], [type=checkbox]), .chips label, .steps label, summary")]
      .filter((one) => one.checkVisibility() && one.type !== "submit")
      .filter((one) => one.getBoundingClientRect().height < 44 || one.getBoundingClientRect().width < 40)
      .map((one) => `${one.tagName} ${one.textContent.slice(0, 20)} ${Math.round(one.getBoundingClientRect().width)}x${Math.round(one.getBoundingClientRect().height)}`),
  );
  if (small.length) found.push(`${name}: too small to hit: ${small.slice(0, 3).join(", ")}`);
}
