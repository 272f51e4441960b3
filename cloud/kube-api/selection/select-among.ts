import { parseKubeObject } from "#cloud/kube-api/schema";
import { nextTurn } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import { note } from "#shared/lifecycle";
import { everything, fragmentsOf, selectedName, selects, type Selection } from "./selectors.ts";

/** Characters read before other requests get a turn: some milliseconds. */
const charactersATurn = 500_000;

/**
 * Filters a collection; most texts are rejected without being parsed, because they lack a fragment that every selected object
 * has. `parse` makes of a text the object that is selected. A large collection takes several turns of the event loop: the caller pins the revision of the texts.
 */
export async function selectAmong<T extends { readonly key: string }>(
  all: T[],
  selection: Selection,
  read: (one: T) => string | undefined,
  parse: (text: string) => KubeObject = parseKubeObject,
): Promise<T[]> {
  if (selection === everything) return all;
  const name = selectedName(selection);
  const named = name === undefined ? all : all.filter(({ key }) => key.endsWith(`/${name}`));
  const fragments = fragmentsOf(selection);
  const selected: T[] = [];
  let characters = 0;
  for (const one of named) {
    const text = read(one) ?? "";
    characters += text.length + 100 * (selection.labels.length + selection.fields.length);
    if (characters > charactersATurn) {
      characters = 0;
      await nextTurn();
      note("a selection from", one.key);
    }
    if (text === "" || !fragments.every((fragment) => text.includes(fragment))) continue;
    if (selects(selection, parse(text))) selected.push(one);
  }
  return selected;
}
