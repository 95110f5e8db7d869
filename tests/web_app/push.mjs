// A push comes: the notification says the same whatever was asked, a tap opens what was asked today, a withdrawal takes it
// back.

import { check, given, phone, show, signedIn, story } from "./browser.mjs";

await story(async () => {
  const { context, page, faults, close } = await phone();
  await context.grantPermissions(["notifications"], { origin: given.url });
  await page.goto(signedIn(given.session));
  await page.getByRole("heading", { name: "Today" }).waitFor();
  await page.evaluate(() => navigator.serviceWorker.ready);
  const worker = context.serviceWorkers()[0] ?? (await context.waitForEvent("serviceworker"));
  const devtools = await context.newCDPSession(page);
  const registered = new Promise((done) => {
    devtools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => registrations[0] && done(registrations[0].registrationId));
  });
  await devtools.send("ServiceWorker.enable");
  const registrationId = await registered;
  await worker.evaluate(() => self.registration.active.state); // awake
  const push = (data) => devtools.send("ServiceWorker.deliverPushMessage", { origin: given.url, registrationId, data: JSON.stringify(data) });
  const shown = () => worker.evaluate(async () => (await self.registration.getNotifications()).map(({ title, body, tag }) => ({ title, body, tag })));
  const until = async (count) => {
    for (let i = 0; i < 50; i += 1) {
      const now = await shown();
      if (now.length === count) return now;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error(`${count} notifications were awaited: ${JSON.stringify(await shown())}`);
  };

  // The DevTools lose the first one where the worker has just been started; a second one takes the place of the first.
  for (let i = 0; i < 10 && (await shown()).length === 0; i += 1) {
    await push(given.prompt);
    await page.waitForTimeout(300);
  }
  const prompt = await until(1);
  await push(given.reminder);
  await page.waitForTimeout(200);
  const reminder = await until(1);
  await push(given.withdraw);
  await until(0);

  await push(given.prompt);
  await until(1);
  await show(page, "/me");
  await page.getByRole("heading", { name: "Me" }).waitFor();
  await worker.evaluate(async () => {
    const [notification] = await self.registration.getNotifications();
    self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
  });
  await page.getByRole("heading", { name: "Today" }).waitFor();
  check((await until(0)).length === 0, "a tap closes it");

  // The browser's own push service is elsewhere: here it is doubled, and gives out an address.
  await page.evaluate(subscribeHere);
  await show(page, "/me/notifications");
  await page.getByRole("button", { name: "Notify me on this phone" }).click();
  await page.getByText("Saved.").waitFor();
  const key = await page.evaluate(() => globalThis.subscribedWith);
  await close();
  return { faults: faults.filter((one) => !/window interaction/.test(one)), prompt, reminder, key };
});

function subscribeHere() {
  const keys = { p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", auth: "BTBZMqHH6r4Tts7J_aSIgg" };
  PushManager.prototype.subscribe = async (options) => {
    globalThis.subscribedWith = btoa(String.fromCharCode(...options.applicationServerKey)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
    return { toJSON: () => ({ endpoint: "https://push.example.org/send/1", expirationTime: null, keys }) };
  };
}
