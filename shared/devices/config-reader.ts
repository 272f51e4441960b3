import { nearest } from "#shared/errors";
import { isRecord } from "#shared/json";
import { compileTemplate, type Template } from "#shared/jinja";
import { parseExpression, type Expression } from "#shared/devices/expressions";

/** A field of a Device or DeviceModel that cannot be used. */
export interface MappingProblem {
  /** The object the field is in. */
  readonly kind: "Device" | "DeviceModel";
  /** e.g. `spec.properties[0].visitors.configData.topic` */
  readonly field: string;
  readonly value: unknown;
  /** What is wrong and what is expected. */
  readonly problem: string;
}

/** One `configData` in which a field may be set. */
export interface ConfigLayer {
  /** Whether it is for another protocol, whose keys are not known here. */
  readonly foreign?: boolean;
  readonly kind: MappingProblem["kind"];
  /** Field path of `config`, such as `spec.protocol.configData`. */
  readonly path: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** @returns what is wrong with a text; undefined when nothing is */
export type TextRule = (text: string) => string | undefined;

/** Reads fields from the first layer that has them and collects the problems found. */
export class ConfigReader {
  readonly problems: MappingProblem[] = [];
  readonly #name: string;
  readonly #namespace: string;

  constructor(names: { readonly name?: string; readonly namespace?: string }) {
    this.#name = names.name ?? "";
    this.#namespace = names.namespace ?? "";
  }

  /**
   * Reads a text; in fields whose name ends in "topic" `{name}` and `{namespace}` are replaced by those of the Device.
   */
  text(layers: readonly ConfigLayer[], name: string, rule: TextRule = () => undefined): string | undefined {
    const found = find(layers, name);
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
    const found = find(layers, name);
    if (!found || found.value === "") return undefined;
    const text = typeof found.value === "number" ? String(found.value) : found.value;
    if (typeof text === "string" && /^\d{1,6}$/.test(text)) return Number(text);
    return this.#reject(found, "must be a whole number from 0 to 999999");
  }

  /** Seconds as `90`, "90", "90s", "15m", "2h" or "1d"; in milliseconds. */
  duration(layers: readonly ConfigLayer[], name: string): number | undefined {
    const found = find(layers, name);
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
    const found = find(layers, name);
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
    const found = find(layers, name);
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
    const found = find(layers, name);
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

  /**
   * Reports keys that are close to a known key. Other unknown keys are left to mappers, which have keys of their own.
   */
  misspelled({ kind, path, config, foreign }: ConfigLayer, known: readonly string[]): void {
    if (foreign === true) return;
    for (const key of Object.keys(config)) {
      const meant = known.includes(key) ? undefined : nearest(key, known);
      if (meant === undefined) continue;
      const found = { kind, field: `${path}.${key}`, value: config[key] ?? null };
      this.#reject(found, `unknown key, did you mean ${JSON.stringify(meant)}?`);
    }
  }

  flag(layers: readonly ConfigLayer[], name: string): boolean | undefined {
    const found = find(layers, name);
    if (!found || found.value === "") return undefined;
    if (found.value === true || found.value === "true") return true;
    if (found.value === false || found.value === "false") return false;
    return this.#reject(found, "must be true or false");
  }

  #fill(topic: string): string {
    return topic.replaceAll("{name}", this.#name).replaceAll("{namespace}", this.#namespace);
  }

  #reject({ kind, field, value }: Omit<MappingProblem, "problem">, problem: string): undefined {
    if (!this.problems.some((known) => known.kind === kind && known.field === field))
      this.problems.push({ kind, field, value, problem });
  }
}

const unitMs: Readonly<Partial<Record<string, number>>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Timers of JavaScript end at 24 days. */
const longestDurationMs = 20 * 86_400_000;

function find(layers: readonly ConfigLayer[], name: string): Omit<MappingProblem, "problem"> | undefined {
  const layer = layers.find(({ config }) => Object.hasOwn(config, name));
  const value = layer?.config[name] ?? undefined;
  return layer && value !== undefined
    ? { kind: layer.kind, field: `${layer.path}.${name}`, value }
    : undefined;
}
