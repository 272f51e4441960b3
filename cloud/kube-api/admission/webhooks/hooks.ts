import { readMatcher, type Matcher } from "#cloud/kube-api/admission/requests";
import { compileExpression, type Expression } from "#cloud/kube-api/custom-resources/cel";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";

/** One webhook of a configuration. */
export interface Hook extends Matcher {
  readonly name: string;
  readonly client: JsonObject;
  readonly ignoresFailure: boolean;
  readonly timeoutMs: number;
  readonly reinvoked: boolean;
  readonly conditions: readonly Expression[];
}

const conditionVariables = ["object", "oldObject", "request"];

/** The webhooks of a configuration, which was validated. */
export function readHooks(configuration: JsonObject): Hook[] {
  return itemsOf(configuration, "webhooks").map((webhook) => ({
    ...readMatcher(webhook, "rules"),
    name: textOf(webhook, "name"),
    client: childOf(webhook, "clientConfig") ?? {},
    ignoresFailure: webhook["failurePolicy"] === "Ignore",
    timeoutMs: (numberOf(webhook, "timeoutSeconds") ?? 10) * 1000,
    reinvoked: webhook["reinvocationPolicy"] === "IfNeeded",
    conditions: itemsOf(webhook, "matchConditions").flatMap((condition) => {
      const compiled = compileExpression(textOf(condition, "expression"), conditionVariables);
      return typeof compiled === "string" ? [] : [compiled];
    }),
  }));
}
