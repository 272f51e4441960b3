import { isRecord } from "#shared/json";
import { compileTemplate, type Template } from "#shared/jinja";
import { parseExpression, type Expression } from "#shared/devices/expressions";
import {
  ConfigProblems,
  findField,
  type ConfigLayer,
  type FoundField,
  type MappingProblem,
} from "./layers.ts";

/** @returns what is wrong with a text; undefined when nothing is */
export type TextRule = (text: string) => string | undefined;

/** Reads fields from the first layer that has them and collects the problems found. */
export class ConfigReader {
  readonly #problems = new ConfigProblems();
  readonly #name: string;
  readonly #namespace: string;

  constructor(names: { readonly name?: string; readonly namespace?: string }) {
    this.#name = names.name ?? "";
    this.#namespace = names.namespace ?? "";
  }

  get problems(): readonly MappingProblem[] {
    return this.#problems.all;
  }

  /**
   * Reads a text; in fields whose name ends in "topic" `{name}` and `{namespace}` are replaced by those of the Device.
   */
  text(layers: readonly ConfigLayer[], name: string, rule: TextRule = () => undefined): string | undefined {
    const found = findField(layers, name);
    if (!found || found.value === "") return undefined;
    if (typeof found.value !== "string") return this.#reject(found, "must be a text");
    const text = name.toLowerCase().endsWith("topic") ? this.#fill(found.value) : found.value;
    const problem = rule(text);
    return problem === undefined ? text : this.#reject(found, problem);
  }

  expression(layers: readonly ConfigLayer[], name = "expression"): Expression | undefined {
    return this.#compiled(layers, name, (text) => parseExpression(text));
  }

  /** @param names that the template may read */
  template(layers: readonly ConfigLayer[], name: string, names: readonly string[]): Template | undefined {
    return this.#compiled(layers, name, (text) => compileTemplate(text, names));
  }

  /** A whole number from 0 on, also as text. */
  count(layers: readonly ConfigLayer[], name: string): number | undefined {
    const found = findField(layers, name);
    if (!found || found.value === "") return undefined;
    const text = typeof found.value === "number" ? String(found.value) : found.value;
    if (typeof text === "string" && /^\d{1,6}$/.test(text)) return Number(text);
    return this.#reject(found, "must be a whole number from 0 to 999999");
  }

  /** Seconds as `90`, "90", "90s", "15m", "2h" or "1d"; in milliseconds. */
  duration(layers: readonly ConfigLayer[], name: string): number | undefined {
    const found = findField(layers, name);
    if (!found || found.value === "") return undefined;
    const text = typeof found.value === "number" ? String(found.value) : found.value;
    const [, number, unit = "s"] =
      (typeof text === "string" ? /^(\d{1,7}(?:\.\d{1,3})?)\s*([smhd])?$/.exec(text) : undefined) ?? [];
    const ms = Number(number ?? 0) * (unitMs[unit] ?? 0);
    if (ms > 0 && ms <= longestDurationMs) return ms;
    return this.#reject(found, 'must be a time up to 20 days, such as "90s", "15m", "2h" or "1d"');
  }

  /** An object whose values are texts, numbers or truth values. */
  texts(layers: readonly ConfigLayer[], name: string): ReadonlyMap<string, string> | undefined {
    const found = findField(layers, name);
    if (!found || found.value === "") return undefined;
    const entries = isRecord(found.value) ? Object.entries(found.value) : [];
    const isText = entries.every(([, value]) => ["string", "number", "boolean"].includes(typeof value));
    if (entries.length === 0 || entries.length > 100 || !isText)
      return this.#reject(found, "must be an object of up to 100 texts");
    return new Map(entries.map(([key, value]) => [key, String(value)]));
  }

  /** A list of objects, each as a layer of its own; undefined when there is none. */
  entries(layers: readonly ConfigLayer[], name: string, most: number): ConfigLayer[] | undefined {
    const layer = layers.find(({ config }) => Object.hasOwn(config, name));
    const found = findField(layers, name);
    if (!layer || !found) return undefined;
    const list: readonly unknown[] | undefined = Array.isArray(found.value) ? found.value : undefined;
    if (!list || list.length > most || !list.every(isRecord))
      return this.#reject(found, `must be a list of at most ${most} objects`);
    return list.filter(isRecord).map((config, index) => ({
      ...layer,
      path: `${layer.path}.${name}[${index}]`,
      config,
    }));
  }

  #compiled<T>(layers: readonly ConfigLayer[], name: string, compile: (text: string) => T): T | undefined {
    const found = findField(layers, name);
    const text = this.text(layers, name);
    if (!found || text === undefined) return undefined;
    try {
      return compile(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      const isExpression = error.message.startsWith("expression: ");
      const problem = error.message.replace("expression: ", "");
      return this.#reject(found, isExpression ? `must be an expression: ${problem}` : problem);
    }
  }

  /** Reports keys that are close to a known key. */
  misspelled(layer: ConfigLayer, known: readonly string[]): void {
    this.#problems.addMisspelled(layer, known);
  }

  flag(layers: readonly ConfigLayer[], name: string): boolean | undefined {
    const found = findField(layers, name);
    if (!found || found.value === "") return undefined;
    if (found.value === true || found.value === "true") return true;
    if (found.value === false || found.value === "false") return false;
    return this.#reject(found, "must be true or false");
  }

  #fill(topic: string): string {
    return topic.replaceAll("{name}", this.#name).replaceAll("{namespace}", this.#namespace);
  }

  #reject(found: FoundField, problem: string): undefined {
    return this.#problems.add(found, problem);
  }
}

const unitMs: Readonly<Partial<Record<string, number>>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Timers of JavaScript end at 24 days. */
const longestDurationMs = 20 * 86_400_000;
