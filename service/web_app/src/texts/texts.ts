// Which language the app speaks: only that one is loaded.
import { signal } from "@preact/signals";
import { keep, recall } from "../store";
import type { Texts } from "./en";

export type Language = "en" | "de";

export const language = signal<Language>("en");
// Nothing is drawn before the first texts are there.
const spoken = signal<Texts>({} as Texts);

/** The texts of the language; a component that reads one is drawn anew when the language changes. */
export const t = new Proxy({} as Texts, {
  get(_, key: string) {
    const text = spoken.value[key as keyof Texts];
    return typeof text === "function" ? begunLarge(text as (...values: unknown[]) => string) : text;
  },
});

/** Who has chosen no name is "your partner", and "Your partner" where a text begins with it. */
function begunLarge(text: (...values: unknown[]) => string): (...values: unknown[]) => string {
  return (...values) => {
    const said = text(...values);
    return said.startsWith(spoken.value.your_partner) ? said.charAt(0).toUpperCase() + said.slice(1) : said;
  };
}

/** Dates and numbers as in the place that the browser is set to, where that speaks the language. */
function locale(): string {
  return navigator.languages.find((one) => one.startsWith(language.value)) ?? language.value;
}

export async function openLanguage(): Promise<void> {
  await speak((await recall("language")) ?? (navigator.language.startsWith("de") ? "de" : "en"));
}

export async function chooseLanguage(chosen: Language): Promise<void> {
  await keep("language", chosen);
  await speak(chosen);
}

async function speak(chosen: Language): Promise<void> {
  spoken.value = chosen === "de" ? (await import("./de")).de : (await import("./en")).en;
  language.value = chosen;
  document.documentElement.lang = chosen;
}

function format(options: Intl.DateTimeFormatOptions): (at: Date) => string {
  return (at) => new Intl.DateTimeFormat(locale(), options).format(at);
}

/** A calendar day, which is the same everywhere. */
export function dayText(day: string, options: Intl.DateTimeFormatOptions = { day: "numeric", month: "short", year: "numeric" }): string {
  return format({ ...options, timeZone: "UTC" })(new Date(`${day}T00:00:00Z`));
}

export function monthText(month: string): string {
  return dayText(`${month}-01`, { month: "long", year: "numeric" });
}

export function timeText(at: string | number): string {
  return format({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })(new Date(at));
}

export function percent(share: number): string {
  return new Intl.NumberFormat(locale(), { style: "percent" }).format(share);
}

export function decimal(value: number): string {
  return new Intl.NumberFormat(locale(), { minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(value);
}
