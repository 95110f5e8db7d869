// When I am asked, and what: my own settings, off until I say otherwise.
import { useState } from "preact/hooks";
import { api } from "../api";
import type { Schedule, ScheduledCheckIn } from "../api_types";
import { FELT_ITEMS } from "../api_types";
import { news, relationship } from "../state";
import { t } from "../texts/texts";
import { Awaited, Button, Card, Check, Choice, Field, Form, Screen, Several, attempt, isLinked, options, useAnswer } from "../ui";

const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
const SCHEDULED = [...FELT_ITEMS, "my_week", "my_part"] as const;
const AFTER = [...FELT_ITEMS, "how_was_it", "enjoyable", "change"] as const;
const MINUTES = ["0", "60", "240", "720"] as const;

export function ScheduleScreen() {
  const schedule = useAnswer("schedule", (client) => client.GET("/v1/me/schedule"));
  return (
    <Screen title={t.schedule} back="/me">
      <p class="quiet">{t.schedule_text}</p>
      <Awaited of={schedule}>{(data) => <Editor key={JSON.stringify(data)} given={data} />}</Awaited>
    </Screen>
  );
}

function newTime(): ScheduledCheckIn {
  return { id: crypto.randomUUID(), relationship_id: relationship.value!.id, weekdays: [...WEEKDAYS], from: "20:00", to: "22:00", questions: ["close"] };
}

function Editor({ given }: { given: Schedule }) {
  const [schedule, set] = useState(given);
  const times = schedule.check_ins ?? [];
  const after = schedule.after_events ?? {};
  const quiet = schedule.quiet ?? {};
  const change = (part: Partial<Schedule>) => set((old) => ({ ...old, ...part }));
  const changeTime = (id: string, part: Partial<ScheduledCheckIn>) => change({ check_ins: times.map((one) => (one.id === id ? { ...one, ...part } : one)) });
  const save = async () => {
    if (await attempt(api.PUT("/v1/me/schedule", { body: schedule }), t.saved)) news.value += 1;
  };
  const minute = (text: string) => text.slice(0, 5);
  return (
    <Form send={save}>
      {times.map((one) => (
        <Card key={one.id} title={`${minute(one.from)} – ${minute(one.to)}`}>
          <Several legend={t.weekdays} options={options(WEEKDAYS, (day) => t.weekday[day])} chosen={one.weekdays} choose={(weekdays) => changeTime(one.id, { weekdays: WEEKDAYS.filter((day) => weekdays.includes(day)) })} />
          <div class="filters">
            <Field label={t.from} type="time" value={minute(one.from)} change={(from) => changeTime(one.id, { from })} />
            <Field label={t.to} type="time" value={minute(one.to)} change={(to) => changeTime(one.id, { to })} />
          </div>
          <Several legend={t.ask_me} options={options(SCHEDULED, (item) => t.question[item])} chosen={one.questions} choose={(questions) => changeTime(one.id, { questions })} />
          <Button kind="plain" act={() => change({ check_ins: times.filter((other) => other.id !== one.id) })}>{t.remove}</Button>
        </Card>
      ))}
      <Button act={() => change({ check_ins: [...times, newTime()] })}>{t.add_time}</Button>
      {isLinked() && (
        <Card title={t.after_events}>
          <Check label={t.schedule_on} on={after.enabled ?? false} turn={(enabled) => change({ after_events: { ...after, enabled, questions: after.questions?.length ? after.questions : ["how_was_it"] } })} />
          {after.enabled && (
            <>
              <Choice legend={t.delay} options={options(MINUTES, (one) => one)} value={String(after.delay_minutes ?? 240) as (typeof MINUTES)[number]} choose={(one) => change({ after_events: { ...after, delay_minutes: Number(one) } })} />
              <Several legend={t.ask_me} options={options(AFTER, (one) => t.question[one])} chosen={after.questions ?? []} choose={(questions) => change({ after_events: { ...after, questions } })} />
            </>
          )}
        </Card>
      )}
      <Card title={t.quiet_hours}>
        <div class="filters">
          <Field label={t.from} type="time" value={minute(quiet.from ?? "22:00")} change={(from) => change({ quiet: { ...quiet, from } })} />
          <Field label={t.to} type="time" value={minute(quiet.to ?? "08:00")} change={(to) => change({ quiet: { ...quiet, to } })} />
        </div>
        <Choice legend={t.at_most} options={options(["1", "2"] as const, (one) => one)} value={String(schedule.max_per_day ?? 2) as "1" | "2"} choose={(one) => change({ max_per_day: Number(one) })} />
      </Card>
      <Button kind="main" act={save}>{t.save}</Button>
    </Form>
  );
}
