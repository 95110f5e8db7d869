// How soon the app can be used on a slow phone: a network of 150 ms and 1.6 Mbit/s, a processor four times as slow.
// Interactive means: the control that the screen is for is drawn, and the page takes an event.

import { check, given, phone, quiet, signedIn, story } from "./browser.mjs";

const SLOW = { offline: false, latency: 150, downloadThroughput: 1_600_000 / 8, uploadThroughput: 750_000 / 8 };
const SLOWER = 4;
const MAIL = 'input[type="email"]';
const SEVEN = ".seven input";

await story(async () => {
  const visits = { signing_in: [], signed_in: [], coming_back: [] };
  for (let round = 0; round < given.rounds; round += 1) {
    const locale = given.locale ?? "en-GB";
    visits.signing_in.push(await first(locale, given.url, MAIL));
    visits.signed_in.push(await first(locale, signedIn(given.session), SEVEN));
    visits.coming_back.push(await again(locale));
  }
  return visits;
});

/** A visit of a phone on which nothing is kept. */
async function first(locale, address, control) {
  const one = await phone({ locale });
  const seen = await visit(one.page, address, control);
  await one.close();
  return seen;
}

/** A visit of a phone on which the app was opened before. */
async function again(locale) {
  const one = await phone({ locale });
  await one.page.goto(signedIn(given.session));
  await one.page.locator(SEVEN).first().waitFor();
  await one.page.evaluate(() => navigator.serviceWorker.ready);
  await one.page.reload();
  await one.page.locator(SEVEN).first().waitFor();
  await quiet(one.page);
  await one.page.goto("about:blank");
  const seen = await visit(one.page, given.url, SEVEN);
  await one.close();
  return seen;
}

async function visit(page, address, control) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  await devtools.send("Network.emulateNetworkConditions", SLOW);
  await devtools.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  await page.addInitScript(watch, control);
  await page.goto(address, { waitUntil: "commit" });
  let seen;
  for (let i = 0; !seen && i < 100; i += 1) {
    await page.waitForTimeout(100); // what asks more often takes the processor from what is measured
    seen = await page.evaluate(() => globalThis.interactive);
  }
  check(seen, `the control never came: ${control}`);
  return { ...seen, trips: trips(seen.calls) };
}

/** How many answers of the service had to come one after another: the longest chain in which each call began after the last. */
function trips(calls) {
  let [count, ended] = [0, -1];
  for (const { from, to } of [...calls].sort((one, other) => one.to - other.to)) {
    if (from < ended) continue;
    count += 1;
    ended = to;
  }
  return count;
}

/** Note when the control can be used, and what was loaded up to then. */
function watch(control) {
  const look = () => {
    if (!document.querySelector(control)) return;
    seen.disconnect();
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        const at = performance.now();
        const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
        globalThis.interactive = {
          ms: Math.round(at),
          calls: all
            // What the service worker or the memory has costs no way, and no screen waits for icons.
            .filter((one) => one.responseEnd > 0 && one.responseEnd <= at && one.transferSize > 0 && one.workerStart === 0 && !/icons|manifest/.test(one.name))
            .map((one) => ({ name: one.name.replace(location.origin, ""), from: Math.round(one.startTime), to: Math.round(one.responseEnd), bytes: one.encodedBodySize })),
        };
      };
      port2.postMessage(null);
    });
  };
  const seen = new MutationObserver(look);
  seen.observe(document, { childList: true, subtree: true });
}
