// Each picture as it is drawn, at both widths, light and dark, beside the one that is stored; and what is said with it.
//
// Stored is what is drawn alone, without letters: those look otherwise wherever other fonts are. Each drawing is taken out of
// the page with the width and the colours that it has there, and put on a sheet with the others of its screen. What is
// written stands beside it as text.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DESK, PHONE, given, phone, showAll, signedIn, story } from "./browser.mjs";
import { decode, encode, unlike } from "./png.mjs";

const YEAR = ["/today", "/pictures", "/pictures/trends", "/pictures/agreement", "/pictures/more"];
const SUBJECTS = { empty: ["/today", "/pictures/trends"], three: ["/today", "/pictures", "/pictures/trends"], year: YEAR, points: ["/pictures/trends"] };
const LOOKS = [PHONE, DESK].flatMap((size) => ["light", "dark"].map((colorScheme) => ({ size, colorScheme })));

await story(async () => {
  const [faults, differs] = [[], []];
  for (const [subject, routes] of Object.entries(SUBJECTS)) {
    const one = await phone();
    await one.context.clock.setFixedTime(new Date(given.now));
    if (subject === "points") await askForPoints(one.page);
    await one.page.goto(signedIn(given.sessions[subject]));
    await one.page.getByRole("heading", { name: "Today" }).waitFor();
    const sheet = await one.context.newPage();
    for (const route of routes) await compare(one.page, sheet, `${subject}${route.replaceAll("/", "-")}`, route, differs);
    faults.push(...one.faults);
    await one.close();
  }
  return { faults, differs };
});

/** The app asks for a point a week; the service gives up to 400, and so they can be drawn. */
async function askForPoints(page) {
  await page.route("**/trends?*", (route) => {
    const url = new URL(route.request().url());
    url.searchParams.set("step", "1");
    url.searchParams.set("from", new Date(Date.parse(url.searchParams.get("to")) - 399 * 86_400_000).toISOString().slice(0, 10));
    return route.continue({ url: String(url) });
  });
}

async function compare(page, sheet, name, route, differs) {
  await page.setViewportSize(PHONE);
  await showAll(page, route);
  holdText(`${name}.txt`, await page.evaluate(said), differs);
  for (const { size, colorScheme } of LOOKS) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    const look = `${name}-${size.width}-${colorScheme}.png`;
    if (given.screens) await page.screenshot({ path: join(given.screens, look), fullPage: true });
    const { drawings, paper } = await page.evaluate(drawn);
    if (drawings.length === 0) continue;
    const width = Math.max(...drawings.map((one) => one.width));
    await sheet.setViewportSize({ width, height: 100 });
    await sheet.setContent(`<style>body { margin: 0; background: ${paper} } svg { display: block; margin-bottom: 4px }</style>${drawings.map((one) => one.html).join("")}`);
    hold(look, decode(await sheet.screenshot({ fullPage: true, animations: "disabled" })), differs);
  }
}

/** Hold a picture against the one that is stored; what differs is laid down beside the other results of the test. */
function hold(name, picture, differs) {
  const stored = join(given.stored, name);
  if (given.write) return writeFileSync(stored, encode(picture));
  const count = existsSync(stored) ? unlike(decode(encode(picture)), decode(readFileSync(stored))) : null;
  if (count === 0) return;
  differs.push(`${name}: ${count === null ? "of another size, or not stored" : `${count} pixels`}`);
  mkdirSync(given.results, { recursive: true });
  writeFileSync(join(given.results, name), encode(picture));
}

function holdText(name, text, differs) {
  const stored = join(given.stored, name);
  if (given.write) return writeFileSync(stored, text);
  if (existsSync(stored) && readFileSync(stored, "utf8") === text) return;
  differs.push(`${name}: other words`);
  mkdirSync(given.results, { recursive: true });
  writeFileSync(join(given.results, name), text);
}

/** What stands on the screen, and what each drawing says to who does not see it. */
function said() {
  const main = document.querySelector("main");
  const labels = [...main.querySelectorAll("svg[role=img]")].map((one) => `[${one.getAttribute("aria-label")}]`);
  const lines = main.innerText.split("\n").map((line) => line.trim()).filter(Boolean);
  return `${[...lines, ...labels].join("\n")}\n`;
}

/** Each drawing with the width and the colours that it has here, without its letters. */
function drawn() {
  const STYLE = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity"];
  const drawings = [...document.querySelectorAll("main svg")].filter((one) => one.checkVisibility()).map((one) => {
    const copy = one.cloneNode(true);
    const copies = [...copy.querySelectorAll("*")];
    [...one.querySelectorAll("*")].forEach((part, i) => {
      const style = getComputedStyle(part);
      for (const property of STYLE) copies[i].setAttribute(property, style.getPropertyValue(property));
    });
    for (const letters of copy.querySelectorAll("text, title")) letters.remove();
    const { width, height } = one.getBoundingClientRect();
    const size = { width: Math.round(width), height: Math.round(height) };
    for (const [side, length] of Object.entries(size)) copy.setAttribute(side, length);
    return { ...size, html: copy.outerHTML };
  });
  return { drawings, paper: getComputedStyle(document.querySelector(".card") ?? document.body).backgroundColor };
}
