import { fitsType, isTwinType } from "#shared/devices";
import { isOnlyDesired } from "./desired-value.ts";
import { isTwinKey, isTwinValue, mostTwinsADevice } from "./limits.ts";
import { listedProperty, type ListedProperties, type ListedProperty } from "./listed-properties.ts";
import type { TwinChange } from "./twin-change.ts";
import type { TwinRequest, TwinRequests, TwinSideRequest } from "./twin-request.ts";
import { deletedType, isDeletedTwin, liveTwin, nextSide, type Twin, type TwinSide } from "./twin.ts";
import { sorted, toWire, type WireTwin } from "./wire-twin.ts";

/** What an update of a device depends on. */
export interface UpdateSubject {
  readonly twins: ReadonlyMap<string, Twin>;
  readonly listed: ListedProperties | undefined;
}

export type UpdateOutcome =
  | {
      readonly ok: true;
      readonly changes: readonly TwinChange[];
      /** The `twin` of the result: changed twins, null for deleted ones. */
      readonly result: Readonly<Record<string, WireTwin | null>>;
    }
  | {
      readonly ok: false;
      readonly code: number;
      readonly reason: string;
      /** The property that is refused, when it is one. */
      readonly name?: string;
    };

/** The texts of KubeEdge (`dtcommon/util.go`), which its mappers may compare. */
const badKey =
  "The key of twin must only include upper or lowercase letters, number, english, and special letter - _ . , : / @ # and the length of key should be less than 128 bytes";
const badValue =
  "The value of twin must only include upper or lowercase letters, number, english, and special letter - _ . , : / @ # and the length of value should be less than 512 bytes";

/**
 * The changes of an update that a client sends (`twin/update`). One entry that is refused refuses the whole update; as
 * KubeEdge's `dtmanager/twin.go`.
 */
export function applyUpdate(subject: UpdateSubject, request: TwinRequests, nowMs: number): UpdateOutcome {
  const { twins } = subject;
  const changes: TwinChange[] = [];
  const result: [string, WireTwin | null][] = [];
  let size = twins.size;
  for (const [name, wanted] of request) {
    const before = twins.get(name);
    const listed = listedProperty(subject.listed, name);
    const entry = { name, before, listed };
    const decided = wanted ? decideWrite(entry, wanted, nowMs) : decideRemoval(entry);
    if (typeof decided === "string") return { ok: false, code: 400, reason: decided, name };
    if (decided === undefined) continue;
    size += before ? 0 : 1;
    changes.push({ name, before, after: decided });
    result.push([name, isDeletedTwin(decided) ? null : toWire(decided)]);
  }
  if (size > mostTwinsADevice)
    return { ok: false, code: 400, reason: `A device has at most ${mostTwinsADevice} twins` };
  return { ok: true, changes, result: Object.fromEntries(sorted(result)) };
}

interface UpdateEntry {
  readonly name: string;
  readonly before: Twin | undefined;
  readonly listed: ListedProperty | undefined;
}

/** @returns the new twin, the reason of a refusal, or undefined when nothing changes */
function decideWrite(entry: UpdateEntry, wanted: TwinRequest, nowMs: number): Twin | string | undefined {
  if (!isTwinKey(entry.name)) return badKey;
  if (wanted.type === deletedType) return decideRemoval(entry);
  const { before } = entry;
  const live = liveTwin(before);
  if (!wanted.expected && !wanted.actual) return live && withOptional(live, wanted);
  const { type, isNew } = decideType(live, wanted.type, entry.listed);
  const problem = findProblem(isNew ? undefined : live, wanted, type);
  return problem ?? mergeWrite({ before, live, wanted, type }, nowMs);
}

/**
 * The type of an updated twin. Before the first reported value a type in the request decides, later the type of the
 * twin; without one in the request the type of the model. Programs written for KubeEdge also send types that do not
 * exist: for a listed property they are ignored.
 * @returns `isNew`: the twin does not exist or had another type
 */
function decideType(
  live: Twin | undefined,
  given: string | undefined,
  listed: ListedProperty | undefined,
): { readonly type: string; readonly isNew: boolean } {
  if (given === undefined || (listed && !isTwinType(given))) {
    if (listed?.type !== undefined) return { type: listed.type, isNew: true };
    return { type: live?.type ?? "string", isNew: false };
  }
  const type = live && !mayRetype(live, given, listed) ? live.type : given;
  return { type, isNew: type !== live?.type };
}

function mayRetype(live: Twin, given: string, listed: ListedProperty | undefined): boolean {
  return isTwinType(given) && (isOnlyDesired(live) || given === listed?.type);
}

/** @param live the twin with its type; undefined for a new twin or type, whose values must fit the type */
function findProblem(live: Twin | undefined, wanted: TwinRequest, type: string): string | undefined {
  const present = live ?? { expected: {}, actual: {} };
  const { expected, actual } = wanted;
  // An empty expected value is allowed for any type: mappers send it for properties without a desired value.
  const problem = expected?.value === "" ? undefined : sideProblem(expected, type, present.expected);
  return problem ?? sideProblem(actual, type, present.actual);
}

function mergeWrite(
  write: {
    readonly before: Twin | undefined;
    readonly live: Twin | undefined;
    readonly wanted: TwinRequest;
    readonly type: string;
  },
  nowMs: number,
): Twin {
  const { before, live, wanted, type } = write;
  // A desired value of the Device wins over an expected one of a client; the result shows it.
  const expected = live?.desired === undefined ? wanted.expected : undefined;
  return {
    expected: writeSide(expected, live?.expected, before?.expected, nowMs),
    actual: writeSide(wanted.actual, live?.actual, before?.actual, nowMs),
    optional: (live?.optional ?? wanted.optional ?? true) && wanted.optional !== false,
    type,
    desired: live?.desired,
  };
}

function writeSide(
  wanted: TwinSideRequest | undefined,
  live: TwinSide | undefined,
  before: TwinSide | undefined,
  nowMs: number,
): TwinSide | undefined {
  return wanted ? nextSide(wanted.value, before, nowMs) : live;
}

/** A twin may become mandatory, but not optional again. */
function withOptional(live: Twin, wanted: TwinRequest): Twin | undefined {
  return wanted.optional === false && live.optional ? { ...live, optional: false } : undefined;
}

/** A client cannot remove a twin with a desired value of the Device. @returns as `decideWrite` */
function decideRemoval({ name, before, listed }: UpdateEntry): Twin | string | undefined {
  if (!before) return listed ? undefined : `Cannot delete twin ${name}: it does not exist`;
  if (!before.optional || isDeletedTwin(before) || before.desired !== undefined) return undefined;
  const cleared = (side: TwinSide | undefined): TwinSide | undefined =>
    side && { value: "", cloud: side.cloud, edge: side.edge + 1 };
  return {
    expected: cleared(before.expected),
    actual: cleared(before.actual),
    optional: true,
    type: deletedType,
  };
}

/** @param present the value of this side now; the first one of a twin that exists may have any type, as in KubeEdge */
function sideProblem(
  side: TwinSideRequest | undefined,
  type: string,
  present: object | undefined,
): string | undefined {
  if (!side) return undefined;
  if (!isTwinValue(side.value)) return badValue;
  if (present === undefined) return undefined;
  const fits = fitsType(side.value, type);
  if (fits === undefined) return "the value type is not allowed";
  if (fits) return undefined;
  return type === "boolean" ? "the bool value must be true or false" : `the value is not ${type}`;
}
