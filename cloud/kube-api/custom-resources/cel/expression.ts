import type { Environment } from "@marcbachmann/cel-js";
import { isRecord } from "#shared/json";
import { readPattern, type Pattern } from "#cloud/kube-api/custom-resources/patterns";
import { checkSize, outOfSteps } from "#cloud/kube-api/custom-resources/cel/size";
import { createEnvironment } from "./environment.ts";
import { located, spelled } from "./located.ts";
import { macros, undefinedField, type SchemaOf } from "./schema-check.ts";

/** Steps that may still be taken; shared by all expressions of a request. */
export interface Meter {
  steps: number;
}

export interface Expression {
  /** What its value is, such as "bool", as far as it is known; "dyn" else. */
  readonly type: string;
  /** Whether the expression uses a variable. */
  uses(variable: string): boolean;
  /** @throws CelFailure with the text of a runtime error, or when the steps run out */
  evaluate(values: Readonly<Record<string, unknown>>, meter: Meter): unknown;
}

export class CelFailure extends Error {}

/** What an expression of the library is made of, as far as it is looked at here. */
interface Node {
  readonly op: string;
  readonly args: unknown;
  /** Replaced by the library when it is first called. */
  evaluate: Evaluate;
}

type Evaluate = (evaluator: Evaluator, node: Node, context: unknown) => unknown;

interface Evaluator {
  run(node: Node, context: unknown): unknown;
}

/** Longer expressions are refused: Kubernetes' documentation has none of a tenth. */
const longestExpression = 4096;

/** Steps take as long as the texts that they may read are. */
interface WeightedMeter extends Meter {
  weight: number;
}

/** Characters that are searched or joined in the time of a step. */
const textAStep = 500;

/** Environments by the names of their variables: to make one costs a millisecond. */
const environments = new Map<string, Environment>();

/**
 * Compiles an expression. Each repetition of a macro takes steps from a meter, as many as its expression has nodes, and regular
 * expressions run on RE2: the work is bounded whatever the values are.
 * @param schemas of variables, whose fields have to be declared
 * @returns a text for an expression that is not well formed or uses names that are not known
 */
export function compileExpression(
  text: string,
  variables: readonly string[],
  schemas: SchemaOf = {},
): Expression | string {
  if (text.length > longestExpression) return `must be no more than ${longestExpression} characters`;
  try {
    const program = environmentOf(variables).parse(text);
    const checked = program.check();
    if (!checked.valid) return located(text, checked.error);
    const unknown = undefinedField(program.ast, schemas);
    if (unknown) return located(text, unknown);
    const meter: WeightedMeter = { steps: 0, weight: 1 };
    const nodes = nodesOf(program.ast);
    for (const node of nodes) instrument(node, meter);
    const names = new Set(
      nodes.flatMap(({ op, args }) => (op === "id" && typeof args === "string" ? [args] : [])),
    );
    return {
      type: checked.type ?? "dyn",
      uses: (variable) => names.has(variable),
      evaluate: (values, given) => {
        meter.weight = 1 + Math.floor(longestData(values) / textAStep);
        return run(() => program({ ...values }) as unknown, { meter, given, cost: nodes.length });
      },
    };
  } catch (error) {
    return located(text, error);
  }
}

function environmentOf(variables: readonly string[]): Environment {
  const id = variables.join(",");
  const environment = environments.get(id) ?? createEnvironment(variables);
  environments.set(id, environment);
  return environment;
}

/** For each of several schemas of the variables, the first field of an expression that they do not declare, as text, if any. */
export function undeclaredFields(
  text: string,
  variables: readonly string[],
  all: readonly SchemaOf[],
): (string | undefined)[] {
  if (text.length > longestExpression) return [];
  try {
    const { ast } = environmentOf(variables).parse(text);
    return all.map((schemas) => {
      const unknown = undefinedField(ast, schemas);
      return unknown && located(text, unknown);
    });
  } catch {
    // What is not well formed is refused as such.
    return [];
  }
}

function run(
  evaluate: () => unknown,
  { meter, given, cost }: { readonly meter: WeightedMeter; readonly given: Meter; readonly cost: number },
): unknown {
  meter.steps = given.steps - cost * meter.weight;
  try {
    if (meter.steps < 0) throw new CelFailure(outOfSteps);
    return evaluate();
  } catch (error) {
    if (meter.steps < 0) throw new CelFailure(outOfSteps);
    throw new CelFailure(spelled(error));
  } finally {
    given.steps = meter.steps;
  }
}

/** Without what is evaluated when it is used, and counts itself. */
function longestData({
  variables: _variables,
  authorizer: _authorizer,
  ...data
}: object & {
  readonly variables?: unknown;
  readonly authorizer?: unknown;
}): number {
  return longestText(data);
}

function longestText(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value).reduce<number>((most, one) => Math.max(most, longestText(one)), 0);
}

function nodesOf(root: unknown): Node[] {
  if (Array.isArray(root)) return root.flatMap(nodesOf);
  if (!isNode(root)) return [];
  return [root, ...nodesOf(root.args)];
}

function isNode(value: unknown): value is Node {
  return isRecord(value) && typeof value["op"] === "string" && typeof value["evaluate"] === "function";
}

function instrument(node: Node, meter: WeightedMeter): void {
  const { op, args } = node;
  if (op === "+") replace(node, sizeChecked);
  if (op !== "rcall" || !Array.isArray(args)) return;
  const [name, , parameters] = args as [string, Node, Node[]];
  if (searches.has(name)) replace(node, (original) => searchWithin(original, meter));
  if (name === "join") replace(node, joinWithin);
  if (!macros.has(name)) return;
  // A loop that is entered without steps left ends at once, and so do those around it.
  spendBefore(node, meter, 0);
  for (const parameter of parameters.slice(1)) spendBefore(parameter, meter, nodesOf(parameter).length);
}

function spendBefore(node: Node, meter: WeightedMeter, cost: number): void {
  replace(node, (original) => (evaluator, self, context) => {
    meter.steps -= cost * meter.weight;
    if (meter.steps < 0) throw new CelFailure(outOfSteps);
    return original(evaluator, self, context);
  });
}

/** Runs `make(original)` for a node. The node finds out how it is evaluated, and replaces its function, in its first evaluation. */
function replace(node: Node, make: (original: Evaluate) => Evaluate): void {
  const first = node.evaluate;
  let found: Evaluate | undefined;
  const original: Evaluate = (evaluator, self, context) => {
    if (found) return found.call(node, evaluator, self, context);
    try {
      return first.call(node, evaluator, self, context);
    } finally {
      if (node.evaluate !== replaced) found = node.evaluate;
      node.evaluate = replaced;
    }
  };
  const replaced = make(original);
  node.evaluate = replaced;
}

/** States of a pattern times characters that take the time of a step. */
const patternStepsAStep = 10;

/** Functions with a regular expression. */
const searches = new Set(["matches", "find", "findAll"]);

/** `text.matches(pattern)` and searches without the backtracking of JavaScript. */
function searchWithin(original: Evaluate, meter: Meter): Evaluate {
  return (evaluator, self, context) => {
    const [name, receiver, [parameter, most]] = self.args as [string, Node, [Node, Node?]];
    const text = evaluator.run(receiver, context);
    const pattern = evaluator.run(parameter, context);
    if (typeof text !== "string" || typeof pattern !== "string") return original(evaluator, self, context);
    const read = readPattern(pattern);
    if ("error" in read) throw new CelFailure(read.error);
    const spend = (characters: number): void => {
      meter.steps -= Math.ceil((characters * read.pattern.states) / patternStepsAStep) + 1;
      if (meter.steps < 0) throw new CelFailure(outOfSteps);
    };
    if (name === "matches") {
      spend(text.length);
      return read.pattern.test(text);
    }
    const limit = name === "find" ? 1 : most ? Number(evaluator.run(most, context)) : -1;
    const found = matchesOf(text, read.pattern, { limit, spend });
    return name === "find" ? (found[0] ?? "") : found;
  };
}

function matchesOf(
  text: string,
  pattern: Pattern,
  { limit, spend }: { readonly limit: number; readonly spend: (characters: number) => void },
): string[] {
  const found: string[] = [];
  const most = limit < 0 ? Infinity : limit;
  let start = 0;
  while (start <= text.length && found.length < most) {
    spend(text.length - start);
    const match = pattern.find(text, start);
    if (!match) break;
    found.push(text.slice(...match));
    // An empty match is one place further, as in Go.
    start = match[1] > match[0] ? match[1] : match[1] + 1;
  }
  return found;
}

/** Texts and lists that are added to each other must not grow without end. */
function sizeChecked(original: Evaluate): Evaluate {
  return (evaluator, self, context) => {
    const sum = original(evaluator, self, context);
    if (typeof sum === "string" || Array.isArray(sum)) checkSize(sum.length);
    return sum;
  };
}

/** The length of a joined text is checked before it is made. */
function joinWithin(original: Evaluate): Evaluate {
  return (evaluator, self, context) => {
    const [, receiver, [parameter]] = self.args as [string, Node, [Node?]];
    const list = evaluator.run(receiver, context);
    const separator = parameter ? evaluator.run(parameter, context) : "";
    if (
      !Array.isArray(list) ||
      typeof separator !== "string" ||
      !list.every((one) => typeof one === "string")
    )
      return original(evaluator, self, context);
    checkSize(list.reduce((sum, one) => sum + one.length + separator.length, 0));
    return list.join(separator);
  };
}
