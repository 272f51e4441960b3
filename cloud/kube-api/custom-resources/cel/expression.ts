import type { Environment } from "@marcbachmann/cel-js";
import { asError } from "#shared/errors";
import { isRecord } from "#shared/json";
import { readPattern } from "#cloud/kube-api/custom-resources/patterns";
import { createEnvironment } from "./environment.ts";

/** Steps that may still be taken; shared by all expressions of a request. */
export interface Meter {
  steps: number;
}

export interface Expression {
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

export const outOfSteps = "operation cancelled: actual cost limit exceeded";
/** Longer expressions are refused: Kubernetes' documentation has none of a tenth. */
const longestExpression = 4096;
/** Macros that repeat their last arguments for each item. */
const macros = new Set(["all", "exists", "exists_one", "map", "filter"]);

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
 * @returns a text for an expression that is not well formed or uses names that are not known
 */
export function compileExpression(text: string, variables: readonly string[]): Expression | string {
  if (text.length > longestExpression) return `must be no more than ${longestExpression} characters`;
  const id = variables.join(",");
  const environment = environments.get(id) ?? createEnvironment(variables);
  environments.set(id, environment);
  try {
    const program = environment.parse(text);
    const checked = program.check();
    if (!checked.valid) return firstLine(checked.error);
    const meter: WeightedMeter = { steps: 0, weight: 1 };
    const nodes = nodesOf(program.ast);
    for (const node of nodes) instrument(node, meter);
    const names = new Set(
      nodes.flatMap(({ op, args }) => (op === "id" && typeof args === "string" ? [args] : [])),
    );
    return {
      uses: (variable) => names.has(variable),
      evaluate: (values, given) => {
        meter.weight = 1 + Math.floor(longestText(values) / textAStep);
        return run(() => program({ ...values }) as unknown, { meter, given, cost: nodes.length });
      },
    };
  } catch (error) {
    return firstLine(error);
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
    throw new CelFailure(firstLine(error));
  } finally {
    given.steps = meter.steps;
  }
}

function longestText(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value).reduce<number>((most, one) => Math.max(most, longestText(one)), 0);
}

function firstLine(error: unknown): string {
  return asError(error).message.split("\n", 1)[0] ?? "";
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
  if (op !== "rcall" || !Array.isArray(args)) return;
  const [name, , parameters] = args as [string, Node, Node[]];
  if (name === "matches") replace(node, (original) => matchesWithin(original, meter));
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

/** `text.matches(pattern)` without the backtracking of JavaScript. */
function matchesWithin(original: Evaluate, meter: Meter): Evaluate {
  return (evaluator, self, context) => {
    const [, receiver, [parameter]] = self.args as [string, Node, [Node]];
    const text = evaluator.run(receiver, context);
    const pattern = evaluator.run(parameter, context);
    if (typeof text !== "string" || typeof pattern !== "string") return original(evaluator, self, context);
    const read = readPattern(pattern);
    if ("error" in read) throw new CelFailure(read.error);
    meter.steps -= Math.ceil((text.length * read.pattern.states) / patternStepsAStep);
    if (meter.steps < 0) throw new CelFailure(outOfSteps);
    return read.pattern.test(text);
  };
}
