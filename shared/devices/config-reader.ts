import { nearest } from "#shared/errors";
import { parseExpression, type Expression } from "./expression.ts";

/** One field that cannot be used. */
export interface MappingProblem {
  /** The object the field is in. */
  readonly of: "Device" | "DeviceModel";
  /** e.g. `spec.properties[0].visitors.configData.topic` */
  readonly field: string;
  readonly value: unknown;
  /** What is wrong and what is expected. */
  readonly problem: string;
}

/** One of the places where a field may stand. */
export interface ConfigLayer {
  /** Whether it is for another program: then it may have any key. */
  readonly foreign?: boolean;
  readonly of: MappingProblem["of"];
  readonly at: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** Says what is wrong with a text, if anything. */
export type TextRule = (text: string) => string | undefined;

/** Reads fields from the first layer that has them and collects what is wrong. */
export class ConfigReader {
  readonly problems: MappingProblem[] = [];
  readonly #name: string;
  readonly #namespace: string;

  constructor(names: { readonly name?: string; readonly namespace?: string }) {
    this.#name = names.name ?? "";
    this.#namespace = names.namespace ?? "";
  }

  /** Texts that name topics have the device's names filled in. */
  text(layers: readonly ConfigLayer[], name: string, judge: TextRule = () => undefined): string | undefined {
    const found = find(layers, name);
    if (!found || found.value === "") return undefined;
    if (typeof found.value !== "string") return this.#complain(found, "must be a text");
    const text = name.toLowerCase().endsWith("topic") ? this.#fill(found.value) : found.value;
    const problem = judge(text);
    return problem === undefined ? text : this.#complain(found, problem);
  }

  expression(layers: readonly ConfigLayer[]): Expression | undefined {
    const found = find(layers, "expression");
    const text = this.text(layers, "expression");
    if (!found || text === undefined) return undefined;
    try {
      return parseExpression(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return this.#complain(found, `must be an expression: ${error.message.replace("expression: ", "")}`);
    }
  }

  /** A key like one of ours is one of ours misspelled; others are for mappers, which have keys of their own. */
  misspelled({ of, at, config, foreign }: ConfigLayer, known: readonly string[]): void {
    if (foreign === true) return;
    for (const key of Object.keys(config)) {
      const meant = known.includes(key) ? undefined : nearest(key, known);
      if (meant === undefined) continue;
      const found = { of, field: `${at}.${key}`, value: config[key] ?? null };
      this.#complain(found, `unknown key, did you mean ${JSON.stringify(meant)}?`);
    }
  }

  flag(layers: readonly ConfigLayer[], name: string): boolean | undefined {
    const found = find(layers, name);
    if (!found || found.value === "") return undefined;
    if (found.value === true || found.value === "true") return true;
    if (found.value === false || found.value === "false") return false;
    return this.#complain(found, "must be true or false");
  }

  #fill(topic: string): string {
    return topic.replaceAll("{name}", this.#name).replaceAll("{namespace}", this.#namespace);
  }

  #complain({ of, field, value }: Omit<MappingProblem, "problem">, problem: string): undefined {
    if (!this.problems.some((known) => known.of === of && known.field === field))
      this.problems.push({ of, field, value, problem });
  }
}

function find(layers: readonly ConfigLayer[], name: string): Omit<MappingProblem, "problem"> | undefined {
  const layer = layers.find(({ config }) => Object.hasOwn(config, name));
  const value = layer?.config[name] ?? undefined;
  return layer && value !== undefined ? { of: layer.of, field: `${layer.at}.${name}`, value } : undefined;
}
