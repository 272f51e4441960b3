import { qosClassOf } from "#cloud/kube-api/kinds/defaults";
import { forbidden, invalid } from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, type JsonObject } from "#shared/json";
import { compareQuantities, mirrorAnnotation, parseQuantity } from "#shared/kube";

/** What can be changed in a container that runs. */
const resizable = ["cpu", "memory"];
const kinds = ["limits", "requests"] as const;

/** What the subresource may change, as `ValidatePodResize` of Kubernetes 1.33. `next` has other resources than `current` and nothing else. */
export function validateResize(next: JsonObject, current: JsonObject): FieldError[] {
  if (childOf(childOf(next, "metadata"), "annotations")?.[mirrorAnnotation] !== undefined)
    return [forbidden("", "static pods cannot be resized")];
  const errors = ["containers", "initContainers"].flatMap((list) => {
    const before = itemsOf(childOf(current, "spec"), list);
    return itemsOf(childOf(next, "spec"), list).flatMap((container, index) =>
      validateContainer(container, before[index] ?? {}, `spec.${list}[${index}]`),
    );
  });
  const [is, was] = [next, current].map((pod) => qosClassOf(pod));
  if (is !== was) errors.push(invalid("spec", is, "Pod QOS Class may not change as a result of resizing"));
  return errors;
}

function validateContainer(container: JsonObject, before: JsonObject, path: string): FieldError[] {
  const errors = kinds.flatMap((kind) =>
    validateAmounts(kind, { container, before }, `${path}.resources.${kind}`),
  );
  if (
    errors.length > 0 ||
    !path.includes("initContainers") ||
    textOf(container, "restartPolicy") === "Always"
  )
    return errors;
  const isSame = kinds.every((kind) => changesOf(kind, { container, before }).length === 0);
  return isSame
    ? []
    : [forbidden(`${path}.resources`, "resources for non-sidecar init containers are immutable")];
}

interface Change {
  readonly container: JsonObject;
  readonly before: JsonObject;
}

function amountsOf(container: JsonObject, kind: string): JsonObject {
  return childOf(childOf(container, "resources"), kind) ?? {};
}

/** Names of the resources whose amounts differ. */
function changesOf(kind: string, { container, before }: Change): string[] {
  const [is, was] = [amountsOf(container, kind), amountsOf(before, kind)];
  return [...new Set([...Object.keys(is), ...Object.keys(was)])].filter((name) => {
    const [now, then] = [is, was].map((amounts) => parseQuantity(textOf(amounts, name)));
    return !now || !then ? now !== then : compareQuantities(now, then) !== 0;
  });
}

function validateAmounts(kind: string, change: Change, path: string): FieldError[] {
  const { container, before } = change;
  const [is, was] = [amountsOf(container, kind), amountsOf(before, kind)];
  return changesOf(kind, change).flatMap((name) => {
    if (!resizable.includes(name)) return [forbidden(path, "only cpu and memory resources are mutable")];
    if (is[name] === undefined) return [forbidden(path, `resource ${kind} cannot be removed`)];
    const isLess =
      kind === "limits" &&
      name === "memory" &&
      was[name] !== undefined &&
      isBelow(textOf(is, name), textOf(was, name));
    return isLess && !restartsFor(container, name)
      ? [forbidden(path, "memory limits cannot be decreased unless resizePolicy is RestartContainer")]
      : [];
  });
}

function isBelow(now: string, then: string): boolean {
  const [is, was] = [parseQuantity(now), parseQuantity(then)];
  return is !== undefined && was !== undefined && compareQuantities(is, was) < 0;
}

function restartsFor(container: JsonObject, name: string): boolean {
  return itemsOf(container, "resizePolicy").some(
    (one) => textOf(one, "resourceName") === name && textOf(one, "restartPolicy") === "RestartContainer",
  );
}
