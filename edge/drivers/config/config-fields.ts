import {
  ConfigProblems,
  findField,
  type ConfigLayer,
  type FoundField,
  type MappingProblem,
} from "#shared/devices/config";

/**
 * The `configData` of a Device and its model, the Device first. A field that cannot be used is noted once, and read as missing.
 * Numbers and flags may be texts, as in samples of KubeEdge: `port: "5502"`.
 */
export class ConfigFields {
  readonly #problems = new ConfigProblems();
  readonly #layers: readonly ConfigLayer[];

  constructor(layers: readonly ConfigLayer[]) {
    this.#layers = layers;
  }

  get problems(): readonly MappingProblem[] {
    return this.#problems.all;
  }

  /** Notes keys that are close to a known key. */
  misspelled(known: readonly string[]): void {
    for (const layer of this.#layers) this.#problems.addMisspelled(layer, known);
  }

  text(name: string): string | undefined {
    const found = this.#find(name);
    if (!found) return undefined;
    const { value } = found;
    if (typeof value === "string" || typeof value === "number") return String(value);
    return this.#reject(found, "must be a text");
  }

  /** A text that is there, or a problem. */
  needed(name: string, example: string): string | undefined {
    const found = this.#find(name);
    if (found) return this.text(name);
    return this.missing(name, `is missing; it is needed, such as ${JSON.stringify(example)}`);
  }

  /** @param range inclusive */
  whole(name: string, range: readonly [number, number]): number | undefined {
    const [least, most] = range;
    const value = this.number(name);
    if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) return value;
    return this.refuse(name, `must be a whole number from ${least} to ${most}`);
  }

  number(name: string): number | undefined {
    const found = this.#find(name);
    if (!found) return undefined;
    const { value } = found;
    const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
    if (typeof number === "number" && Number.isFinite(number)) return number;
    return this.#reject(found, "must be a number");
  }

  flag(name: string): boolean | undefined {
    const found = this.#find(name);
    if (!found) return undefined;
    const word = String(found.value).toLowerCase();
    if (word === "true" || word === "false") return word === "true";
    return this.#reject(found, "must be true or false");
  }

  /** One of `words`, whatever its case. */
  choice<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    const found = this.#find(name);
    if (!found) return undefined;
    const written = String(found.value).toLowerCase();
    const word = words.find((one) => one.toLowerCase() === written);
    return word ?? this.#reject(found, `must be one of ${words.join(", ")}`);
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** Notes what is wrong with a field that was read. */
  refuse(name: string, problem: string): undefined {
    const found = this.#find(name);
    return found ? this.#reject(found, problem) : this.missing(name, problem);
  }

  /** Notes that a field is not there. */
  missing(name: string, problem: string): undefined {
    const [layer] = this.#layers;
    return this.#reject(
      { kind: layer?.kind ?? "Device", field: `${layer?.path ?? ""}.${name}`, value: null },
      problem,
    );
  }

  #find(name: string): FoundField | undefined {
    const found = findField(this.#layers, name);
    return found?.value === "" ? undefined : found;
  }

  #reject(found: FoundField, problem: string): undefined {
    return this.#problems.add(found, problem);
  }
}
