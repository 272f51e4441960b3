import { readMatcher, type Matcher } from "#cloud/kube-api/admission/requests";
import { compileExpression, type Expression } from "#cloud/kube-api/custom-resources/cel";
import { childOf, itemsOf, metadataOf, textOf, textsOf, type JsonObject } from "#shared/json";
import { policyVariables } from "./variables.ts";

/** A ValidatingAdmissionPolicy, compiled. */
export interface Policy {
  readonly name: string;
  readonly matcher: Matcher;
  readonly ignoresFailure: boolean;
  /** Why it cannot be evaluated, as one that an older version has stored. */
  readonly problem: string | undefined;
  readonly paramKind: { readonly apiVersion: string; readonly kind: string } | undefined;
  readonly conditions: readonly Expression[];
  /** In their order: each may use those before it. */
  readonly variables: readonly { readonly name: string; readonly expression: Expression }[];
  readonly validations: readonly Validation[];
  readonly annotations: readonly {
    readonly key: string;
    readonly text: string;
    readonly value: Expression;
  }[];
}

export interface Validation {
  readonly text: string;
  readonly expression: Expression;
  readonly message: string;
  readonly messageExpression: Expression | undefined;
  readonly reason: string;
}

/** A ValidatingAdmissionPolicyBinding. */
export interface Binding {
  readonly name: string;
  readonly policyName: string;
  readonly matcher: Matcher | undefined;
  readonly params: JsonObject | undefined;
  readonly actions: readonly string[];
}

export function readPolicy(object: JsonObject): Policy {
  const problems: string[] = [];
  const spec = childOf(object, "spec") ?? {};
  const compiled = (text: string): Expression | undefined => {
    const expression = compileExpression(text, policyVariables);
    if (typeof expression !== "string") return expression;
    problems.push(`compilation failed: ERROR: ${expression}`);
    return undefined;
  };
  const paramKind = childOf(spec, "paramKind");
  const matchConstraints = childOf(spec, "matchConstraints") ?? {};
  const expressions = {
    conditions: itemsOf(spec, "matchConditions").flatMap((one) => compiled(textOf(one, "expression")) ?? []),
    variables: itemsOf(spec, "variables").flatMap((one) => {
      const expression = compiled(textOf(one, "expression"));
      return expression ? [{ name: textOf(one, "name"), expression }] : [];
    }),
    validations: itemsOf(spec, "validations").flatMap((one) => readValidation(one, compiled) ?? []),
    annotations: itemsOf(spec, "auditAnnotations").flatMap((one) => {
      const text = textOf(one, "valueExpression");
      const value = compiled(text);
      return value ? [{ key: textOf(one, "key"), text, value }] : [];
    }),
  };
  return {
    name: textOf(metadataOf(object), "name"),
    matcher: readMatcher(matchConstraints, "resourceRules"),
    ignoresFailure: spec["failurePolicy"] === "Ignore",
    problem: problems[0],
    paramKind: paramKind && {
      apiVersion: textOf(paramKind, "apiVersion"),
      kind: textOf(paramKind, "kind"),
    },
    ...expressions,
  };
}

function readValidation(
  validation: JsonObject,
  compiled: (text: string) => Expression | undefined,
): Validation | undefined {
  const messageText = textOf(validation, "messageExpression");
  const text = textOf(validation, "expression");
  const expression = compiled(text);
  return (
    expression && {
      text: text.trim(),
      expression,
      message: textOf(validation, "message").trim(),
      messageExpression: messageText === "" ? undefined : compiled(messageText),
      reason: textOf(validation, "reason") || "Invalid",
    }
  );
}

export function readBinding(object: JsonObject): Binding {
  const spec = childOf(object, "spec") ?? {};
  const match = childOf(spec, "matchResources");
  const matcher = match && readMatcher(match, "resourceRules");
  return {
    name: textOf(metadataOf(object), "name"),
    policyName: textOf(spec, "policyName"),
    matcher: matcher && { ...matcher, rules: matcher.rules?.length === 0 ? undefined : matcher.rules },
    params: childOf(spec, "paramRef"),
    actions: textsOf(spec, "validationActions"),
  };
}
