import { fitsType } from "#shared/devices";
import { hasTwinCharacters, isTwinKey, mostTwinsADevice } from "./limits.ts";
import type { TwinChange } from "./twin-change.ts";
import type { TwinRequest, TwinRequests, TwinSideRequest, TwinVersionRequest } from "./twin-request.ts";
import { deletedType, isDeletedTwin, type Twin, type TwinSide } from "./twin.ts";

export interface SyncOutcome {
  readonly changes: readonly TwinChange[];
  /** Names of twins that are newer here than in the cloud, which has to be updated. */
  readonly newerHere: readonly string[];
}

/**
 * Merges twins that the cloud sends (`twin/cloud_updated`). A side with a smaller version than here is refused, and the
 * newer one reported back; as KubeEdge's `dtmanager/twin.go`. Names that are not allowed are skipped, as are new ones
 * beyond the limit of a device.
 */
export function applySync(
  twins: ReadonlyMap<string, Twin>,
  request: TwinRequests,
  nowMs: number,
): SyncOutcome {
  const changes: TwinChange[] = [];
  const newerHere: string[] = [];
  for (const [name, wanted] of request) {
    if (wanted === null || !isTwinKey(name)) continue;
    const before = twins.get(name);
    if (!before && twins.size + changes.length >= mostTwinsADevice) continue;
    const isDesired = before !== undefined && contradictsDesired(before, wanted);
    const after = isDesired ? before : syncTwin(before, wanted, nowMs);
    if (after === "newer-here" || isDesired) newerHere.push(name);
    if (after !== undefined && after !== "newer-here") changes.push({ name, before, after });
  }
  return { changes, newerHere };
}

/** Whether a sync would hide or delete the desired value of the Device, which is what the cloud wants. */
function contradictsDesired({ desired }: Twin, wanted: TwinRequest): boolean {
  if (desired === undefined) return false;
  return wanted.type === deletedType || (wanted.expected ?? { value: desired }).value !== desired;
}

function syncTwin(
  before: Twin | undefined,
  wanted: TwinRequest,
  nowMs: number,
): Twin | "newer-here" | undefined {
  const type = wanted.type ?? before?.type ?? "string";
  const expected = syncSide(before?.expected, wanted.expected, wanted.expectedVersion, nowMs);
  const actual = syncSide(before?.actual, wanted.actual, wanted.actualVersion, nowMs);
  if (expected === "newer-here" || actual === "newer-here") return "newer-here";
  if (type === deletedType) return before && { ...before, type: deletedType };
  const given = [expected, actual].filter((side) => side !== undefined);
  const isEmptyWish = (side: TwinSide): boolean => side === expected && side.value === "";
  const isValid = ({ value }: TwinSide): boolean =>
    hasTwinCharacters(value) && fitsType(value, type) === true;
  if (given.length === 0 || !given.every((side) => isEmptyWish(side) || isValid(side))) return undefined;
  return mergeSync(before, { ...wanted, type }, { ...before, ...sidesOf(expected, actual) });
}

function sidesOf(
  expected: TwinSide | undefined,
  actual: TwinSide | undefined,
): Pick<Twin, "expected" | "actual"> {
  return { ...(expected ? { expected } : {}), ...(actual ? { actual } : {}) };
}

function mergeSync(
  before: Twin | undefined,
  wanted: TwinRequest & { readonly type: string },
  sides: Pick<Twin, "expected" | "actual">,
): Twin {
  return {
    expected: sides.expected,
    actual: sides.actual,
    optional: (before?.optional ?? wanted.optional ?? true) && wanted.optional !== false,
    type: before && !isDeletedTwin(before) ? before.type : wanted.type,
    desired: before?.desired,
  };
}

function syncSide(
  before: TwinSide | undefined,
  wanted: TwinSideRequest | undefined,
  version: TwinVersionRequest | undefined,
  nowMs: number,
): TwinSide | "newer-here" | undefined {
  if (!wanted || !version) return undefined;
  if (before && (version.cloud < before.cloud || version.edge < before.edge)) return "newer-here";
  return { value: wanted.value, timestamp: nowMs, cloud: version.cloud, edge: version.edge };
}
