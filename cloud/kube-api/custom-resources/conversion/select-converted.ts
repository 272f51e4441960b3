import type { KindInfo } from "#cloud/kube-api/schema";
import { everything, selects, type Selection } from "#cloud/kube-api/selection";
import type { KubeObject } from "#shared/kube";
import type { Conversions } from "./conversions.ts";

/** Objects of a turn, so that a page is not the work of a whole collection. */
const objectsATurn = 500;

export interface ConvertedObject {
  readonly key: string;
  readonly text: string;
}

export interface Search<T extends { readonly key: string }> {
  readonly all: readonly T[];
  readonly read: (one: T) => string | undefined;
  readonly selection: Selection;
  /** No more are looked for; 0: all. */
  readonly most: number;
  /** Makes of a text the object that is selected. */
  readonly parse: (text: string) => KubeObject;
}

/**
 * Objects of a collection in the version of a kind, selected by what they are in it: a webhook may change labels. They count in
 * the bound of `conversions` until the result is disposed of. @throws Refusal
 */
export async function selectConverted<T extends { readonly key: string }>(
  conversions: Conversions,
  kind: KindInfo,
  { all, read, selection, most, parse }: Search<T>,
): Promise<Disposable & { readonly found: readonly ConvertedObject[] }> {
  using held = new DisposableStack();
  const found: ConvertedObject[] = [];
  const [enough, step] = most === 0 ? [Infinity, objectsATurn] : [most, Math.min(most, objectsATurn)];
  for (let start = 0; start < all.length && found.length < enough; start += step) {
    const some = all.slice(start, start + step);
    const stored = some.flatMap((one) => {
      const text = read(one);
      return text === undefined ? [] : [{ key: one.key, text }];
    });
    const texts = await conversions.texts(
      kind,
      stored.map(({ text }) => text),
    );
    const kept = stored.flatMap(({ key }, index) => {
      const text = texts[index] ?? "";
      return selection === everything || selects(selection, parse(text)) ? [{ key, text }] : [];
    });
    held.use(conversions.reserve(kept.reduce((sum, { text }) => sum + text.length, 0)));
    found.push(...kept);
  }
  const owned = held.move();
  return { found, [Symbol.dispose]: () => owned.dispose() };
}
