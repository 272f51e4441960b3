import { entriesOf, isList, RenderError, type Value } from "./values.ts";

/** Steps of one rendering: real templates take some dozens, the longest one of Zigbee2MQTT a few thousand. */
const mostSteps = 20_000;
/** Characters of any text on the way: a payload with a picture in it is not computed with. */
const longestText = 65_536;
/** Entries of a list. */
const longestList = 1000;
/** Values within a list or mapping that a template makes: one that holds itself twice, twenty times, is a million. */
const mostInside = 2000;
/** Bits of an integer, four times those of the largest counters. */
const mostBits = 256n;

/**
 * Bounds of one rendering: whatever a template does, it ends soon with a text or an error. What takes the longest is the search
 * for patterns, of which all steps are 1.3 million instructions on a character.
 */
export class Budget {
  #steps = mostSteps;

  /** @param cost in steps; work on texts and lists costs by their length */
  charge(cost = 1): void {
    this.#steps -= cost;
    if (this.#steps < 0) throw new RenderError("takes too many steps");
  }

  /** A value made on the way. @throws RenderError when it is too large */
  keep<T extends Value>(value: T): T {
    if (typeof value === "string") this.text(value.length);
    else if (isList(value)) this.list(value.length);
    else if (typeof value === "bigint" && BigInt.asIntN(Number(mostBits), value) !== value)
      throw new RenderError("computes too large a number");
    return value;
  }

  /** A text of this length is about to be made or gone through. */
  text(length: number): void {
    if (length > longestText) throw new RenderError(`makes a text longer than ${longestText} characters`);
    this.charge(1 + (length >> 6));
  }

  /**
   * A pattern is about to be looked for: RE2 may take each character through its whole program.
   * @param size instructions of the program
   */
  search(length: number, size: number): void {
    this.text(length);
    this.charge((length * size) >> 6);
  }

  list(length: number): void {
    if (length > longestList) throw new RenderError(`makes a list longer than ${longestList} entries`);
    this.charge(1 + (length >> 2));
  }

  /** A list or mapping that the template has made. @throws RenderError when there is too much in it */
  weigh<T extends Value>(value: T): T {
    const waiting: Value[] = [value];
    for (let count = 0; waiting.length > 0; count += 1) {
      if (count + waiting.length > mostInside)
        throw new RenderError(`makes a list of more than ${mostInside} values`);
      const one = waiting.pop();
      if (isList(one)) waiting.push(...one);
      else for (const [, inner] of entriesOf(one) ?? []) waiting.push(inner);
    }
    return value;
  }
}
