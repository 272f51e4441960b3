import { join } from "node:path";
import { isObject, textOf, type Json, type JsonObject } from "#shared/json";
import {
  applyDesired,
  applyReportedValue,
  applySync,
  applyUpdate,
  differs,
  isDeletedTwin,
  readTwins,
  type ListedProperties,
  type Twin,
} from "#edge/device-twin/twins";
import {
  runScenarios,
  type ScenarioBlock,
  type ScenarioCommands,
} from "#internal/test/support/scenario/scenario.ts";

const nowMs = 1_700_000_000_000;

runScenarios(join(import.meta.dir, "scenarios"), twinCommands);

/** Commands on the twins of one device, which `new` forgets. All answer with the twins after them. */
function twinCommands(): ScenarioCommands {
  const twins = new Map<string, Twin>();
  let listed: ListedProperties | undefined;
  const setAll = (changes: readonly { readonly name: string; readonly after: Twin }[]): void => {
    for (const { name, after } of changes) twins.set(name, after);
  };
  return {
    new: ({ input: [properties] }) => {
      twins.clear();
      listed = isObject(properties) ? listedOf(properties) : undefined;
      return {};
    },
    desire: (block) => {
      const cloud = Number(block.options.get("version"));
      for (const [name, value] of Object.entries(bodyOf(block))) {
        const desired = typeof value === "string" ? { value, cloud } : undefined;
        const after = applyDesired(twins.get(name), desired, { nowMs, type: listed?.modelTypes.get(name) });
        if (after) twins.set(name, after);
      }
      return shown(twins);
    },
    report: (block) => {
      const body = bodyOf(block);
      for (const name of Object.keys(body)) {
        const type = listed?.modelTypes.get(name) ?? "string";
        twins.set(name, applyReportedValue(twins.get(name), textOf(body, name), type, nowMs));
      }
      return shown(twins);
    },
    update: (block) => {
      const outcome = applyUpdate({ twins, listed }, requestsOf(block), nowMs);
      if (!outcome.ok) return { code: outcome.code, property: outcome.name, reason: outcome.reason };
      setAll(outcome.changes);
      return { changed: Object.keys(outcome.result), ...shown(twins) };
    },
    sync: (block) => {
      const { changes, newerHere } = applySync(twins, requestsOf(block), nowMs);
      setAll(changes);
      return { changed: changes.map(({ name }) => name), newerHere, ...shown(twins) };
    },
  };
}

/** `name: type` of a DeviceModel in terms of twins; null for a property that only the Device lists. */
function listedOf(properties: JsonObject): ListedProperties {
  const names = Object.keys(properties);
  const types = names.flatMap((name) =>
    properties[name] === null ? [] : [[name, textOf(properties, name) || undefined] as const],
  );
  return { deviceProperties: names.map((name) => ({ name })), modelTypes: new Map(types), isComplete: true };
}

function bodyOf({ input: [body] }: ScenarioBlock): JsonObject {
  if (!isObject(body)) throw new Error("the input is not an object");
  return body;
}

function requestsOf(block: ScenarioBlock): NonNullable<ReturnType<typeof readTwins>> {
  const requests = readTwins(bodyOf(block));
  if (!requests) throw new Error("the input is not a twin request");
  return requests;
}

/** Each twin in a line, `type expected=VALUE@CLOUD.EDGE actual=VALUE@CLOUD.EDGE`, and the delta. */
function shown(twins: ReadonlyMap<string, Twin>): JsonObject {
  const lines = [...twins].map(([name, twin]): [string, Json] => [name, lineOf(twin)]);
  const delta = [...twins].filter(([, twin]) => differs(twin)).map(([name]) => name);
  return { twins: Object.fromEntries(lines), delta };
}

function lineOf(twin: Twin): string {
  const sides = (["expected", "actual"] as const).flatMap((name) => {
    const side = twin[name];
    return side ? [`${name}=${side.value}@${side.cloud}.${side.edge}`] : [];
  });
  const marks = twin.optional || isDeletedTwin(twin) ? [] : ["mandatory"];
  return [twin.type, ...sides, ...marks].join(" ");
}
