// Why the service refuses something, in the words of the app: the service itself says it in English, and to developers.
import { signal } from "@preact/signals";
import type { Problem } from "../api_types";
import { type Language, language, t } from "./texts";

const spoken = signal<{ language: Language; texts: Readonly<Record<string, string>> } | null>(null);

/** Load the words in the language of the app; where they cannot be had, a general sentence stands for them. */
export async function openRefusals(): Promise<void> {
  const wanted = language.value;
  const loading = wanted === "de" ? import("./refusals_de") : import("./refusals_en");
  const texts = await loading.then((found) => found.refusals, () => ({}));
  if (wanted === language.value) spoken.value = { language: wanted, texts };
}

/** What a problem says; nothing while the words are on their way. */
export function refusalText(problem: Problem): string {
  if (problem.status === 0) return t.unreached;
  if (spoken.value?.language !== language.value) return "";
  return spoken.value.texts[problem.code] ?? t.failed;
}
