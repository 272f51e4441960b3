import { expect, test } from "bun:test";
import { ChangeTimes, mergeDesired } from "#cloud/device-controller/desired";
import type { Device } from "#shared/kube";
import type { LocalDesiredValue } from "#shared/topics";

const nowMs = Date.UTC(2026, 0, 1, 12);
const minute = 60_000;

function device(target: string | null, managedFields: readonly object[] = []): Device {
  return {
    metadata: { name: "thermo-1", namespace: "default", uid: "d", ...({ managedFields } as object) },
    spec: {
      properties: [
        { name: "temperature" },
        {
          name: "target",
          ...(target === null ? {} : { desired: { value: target, metadata: { unit: "C" } } }),
        },
      ],
    },
  };
}

const local = (given: Partial<LocalDesiredValue> = {}): LocalDesiredValue => ({
  property: "target",
  value: "23",
  bases: ["20"],
  ageMs: minute,
  isByClock: false,
  ...given,
});

/** The desired target afterwards, and who won if both sides had changed it. */
function outcome(
  present: string | null,
  given: Partial<LocalDesiredValue>,
  { changedMs, sentMs = nowMs }: { readonly changedMs?: number | undefined; readonly sentMs?: number } = {},
): unknown {
  const before = device(present);
  const values = { uid: "d", sentMs, values: [local(given)] };
  const { properties, conflicts } = mergeDesired(before, values, { nowMs, changedMs: () => changedMs });
  const after = (properties ?? before.spec?.properties)?.find(({ name }) => name === "target");
  return [after?.desired?.value ?? null, ...conflicts.map(({ winner, why }) => `${winner}: ${why}`)];
}

const earlier = nowMs - 2 * minute;
const later = nowMs - minute / 2;
const unknownAge = "api: the node does not know how old its value is";

test.each([
  ["what only the node changed is taken", "20", {}, {}, ["23"]],
  ["what is there already stays", "23", {}, {}, ["23"]],
  ["a removal is taken", "20", { value: null }, {}, [null]],
  ["a value where there was none is taken", null, { bases: [null] }, {}, ["23"]],
  ["what the node may have sent before counts as its own", "22", { bases: ["20", "22"] }, {}, ["23"]],
  ["the newer of two wins: the node's", "21", {}, { changedMs: earlier }, ["23", "node: it is newer"]],
  ["the newer of two wins: the API's", "21", {}, { changedMs: later }, ["21", "api: it is newer"]],
  ["at the same time the API's stays", "21", {}, { changedMs: nowMs - minute }, ["21", "api: it is newer"]],
  ["a removal in the API counts as a change", null, {}, { changedMs: later }, [null, "api: it is newer"]],
  [
    "an API that does not know when it was changed wins",
    "21",
    {},
    {},
    ["21", "api: the API does not say how old its value is"],
  ],
  [
    "an age by a clock that agrees counts",
    "21",
    { isByClock: true },
    { changedMs: earlier, sentMs: nowMs - 59_000 },
    ["23", "node: it is newer"],
  ],
  [
    "an age by a clock that is behind does not count",
    "21",
    { isByClock: true },
    { changedMs: earlier, sentMs: nowMs - 61_000 },
    ["21", unknownAge],
  ],
  [
    "an exact age counts whatever the clock of the node says",
    "21",
    {},
    { changedMs: earlier, sentMs: 0 },
    ["23", "node: it is newer"],
  ],
  ["an age from the future does not count", "21", { ageMs: -1 }, { changedMs: earlier }, ["21", unknownAge]],
  [
    "a property that the Device lists no more is dropped",
    "20",
    { property: "gone" },
    {},
    ["20", "api: the Device does not list the property any more"],
  ],
] as const)("%s", (_what, ...[present, given, times, expected]) => {
  expect(outcome(present, given, times)).toEqual([...expected]);
});

test("what else is said of the properties stays", () => {
  const values = { uid: "d", sentMs: nowMs, values: [local()] };
  expect(mergeDesired(device("20"), values, { nowMs, changedMs: () => undefined }).properties).toEqual([
    { name: "temperature" },
    { name: "target", desired: { value: "23", metadata: { unit: "C" } } },
  ]);
});

const entry = (time: string, fields: object, more: object = {}): object => ({
  manager: "kubectl",
  operation: "Update",
  time,
  fieldsV1: fields,
  ...more,
});
const ofProperties = { "f:spec": { "f:properties": {} } };

test("the time of a change is that which was seen, else that of managedFields", () => {
  const times = new ChangeTimes();
  const fields = [
    entry("2026-01-01T10:00:00Z", ofProperties),
    entry("2026-01-01T11:00:00Z", { "f:metadata": {} }),
    entry("2026-01-01T11:30:00Z", { "f:status": {}, ...ofProperties }, { subresource: "status" }),
  ];
  expect(times.of(device("21", fields), "target")).toBe(Date.UTC(2026, 0, 1, 10, 0, 1));
  times.changed(device("21", fields), device("20"), nowMs);
  expect(times.of(device("21", fields), "target")).toBe(nowMs);
  expect(times.of(device("22", fields), "target")).toBe(Date.UTC(2026, 0, 1, 10, 0, 1));
  expect(times.of(device("21"), "temperature")).toBeUndefined();
});
