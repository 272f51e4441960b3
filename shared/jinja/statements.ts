import {
  Output,
  Scope,
  type Compute,
  type Rendering,
  type Run,
  isList,
  isTrue,
  Namespace,
  RenderError,
  textOf,
  type Value,
} from "#shared/jinja/values";
import type { ExpressionCompiler } from "./expressions.ts";
import { listOf } from "#shared/jinja/filters";
import type { Node } from "./syntax.ts";

/** What the statements of the library have, as far as it is read here. */
interface Parts extends Node {
  readonly value: unknown;
  readonly [part: string]: unknown;
}

/** Names that a template sets itself, in any of its parts. */
export function namesSet(nodes: readonly unknown[]): Set<string> {
  const names = new Set<string>();
  for (const node of nodes as readonly Parts[]) {
    if (node.type === "Set") addTarget(names, node["assignee"] as Parts);
    if (node.type === "For") {
      addTarget(names, node["loopvar"] as Parts);
      names.add("loop");
    }
    for (const part of ["body", "alternate", "defaultBlock"]) addAll(names, node[part]);
  }
  return names;
}

function addAll(names: Set<string>, nodes: unknown): void {
  if (Array.isArray(nodes)) for (const name of namesSet(nodes)) names.add(name);
}

function addTarget(names: Set<string>, { type, value }: Parts): void {
  if (type === "Identifier") names.add(value as string);
  if (type === "TupleLiteral") for (const one of value as readonly Parts[]) addTarget(names, one);
}

/** Makes one function of statements. @throws SyntaxError with what is not known */
export function compileBlock(nodes: unknown, expressions: ExpressionCompiler): Run {
  const runs = (nodes as readonly Parts[]).map((node) => compileStatement(node, expressions));
  return (rendering) => {
    for (const run of runs) {
      const signal = run(rendering);
      if (signal) return signal;
    }
    return undefined;
  };
}

function compileStatement(node: Parts, expressions: ExpressionCompiler): Run {
  switch (node.type) {
    case "Comment":
      return () => undefined;
    case "Break":
      return () => "break";
    case "Continue":
      return () => "continue";
    case "If":
      return compileIf(node, expressions);
    case "For":
      return compileFor(node, expressions);
    case "Set":
      return compileSet(node, expressions);
    default:
      return print(expressions.compile(node));
  }
}

function print(compute: Compute): Run {
  return (rendering) => {
    const value = compute(rendering);
    if (value === undefined) rendering.output.hasGap = true;
    rendering.output.add(textOf(value));
    return undefined;
  };
}

function compileIf({ test, body, alternate }: Parts, expressions: ExpressionCompiler): Run {
  const decide = expressions.compile(test);
  const [yes, no] = [compileBlock(body, expressions), compileBlock(alternate, expressions)];
  return (rendering) => (isTrue(decide(rendering)) ? yes(rendering) : no(rendering));
}

function compileFor({ loopvar, iterable, body, defaultBlock }: Parts, expressions: ExpressionCompiler): Run {
  const of = iterable as Parts;
  if (of.type === "SelectExpression") throw new SyntaxError("has a loop with a condition");
  const items = expressions.compile(of);
  const assign = target(loopvar as Parts, expressions);
  const [run, otherwise] = [compileBlock(body, expressions), compileBlock(defaultBlock, expressions)];
  return (rendering) => {
    const list = listOf(items(rendering), rendering.budget);
    if (list.length === 0) return otherwise(rendering);
    for (const [index, item] of list.entries()) {
      rendering.budget.charge();
      const inner = { ...rendering, scope: new Scope(rendering.scope) };
      inner.scope.set("loop", loopOf(index, list.length));
      assign(inner, item);
      if (run(inner) === "break") break;
    }
    return undefined;
  };
}

function loopOf(index: number, length: number): Value {
  return {
    index: BigInt(index + 1),
    index0: BigInt(index),
    first: index === 0,
    last: index === length - 1,
    length: BigInt(length),
  };
}

function compileSet({ assignee, value, body }: Parts, expressions: ExpressionCompiler): Run {
  const assign = target(assignee as Parts, expressions);
  const compute = value === null ? capture(compileBlock(body, expressions)) : expressions.compile(value);
  return (rendering) => {
    assign(rendering, compute(rendering));
    return undefined;
  };
}

/** `{% set x %}…{% endset %}`: what is printed in between. */
function capture(run: Run): Compute {
  return (rendering) => {
    const output = new Output(rendering.budget);
    run({ ...rendering, output });
    return output.hasGap && output.text.trim() === "" ? undefined : output.text;
  };
}

type Assign = (rendering: Rendering, value: Value) => void;

function target(node: Parts, expressions: ExpressionCompiler): Assign {
  if (node.type === "Identifier") {
    const name = node.value as string;
    return ({ scope }, value) => scope.set(name, value);
  }
  if (node.type === "TupleLiteral") {
    const parts = (node.value as readonly Parts[]).map((part) => target(part, expressions));
    return (rendering, value) => {
      if (!isList(value) || value.length !== parts.length)
        throw new RenderError(`needs a list of ${parts.length}`);
      for (const [index, assign] of parts.entries()) assign(rendering, value[index]);
    };
  }
  const property = node["property"] as Parts | undefined;
  if (node.type !== "MemberExpression" || node["computed"] === true || property?.type !== "Identifier")
    throw new SyntaxError("sets something that has no name");
  const object = expressions.compile(node["object"]);
  return (rendering, value) => {
    const of = object(rendering);
    if (!(of instanceof Namespace)) throw new RenderError("sets a member of something that is no namespace");
    of.members.set(property.value as string, value);
  };
}
