import { nearest } from "#shared/errors";
import { parseExpression, type Expression } from "./expression.ts";

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

  expression(layers: readonly ConfigLayer[]): Expression | undefined {
    const found = find(layers, "expression");
    const text = this.text(layers, "expression");
    if (!found || text === undefined) return undefined;
    try {
      return parseExpression(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return this.#reject(found, `must be an expression: ${error.message.replace("expression: ", "")}`);
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

function find(layers: readonly ConfigLayer[], name: string): Omit<MappingProblem, "problem"> | undefined {
  const layer = layers.find(({ config }) => Object.hasOwn(config, name));
  const value = layer?.config[name] ?? undefined;
  return layer && value !== undefined
    ? { kind: layer.kind, field: `${layer.path}.${name}`, value }
    : undefined;
}
