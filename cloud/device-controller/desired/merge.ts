import type { Device, DeviceProperty } from "#shared/kube";
import type { Desired, DesiredConflict, LocalDesiredValue, LocalDesiredValues } from "#shared/topics";
import { desiredOf } from "./change-times.ts";

/** The properties of a Device with what was set on its node, or undefined when nothing of them changes. */
export interface DesiredOutcome {
  readonly properties: readonly DeviceProperty[] | undefined;
  readonly conflicts: readonly DesiredConflict[];
}

export interface MergeTimes {
  /** When the values arrived here, milliseconds since 1970. */
  readonly nowMs: number;
  /** When the present value of a property was set in the API, milliseconds since 1970. */
  readonly changedMs: (property: string) => number | undefined;
}

/** How far the clocks of a node and of the cloud may differ for an age by the clock to count. */
const mostSkewMs = 60_000;

/**
 * What of the values that were set on a node goes into the Device. A value that only the node changed does; of two that were
 * changed on both sides, the newer. Where times cannot be compared the value in the API stays.
 */
export function mergeDesired(device: Device, local: LocalDesiredValues, times: MergeTimes): DesiredOutcome {
  const present = desiredOf(device);
  const taken = new Map<string, Desired>();
  const conflicts: DesiredConflict[] = [];
  for (const one of local.values) {
    const { property, value } = one;
    const apiValue = present.get(property);
    if (apiValue === value) continue;
    const conflict = apiValue === undefined ? unlisted(one) : judge(one, apiValue, { local, times });
    if (conflict?.winner !== "api") taken.set(property, value);
    if (conflict) conflicts.push(conflict);
  }
  return { properties: taken.size === 0 ? undefined : withDesired(device, taken), conflicts };
}

/** @returns undefined when the API has what the node knew */
function judge(
  one: LocalDesiredValue,
  apiValue: Desired,
  { local, times }: { readonly local: LocalDesiredValues; readonly times: MergeTimes },
): DesiredConflict | undefined {
  const { property, value: nodeValue } = one;
  if (one.bases.includes(apiValue)) return undefined;
  const conflict = (winner: DesiredConflict["winner"], why: string): DesiredConflict => ({
    property,
    winner,
    nodeValue,
    apiValue,
    why,
  });
  const madeMs = madeMsOf(one, local.sentMs, times.nowMs);
  if (madeMs === undefined) return conflict("api", "the node does not know how old its value is");
  const changedMs = times.changedMs(property);
  if (changedMs === undefined) return conflict("api", "the API does not say how old its value is");
  return madeMs > changedMs ? conflict("node", "it is newer") : conflict("api", "it is newer");
}

function unlisted({ property, value: nodeValue }: LocalDesiredValue): DesiredConflict {
  return {
    property,
    winner: "api",
    nodeValue,
    apiValue: null,
    why: "the Device does not list the property any more",
  };
}

/** When it was set, by the clock of the cloud. */
function madeMsOf(
  { ageMs, isByClock }: LocalDesiredValue,
  sentMs: number,
  nowMs: number,
): number | undefined {
  if (ageMs < 0) return undefined;
  return isByClock && Math.abs(sentMs - nowMs) > mostSkewMs ? undefined : nowMs - ageMs;
}

function withDesired({ spec }: Device, taken: ReadonlyMap<string, Desired>): DeviceProperty[] {
  return (spec?.properties ?? []).map((property) => {
    const value = taken.get(property.name);
    if (value === undefined) return property;
    const { desired, ...rest } = property;
    return value === null ? rest : { ...rest, desired: { ...desired, value } };
  });
}
