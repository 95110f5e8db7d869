import assert from "node:assert/strict";
import { test } from "node:test";
import { de } from "../../../service/web_app/src/texts/de";
import { en } from "../../../service/web_app/src/texts/en";
import { refusals as refusalsDe } from "../../../service/web_app/src/texts/refusals_de";
import { refusals as refusalsEn } from "../../../service/web_app/src/texts/refusals_en";

type Leaf = string | ((...values: never[]) => string);

function leaves(texts: object, before = ""): [string, Leaf][] {
  return Object.entries(texts).flatMap(([key, value]) => (typeof value === "object" ? leaves(value, `${before}${key}.`) : [[before + key, value] as [string, Leaf]]));
}

const ENGLISH = leaves({ ...en, refusals: refusalsEn });
const GERMAN = new Map(leaves({ ...de, refusals: refusalsDe }));

/** A text with marks in its places, so that a lost one is seen. */
function filled(leaf: Leaf): string {
  return typeof leaf === "string" ? leaf : ((leaf as (...values: unknown[]) => string | undefined)(...Array.from({ length: leaf.length }, (_, i) => `«${i}»`)) ?? "");
}

const places = (text: string) => [...text.matchAll(/«\d»/g)].map(([mark]) => mark).sort();

test("both languages have the same texts", () => {
  assert.deepEqual([...GERMAN.keys()], ENGLISH.map(([key]) => key));
});

test("nothing that a text takes in is lost in the other language", () => {
  const lost = ENGLISH.filter(([key, leaf]) => String(places(filled(leaf))) !== String(places(filled(GERMAN.get(key)!))));
  assert.deepEqual(lost.map(([key]) => key), []);
});

test("texts are translated, not copied", () => {
  const same = ENGLISH.filter(([key, leaf]) => filled(leaf) === filled(GERMAN.get(key)!) && filled(leaf).length > 6);
  assert.deepEqual(same.map(([key]) => key).filter((key) => !["app", "n_is"].includes(key)), []);
});

test("no text advises, and none compares the two as persons", () => {
  const refused = /\b(should|ought|better|worse|must|try to|sollte\w*|besser|schlechter|musst)\b/i;
  const found = [...ENGLISH, ...GERMAN].map(([, leaf]) => filled(leaf)).filter((text) => refused.test(text));
  assert.deepEqual(found, []);
});
