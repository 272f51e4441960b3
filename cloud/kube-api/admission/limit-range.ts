import { amountsOf, exceeds, podAmounts, type Amounts } from "#cloud/kube-api/admission/amounts";
import { formatQuantity, type Quantity } from "#shared/kube";
import { childOf, itemsOf, textOf, type JsonObject } from "#shared/json";

interface Asked {
  readonly requests: Amounts;
  readonly limits: Amounts;
}

/** Why a new pod or claim breaks the LimitRanges of its namespace, as plugin/pkg/admission/limitranger. */
export function brokenLimits(resource: string, object: JsonObject, ranges: readonly JsonObject[]): string[] {
  const items = ranges.flatMap((range) => itemsOf(childOf(range, "spec"), "limits"));
  return items.flatMap((item) => {
    const type = textOf(item, "type");
    if (resource === "/persistentvolumeclaims")
      return type === "PersistentVolumeClaim" ? claimFaults(item, object) : [];
    if (type === "Container") return containersOf(object).flatMap((one) => faults(item, one));
    if (type !== "Pod") return [];
    return faults(item, { requests: podAmounts(object, "requests"), limits: podAmounts(object, "limits") });
  });
}

function containersOf(pod: JsonObject): Asked[] {
  const spec = childOf(pod, "spec");
  return ["containers", "initContainers"]
    .flatMap((field) => itemsOf(spec, field))
    .map((container) => {
      const resources = childOf(container, "resources");
      return {
        requests: amountsOf(childOf(resources, "requests")),
        limits: amountsOf(childOf(resources, "limits")),
      };
    });
}

function claimFaults(item: JsonObject, claim: JsonObject): string[] {
  const requests = amountsOf(childOf(childOf(childOf(claim, "spec"), "resources"), "requests"));
  const type = "PersistentVolumeClaim";
  const storage = requests.get("storage");
  const [least, most] = [
    amountsOf(childOf(item, "min")).get("storage"),
    amountsOf(childOf(item, "max")).get("storage"),
  ];
  return [
    ...(least && storage && exceeds(least, storage)
      ? [`minimum storage usage per ${type} is ${show(least)}, but request is ${show(storage)}`]
      : []),
    ...(most && storage && exceeds(storage, most)
      ? [`maximum storage usage per ${type} is ${show(most)}, but request is ${show(storage)}`]
      : []),
  ];
}

function faults(item: JsonObject, asked: Asked): string[] {
  const type = textOf(item, "type");
  const each = (field: string, judge: (name: string, bound: Quantity) => string | undefined): string[] =>
    [...amountsOf(childOf(item, field))].flatMap(([name, bound]) => judge(name, bound) ?? []);
  return [
    ...each("min", (name, bound) => tooLittle({ type, name, bound }, asked)),
    ...each("max", (name, bound) => tooMuch({ type, name, bound }, asked)),
    ...each("maxLimitRequestRatio", (name, bound) => tooUneven({ type, name, bound }, asked)),
  ];
}

interface Bound {
  readonly type: string;
  readonly name: string;
  readonly bound: Quantity;
}

function tooLittle({ type, name, bound }: Bound, { requests, limits }: Asked): string | undefined {
  const start = `minimum ${name} usage per ${type} is ${show(bound)}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (!request) return `${start}.  No request is specified`;
  if (exceeds(bound, request)) return `${start}, but request is ${show(request)}`;
  return limit && exceeds(bound, limit) ? `${start}, but limit is ${show(limit)}` : undefined;
}

function tooMuch({ type, name, bound }: Bound, { requests, limits }: Asked): string | undefined {
  const start = `maximum ${name} usage per ${type} is ${show(bound)}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (!limit) return `${start}.  No limit is specified`;
  if (exceeds(limit, bound)) return `${start}, but limit is ${show(limit)}`;
  return request && exceeds(request, bound) ? `${start}, but request is ${show(request)}` : undefined;
}

function tooUneven({ type, name, bound }: Bound, { requests, limits }: Asked): string | undefined {
  const start = `${name} max limit to request ratio per ${type} is ${show(bound)}`;
  const [request, limit] = [requests.get(name), limits.get(name)];
  if (!request || request.nano === 0n) return `${start}, but no request is specified or request is 0`;
  if (!limit || limit.nano === 0n) return `${start}, but no limit is specified or limit is 0`;
  const ratio = Number(limit.nano) / Number(request.nano);
  return ratio > Number(bound.nano) / 1e9 ? `${start}, but provided ratio is ${ratio.toFixed(6)}` : undefined;
}

function show(quantity: Quantity): string {
  return formatQuantity(quantity);
}
