import {
  celSize,
  outOfSteps,
  type AccessCheck,
  type Expression,
  type Meter,
} from "#cloud/kube-api/custom-resources/cel";

/** What expressions of admission policies may use. */
export const policyVariables = [
  "object",
  "oldObject",
  "request",
  "params",
  "namespaceObject",
  "variables",
  "authorizer",
] as const;

/** Steps of everything that one policy evaluates for one request, as upstream's budget: half a second at most. */
export const mostSteps = 4_000_000;
/** Characters and items of the value of one variable: those that use each other must not double it again and again. */
const mostSize = 4 * 1024 * 1024;
/** Questions about rights that one policy may ask for one request; each walks the roles of a user. */
const mostChecks = 100;

/** Variables of a policy as fields, each evaluated when it is first used. */
export function lazyVariables(
  variables: readonly { readonly name: string; readonly expression: Expression }[],
  values: Readonly<Record<string, unknown>>,
  meter: Meter,
): object {
  const lazy = {};
  const known = new Map<string, { readonly value?: unknown; readonly error?: unknown }>();
  const evaluated = (expression: Expression): { value?: unknown; error?: unknown } => {
    try {
      const value = expression.evaluate({ ...values, variables: lazy }, meter);
      if (celSize(value, mostSize) > mostSize) throw new Error(outOfSteps);
      return { value };
    } catch (error) {
      return { error };
    }
  };
  for (const { name, expression } of variables)
    Object.defineProperty(lazy, name, {
      enumerable: true,
      get: () => {
        let result = known.get(name);
        if (!result) known.set(name, (result = evaluated(expression)));
        if (result.error !== undefined) throw result.error;
        return result.value;
      },
    });
  return lazy;
}

/** The rights of a user, asked a bounded number of times. */
export function boundedAccess(check: AccessCheck): AccessCheck {
  let left = mostChecks;
  return (question) => {
    left -= 1;
    if (left < 0) throw new Error(outOfSteps);
    return check(question);
  };
}
