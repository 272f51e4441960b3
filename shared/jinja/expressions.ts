import { checks } from "./checks.ts";
import {
  type Callable,
  type Compute,
  type Given,
  type Rendering,
  calculate,
  excerpt,
  binaries,
  comparisons,
  Dict,
  entriesOf,
  isTrue,
  member,
  Namespace,
  NoValue,
  RenderError,
  type Value,
} from "#shared/jinja/values";
import { filtersWith, functionNames, Patterns, mappingMethods, textMethods } from "#shared/jinja/filters";
import type { Node } from "./syntax.ts";

/** What the nodes of the library have, as far as it is read here. */
interface Parts extends Node {
  readonly value: unknown;
  readonly operator: { readonly value: string };
  readonly [part: string]: unknown;
}

/**
 * Makes functions of expressions. What is not known (a node, filter, test, method or name) is refused here, before the
 * template meets a payload.
 */
export class ExpressionCompiler {
  readonly #filters = filtersWith(new Patterns());
  readonly #names: ReadonlySet<string>;

  /** @param names that have a value, given or set by the template */
  constructor(names: ReadonlySet<string>) {
    this.#names = names;
  }

  /** @throws SyntaxError with what is not known */
  compile(given: unknown): Compute {
    // The library's node, whose shape follows from its type.
    const node = given as Parts;
    const compute = this.#compile(node);
    return (rendering) => {
      rendering.budget.charge();
      return rendering.budget.keep(compute(rendering));
    };
  }

  #compile(node: Parts): Compute {
    const compilers = this.#compilers;
    const compiler = Object.hasOwn(compilers, node.type) ? compilers[node.type] : undefined;
    if (!compiler) throw new SyntaxError(`has ${JSON.stringify(node.type)}, which is not known here`);
    return compiler(node);
  }

  readonly #compilers: Readonly<Partial<Record<string, (node: Parts) => Compute>>> = {
    StringLiteral: ({ value }) => constant(value as string),
    IntegerLiteral: ({ value }) => {
      if (!Number.isSafeInteger(value)) throw new SyntaxError("has too large a number");
      return constant(BigInt(value as number));
    },
    FloatLiteral: ({ value }) => constant(value as number),
    ArrayLiteral: ({ value }) => this.#list(value),
    TupleLiteral: ({ value }) => this.#list(value),
    ObjectLiteral: ({ value }) => {
      const entries = [...(value as ReadonlyMap<Node, Node>)].map(
        ([key, one]) => [this.compile(key), this.compile(one)] as const,
      );
      return (rendering) =>
        rendering.budget.weigh(
          new Dict(entries.map(([key, one]) => [key(rendering), one(rendering)] as const)),
        );
    },
    Identifier: ({ value }) => this.#name(value as string),
    MemberExpression: (node) => this.#member(node),
    BinaryExpression: (node) => this.#binary(node),
    UnaryExpression: ({ operator, argument }) => {
      const inner = this.compile(argument);
      if (operator.value === "not") return (rendering) => !isTrue(inner(rendering));
      const sign = operator.value === "-" ? "-" : "+";
      return (rendering) => calculate(sign, 0n, defined(inner(rendering)));
    },
    Ternary: ({ condition, trueExpr, falseExpr }) =>
      choose(this.compile(condition), this.compile(trueExpr), this.compile(falseExpr)),
    SelectExpression: ({ lhs, test }) => choose(this.compile(test), this.compile(lhs), constant(undefined)),
    TestExpression: ({ operand, negate, test }) => {
      const inner = this.compile(operand);
      const check = checks[(test as Parts).value as string];
      if (!check) throw new SyntaxError(`has the unknown test ${JSON.stringify((test as Parts).value)}`);
      return (rendering) => check(inner(rendering)) !== (negate === true);
    },
    FilterExpression: ({ operand, filter }) => this.#filter(operand, filter as Parts),
    CallExpression: (node) => this.#call(node),
  };

  #list(value: unknown): Compute {
    const items = (value as readonly Node[]).map((item) => this.compile(item));
    return (rendering) => rendering.budget.weigh(items.map((item) => item(rendering)));
  }

  #name(name: string): Compute {
    const fixed = constants.get(name);
    if (fixed) return constant(fixed.value);
    if (!this.#names.has(name))
      throw new SyntaxError(`reads ${JSON.stringify(name)}, which is not known here`);
    return ({ scope }) => scope.find(name);
  }

  #member({ object, property, computed }: Parts): Compute {
    const of = this.compile(object);
    const key = property as Parts;
    if (computed === true && key.type === "SliceExpression") return this.#slice(of, key);
    const find = computed === true ? this.compile(key) : constant(nameOrIndex(key));
    return (rendering) => member(of(rendering), find(rendering));
  }

  #slice(of: Compute, { start, stop, step }: Parts): Compute {
    if (step !== undefined) throw new SyntaxError("has a slice with a step");
    const bound = (node: unknown): Compute => (node === undefined ? constant(undefined) : this.compile(node));
    const [from, to] = [bound(start), bound(stop)];
    return (rendering) => {
      const value = of(rendering);
      if (value === undefined) throw new NoValue("nothing to take a part of");
      if (typeof value !== "string" && !Array.isArray(value))
        throw new RenderError(`cannot take a part of ${excerpt(value)}`);
      const [first, last] = [from(rendering), to(rendering)];
      return (value as string).slice(indexOf(first), indexOf(last));
    };
  }

  #binary({ operator, left, right }: Parts): Compute {
    const sign = operator.value;
    const signs = [left, right].map((node) => signOf(node as Parts));
    // The library keeps no brackets, and reads these in another order than Jinja.
    if (comparisons.has(sign) && signs.some((inner) => inner !== undefined && comparisons.has(inner)))
      throw new SyntaxError("compares the result of a comparison");
    if (sign === "~" && signs.some((inner) => inner === "+" || inner === "-"))
      throw new SyntaxError("mixes ~ with + or -");
    const [a, b] = [this.compile(left), this.compile(right)];
    if (sign === "and")
      return (rendering) =>
        either(
          a(rendering),
          (value) => !isTrue(value),
          () => b(rendering),
        );
    if (sign === "or") return (rendering) => either(a(rendering), isTrue, () => b(rendering));
    const apply = binaries[sign];
    if (!apply) throw new SyntaxError(`has the unknown operator ${sign}`);
    return (rendering) => apply(a(rendering), b(rendering), rendering.budget);
  }

  #filter(operand: unknown, filter: Parts): Compute {
    const isCall = filter.type === "CallExpression";
    const name = ((isCall ? filter["callee"] : filter) as Parts).value;
    const apply = typeof name === "string" ? this.#filters[name] : undefined;
    if (!apply) throw new SyntaxError(`has the unknown filter ${JSON.stringify(name)}`);
    return this.#apply(apply, this.compile(operand), isCall ? filter["args"] : []);
  }

  #call({ callee, args }: Parts): Compute {
    const called = callee as Parts;
    if (called.type === "MemberExpression" && called["computed"] !== true) return this.#method(called, args);
    const name = called.type === "Identifier" ? (called.value as string) : "";
    if (name === "namespace") return this.#namespace(args);
    const apply = functionNames.has(name) ? this.#filters[name] : undefined;
    if (!apply) throw new SyntaxError(`calls ${JSON.stringify(name)}, which is not known here`);
    const [first, ...rest] = args as readonly Node[];
    if (!first || first.type === "KeywordArgumentExpression")
      throw new SyntaxError(`calls ${name} without a value`);
    return this.#apply(apply, this.compile(first), rest);
  }

  #method({ object, property }: Parts, args: unknown): Compute {
    const name = (property as Parts).value as string;
    const [ofText, ofMapping] = [textMethods[name], mappingMethods[name]];
    if (!ofText && !ofMapping) throw new SyntaxError(`calls the unknown method ${JSON.stringify(name)}`);
    const apply: Callable = (input, given, budget) => {
      if (input === undefined) throw new NoValue(name);
      const method = typeof input === "string" ? ofText : entriesOf(input) ? ofMapping : undefined;
      if (!method) throw new RenderError(`cannot call ${name} of ${excerpt(input)}`);
      return method(input, given, budget);
    };
    return this.#apply(apply, this.compile(object), args);
  }

  #namespace(args: unknown): Compute {
    const given = this.#given(args);
    return (rendering) => {
      const made = new Namespace();
      for (const [name, value] of given(rendering).named) made.members.set(name, value);
      return made;
    };
  }

  #apply(apply: Callable, operand: Compute, args: unknown): Compute {
    const given = this.#given(args);
    return (rendering) => {
      const input = operand(rendering);
      return apply(input, given(rendering), rendering.budget);
    };
  }

  #given(args: unknown): (rendering: Rendering) => Given {
    const nodes = args as readonly Parts[];
    const named = nodes
      .filter(({ type }) => type === "KeywordArgumentExpression")
      .map((node) => [(node["key"] as Parts).value as string, this.compile(node.value)] as const);
    const list = nodes
      .filter(({ type }) => type !== "KeywordArgumentExpression")
      .map((node) => this.compile(node));
    return (rendering) => ({
      list: list.map((compute) => compute(rendering)),
      named: new Map(named.map(([name, compute]) => [name, compute(rendering)])),
    });
  }
}

const constants: ReadonlyMap<string, { readonly value: Value }> = new Map<string, { readonly value: Value }>([
  ...["true", "True"].map((name) => [name, { value: true }] as const),
  ...["false", "False"].map((name) => [name, { value: false }] as const),
  ...["none", "None"].map((name) => [name, { value: null }] as const),
]);

function constant(value: Value): Compute {
  return () => value;
}

function choose(test: Compute, yes: Compute, no: Compute): Compute {
  return (rendering) => (isTrue(test(rendering)) ? yes(rendering) : no(rendering));
}

function either(value: Value, isEnough: (value: Value) => boolean, other: () => Value): Value {
  return isEnough(value) ? value : other();
}

function signOf(node: Parts): string | undefined {
  return node.type === "BinaryExpression" ? node.operator.value : undefined;
}

function nameOrIndex({ type, value }: Parts): Value {
  return type === "IntegerLiteral" ? BigInt(value as number) : (value as string);
}

function indexOf(value: Value): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "bigint") throw new RenderError(`cannot take a part from ${excerpt(value)}`);
  return Number(value);
}

function defined(value: Value): Value {
  if (value === undefined) throw new NoValue("nothing to compute with");
  return value;
}
