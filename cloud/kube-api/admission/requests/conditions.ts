import { asError } from "#shared/errors";
import type { Expression, Meter } from "#cloud/kube-api/custom-resources/cel";

/**
 * Whether all conditions hold for a request. @throws Error for a condition that cannot be evaluated, unless another one does not
 * hold
 */
export function meetsConditions(
  conditions: readonly Expression[],
  values: Readonly<Record<string, unknown>>,
  meter: Meter,
): boolean {
  let failure: unknown;
  for (const condition of conditions) {
    try {
      if (condition.evaluate(values, meter) !== true) return false;
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw asError(failure);
  return true;
}
