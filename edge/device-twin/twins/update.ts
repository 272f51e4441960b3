import { fitsType, isTwinType } from "#shared/devices";
import { deletedType, isDeleted, sorted, toWire, type TwinSide, type Twin, type WireTwin } from "./twin.ts";
import type { TwinSideRequest, TwinRequest, TwinRequests, TwinVersionRequest } from "./requests.ts";

export type TwinMap = ReadonlyMap<string, Twin>;

/** The properties a Device object and its model list. */
export interface OwnProperties {
  /** Of the Device itself. */
  readonly listed: readonly { readonly name: string }[];
  /** Of the model: the type twins have there, where it names one. */
  readonly types: ReadonlyMap<string, string | undefined>;
  /** Whether these are all: not while the model is missing. */
  readonly isWhole: boolean;
}

/** What of a device decides about an update. */
export interface UpdateSubject {
  readonly twins: TwinMap;
  readonly own: OwnProperties | undefined;
}

export interface TwinChange {
  readonly name: string;
  readonly before: Twin | undefined;
  readonly after: Twin;
}

export type UpdateOutcome =
  | {
      readonly ok: true;
      readonly changes: readonly TwinChange[];
      readonly result: Readonly<Record<string, WireTwin | null>>;
      readonly document: Readonly<Record<string, { last: WireTwin | null; current: WireTwin | null }>>;
    }
  | {
      readonly ok: false;
      readonly code: number;
      readonly reason: string;
      /** the property it is about, where it is about one */
      readonly name?: string;
    };

/** More properties than a device has in earnest: a client that invents names must not fill the memory. */
const mostTwinsADevice = 1000;

const alphabet = /^[a-zA-Z0-9\-_.,:/@#]*$/;
const badKey =
  "The key of twin must only include upper or lowercase letters, number, english, and special letter - _ . , : / @ # and the length of key should be less than 128 bytes";
const badValue =
  "The value of twin must only include upper or lowercase letters, number, english, and special letter - _ . , : / @ # and the length of value should be less than 512 bytes";

/** What an update over MQTT makes of the twins of a device. One bad key refuses the whole request. */
export function applyUpdate(subject: UpdateSubject, request: TwinRequests, nowMs: number): UpdateOutcome {
  const { twins } = subject;
  const changes: TwinChange[] = [];
  const result: [string, WireTwin | null][] = [];
  let size = twins.size;
  for (const [name, wanted] of request) {
    const before = twins.get(name);
    const own = ownProperty(subject.own, name);
    const entry = { name, before, own };
    const decided = wanted ? decideWrite(entry, wanted, nowMs) : decideRemoval(entry);
    if (typeof decided === "string") return { ok: false, code: 400, reason: decided, name };
    if (decided === undefined) continue;
    size += before ? 0 : 1;
    changes.push({ name, before, after: decided });
    result.push([name, isDeleted(decided) ? null : toWire(decided)]);
  }
  if (size > mostTwinsADevice)
    return { ok: false, code: 400, reason: `A device has at most ${mostTwinsADevice} twins` };
  return {
    ok: true,
    changes,
    result: Object.fromEntries(sorted(result)),
    document: documentOf(changes),
  };
}

export function documentOf(
  changes: readonly TwinChange[],
): Record<string, { last: WireTwin | null; current: WireTwin | null }> {
  const entries = changes.map(({ name, before, after }) => {
    const last = before && !isDeleted(before) ? toWire(before) : null;
    return [name, { last, current: isDeleted(after) ? null : toWire(after) }] as const;
  });
  return Object.fromEntries(sorted(entries));
}

export interface SyncOutcome {
  readonly changes: readonly TwinChange[];
  /** Names whose value here is newer than the cloud's: told back. */
  readonly newerHere: readonly string[];
}

/** What `cloud_updated` makes of the twins: bad keys are skipped, versions decide. */
export function applySync(twins: TwinMap, request: TwinRequests, nowMs: number): SyncOutcome {
  const changes: TwinChange[] = [];
  const newerHere: string[] = [];
  for (const [name, wanted] of request) {
    if (wanted === null || !isKey(name)) continue;
    const before = twins.get(name);
    if (!before && twins.size + changes.length >= mostTwinsADevice) continue;
    const held = before !== undefined && contradictsDesired(before, wanted);
    const after = held ? before : syncTwin(before, wanted, nowMs);
    if (after === "newer-here" || held) newerHere.push(name);
    if (after !== undefined && after !== "newer-here") changes.push({ name, before, after });
  }
  return { changes, newerHere };
}

/**
 * Takes over what a Device object asks for; `desired` undefined: it asks for nothing (any more).
 * @returns undefined when nothing changes
 */
export function applyDesired(
  before: Twin | undefined,
  desired: { readonly value: string; readonly cloud: number } | undefined,
  from: { readonly nowMs: number; readonly type: string | undefined },
): Twin | undefined {
  const kept = live(before);
  if (!desired) return kept?.desired === undefined ? undefined : withoutDesired(kept);
  const { value, cloud } = desired;
  if (kept && isTaken(kept, value)) return undefined;
  const expected = { value, timestamp: from.nowMs, cloud, edge: before?.expected?.edge ?? 0 };
  return { ...(kept ?? { optional: true, type: from.type ?? "string" }), expected, desired: value };
}

function isTaken({ desired, expected }: Twin, value: string): boolean {
  return desired === value && expected?.value === value;
}

function withoutDesired({ actual, optional, type }: Twin): Twin {
  return { actual, optional, type: actual ? type : deletedType };
}

/** Whether a sync would hide or remove what the Device asks for. */
function contradictsDesired({ desired }: Twin, wanted: TwinRequest): boolean {
  if (desired === undefined) return false;
  return wanted.type === deletedType || (wanted.expected ?? { value: desired }).value !== desired;
}

/** The twin under the type its model names now, as long as nobody reported a value: then the report decides. */
export function retype(twin: Twin, type: string): Twin | undefined {
  return isOfDevice(twin) && twin.type !== type ? { ...twin, type } : undefined;
}

/** A value read from a device that knows nothing of twins: any text goes, the type is its model's. */
export function applyReport(before: Twin | undefined, value: string, type: string, nowMs: number): Twin {
  const kept = live(before);
  return {
    expected: kept?.expected,
    actual: bump({ value }, kept?.actual, before?.actual, nowMs),
    optional: kept?.optional ?? true,
    type,
    desired: kept?.desired,
  };
}

interface UpdateEntry {
  readonly name: string;
  readonly before: Twin | undefined;
  /** Set for a property the Device or its model lists; `type`: what the model names. */
  readonly own: { readonly type: string | undefined } | undefined;
}

export function ownProperty(own: OwnProperties | undefined, name: string): UpdateEntry["own"] {
  const known = own && (own.types.has(name) || own.listed.some((property) => property.name === name));
  return known ? { type: own.types.get(name) } : undefined;
}

/** Names that were listed and are no more. */
export function undeclared(before: OwnProperties | undefined, own: OwnProperties): string[] {
  const names = before ? [...before.listed.map(({ name }) => name), ...before.types.keys()] : [];
  return names.filter((name) => !ownProperty(own, name));
}

function decideWrite(entry: UpdateEntry, wanted: TwinRequest, nowMs: number): Twin | string | undefined {
  if (!isKey(entry.name)) return badKey;
  if (wanted.type === deletedType) return decideRemoval(entry);
  const { before } = entry;
  const kept = live(before);
  if (!wanted.expected && !wanted.actual) return kept && withOptional(kept, wanted);
  const { type, strict } = decideType(kept, wanted.type, entry.own);
  const problem = findProblem(strict ? undefined : kept, wanted, type);
  return problem ?? mergeWrite({ before, kept, wanted, type }, nowMs);
}

/**
 * The type a value comes under. A client's word decides for what nobody reported before, the twin's own type after that;
 * without a word the model's does. Programs written for KubeEdge put words into the type that name none: for a property
 * of the Device or its model that is as good as no word. `strict`: the type is new to the twin.
 */
function decideType(
  kept: Twin | undefined,
  word: string | undefined,
  own: UpdateEntry["own"],
): { readonly type: string; readonly strict: boolean } {
  if (word === undefined || (own && !isTwinType(word))) {
    if (own?.type !== undefined) return { type: own.type, strict: true };
    return { type: kept?.type ?? "string", strict: false };
  }
  const type = kept && !mayRename(kept, word, own) ? kept.type : word;
  return { type, strict: type !== kept?.type };
}

function mayRename(kept: Twin, word: string, own: UpdateEntry["own"]): boolean {
  return isTwinType(word) && (isOfDevice(kept) || word === own?.type);
}

/** Whether a twin is there only because a Device asks for a value. */
function isOfDevice(twin: Twin): boolean {
  return !isDeleted(twin) && twin.desired !== undefined && twin.actual === undefined;
}

/** A twin that is not there, or is there under another type, is held to the type it comes with. */
function findProblem(kept: Twin | undefined, wanted: TwinRequest, type: string): string | undefined {
  const present = kept ?? { expected: {}, actual: {} };
  const [expected, actual] = [wanted.expected, wanted.actual];
  // Nothing may be expected of any type: mappers say so of what nobody asks for.
  const wish = expected?.value === "" ? undefined : sideProblem(expected, type, present.expected);
  return wish ?? sideProblem(actual, type, present.actual);
}

function live(twin: Twin | undefined): Twin | undefined {
  return twin && !isDeleted(twin) ? twin : undefined;
}

function mergeWrite(
  from: {
    readonly before: Twin | undefined;
    readonly kept: Twin | undefined;
    readonly wanted: TwinRequest;
    readonly type: string;
  },
  nowMs: number,
): Twin {
  const { before, kept, wanted, type } = from;
  // What the Device asks for stays, and the result shows it.
  const isAsked = kept?.desired !== undefined;
  return {
    expected: isAsked ? kept.expected : bump(wanted.expected, kept?.expected, before?.expected, nowMs),
    actual: bump(wanted.actual, kept?.actual, before?.actual, nowMs),
    optional: (kept?.optional ?? wanted.optional ?? true) && wanted.optional !== false,
    type,
    desired: kept?.desired,
  };
}

/** Optional can only be given up. */
function withOptional(kept: Twin, wanted: TwinRequest): Twin | undefined {
  return wanted.optional === false && kept.optional ? { ...kept, optional: false } : undefined;
}

/** What a Device asks for is not a client's to remove. */
function decideRemoval({ name, before, own }: UpdateEntry): Twin | string | undefined {
  if (!before) return own ? undefined : `Cannot delete twin ${name}: it does not exist`;
  if (!before.optional || isDeleted(before) || before.desired !== undefined) return undefined;
  const cleared = (side: TwinSide | undefined): TwinSide | undefined =>
    side && { value: "", cloud: side.cloud, edge: side.edge + 1 };
  return {
    expected: cleared(before.expected),
    actual: cleared(before.actual),
    optional: true,
    type: deletedType,
  };
}

/** `present`: what the side holds now; a first value of a side that exists is taken as it comes. */
function sideProblem(
  side: TwinSideRequest | undefined,
  type: string,
  present: object | undefined,
): string | undefined {
  if (!side) return undefined;
  if (side.value.length > 512 || !alphabet.test(side.value)) return badValue;
  if (present === undefined) return undefined;
  const fits = fitsType(side.value, type);
  if (fits === undefined) return "the value type is not allowed";
  if (fits) return undefined;
  return type === "boolean" ? "the bool value must be true or false" : `the value is not ${type}`;
}

/** Versions go on over a deletion, so that the cloud can tell the new value from the old. */
function bump(
  wanted: TwinSideRequest | undefined,
  kept: TwinSide | undefined,
  before: TwinSide | undefined,
  nowMs: number,
): TwinSide | undefined {
  if (!wanted) return kept;
  return { value: wanted.value, timestamp: nowMs, cloud: before?.cloud ?? 0, edge: (before?.edge ?? 0) + 1 };
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
  const isNothing = (side: TwinSide): boolean => side === expected && side.value === "";
  if (given.length === 0 || !given.every((side) => isNothing(side) || isGood(side.value, type)))
    return undefined;
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
    type: before && !isDeleted(before) ? before.type : wanted.type,
    desired: before?.desired,
  };
}

function isGood(value: string, type: string): boolean {
  return alphabet.test(value) && fitsType(value, type) === true;
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

function isKey(name: string): boolean {
  return name.length > 0 && name.length <= 128 && alphabet.test(name);
}
