import { meetsConditions } from "#cloud/kube-api/admission/requests";
import { madeMessage, type Meter } from "#cloud/kube-api/custom-resources/cel";
import { asError } from "#shared/errors";
import type { Policy, Validation } from "./policy.ts";
import { lazyVariables, mostSteps } from "./variables.ts";

/** Why a policy does not admit a request. */
export interface Denied {
  readonly message: string;
  readonly reason: string;
  /** Which of the validations; undefined: the policy itself could not be evaluated. */
  readonly index: number | undefined;
}

interface Verdict {
  readonly denied: readonly Denied[];
  readonly annotations: Readonly<Record<string, string>>;
  /** Annotations that cannot be evaluated deny a request whatever the actions are. */
  readonly broken: readonly Denied[];
}

const nothing: Verdict = { denied: [], annotations: {}, broken: [] };
/** Upstream's bound on texts that expressions make. */
const longestAnnotation = 10 * 1024;

/** What a policy says about a request, with one param or none. @param values without `variables` */
export function evaluatePolicy(policy: Policy, values: Readonly<Record<string, unknown>>): Verdict {
  const meter: Meter = { steps: mostSteps };
  const all = { ...values, variables: lazyVariables(policy.variables, values, meter) };
  const failed = (error: unknown, index?: number): Denied[] =>
    policy.ignoresFailure ? [] : [{ message: asError(error).message, reason: "Invalid", index }];
  try {
    if (!meetsConditions(policy.conditions, all, meter)) return nothing;
  } catch (error) {
    return { ...nothing, denied: failed(error) };
  }
  const denied = policy.validations.flatMap((validation, index): Denied[] => {
    try {
      if (validation.expression.evaluate(all, meter) === true) return [];
      return [{ message: messageOf(validation, all, meter), reason: validation.reason, index }];
    } catch (error) {
      return failed(inExpression(validation.text, error), index);
    }
  });
  return { denied, ...annotationsOf(policy, all, { meter, failed }) };
}

function inExpression(text: string, error: unknown): Error {
  return new Error(`expression '${text}' resulted in error: ${asError(error).message}`, { cause: error });
}

/** The message that is made, else the one that is written, else the expression. */
function messageOf(
  { messageExpression, message, text }: Validation,
  values: Readonly<Record<string, unknown>>,
  meter: Meter,
): string {
  const usual = message || `failed expression: ${text}`;
  return (messageExpression && madeMessage(messageExpression, values, meter)) ?? usual;
}

function annotationsOf(
  { annotations }: Policy,
  values: Readonly<Record<string, unknown>>,
  { meter, failed }: { readonly meter: Meter; readonly failed: (error: unknown) => Denied[] },
): Pick<Verdict, "annotations" | "broken"> {
  const found: Record<string, string> = {};
  const broken: Denied[] = [];
  for (const { key, text, value: expression } of annotations)
    try {
      const value = expression.evaluate(values, meter);
      if (typeof value === "string" && value.trim() !== "")
        found[key] = value.trim().slice(0, longestAnnotation);
      else if (typeof value !== "string" && value !== null)
        throw new Error(
          `valueExpression '${text}' resulted in unsupported return type: ${typeof value}. Return type must be either string or null.`,
        );
    } catch (error) {
      broken.push(...failed(inExpression(text, error)));
    }
  return { annotations: found, broken };
}
