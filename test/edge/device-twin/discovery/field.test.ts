import { join } from "node:path";
import {
  commandsOf,
  commandProblems,
  readMapping,
  readReport,
  type DeviceMapping,
  type StateMemory,
} from "#shared/devices";
import { asText, isObject, recordOf, textOf, type JsonObject } from "#shared/json";
import type { DeviceModel, ModelProperty } from "#shared/kube";
import { readAnnouncement } from "#internal/edge/device-twin/discovery/announcement.ts";
import {
  offeredObjects,
  type DiscoveredProperty,
} from "#internal/edge/device-twin/discovery/offered-objects.ts";
import { runScenarios, type ScenarioCommands } from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "field"), fieldCommands);

/**
 * What devices of the field announce, and how plain ones are described. `announce topic=T` adds an announcement to the device
 * and answers with its properties; `new=true` starts another device. `plain` describes a device: `configData` by property, with
 * its `type`. `read topic=T` answers with the values and the state of a payload, `set` with what is published for
 * desired values.
 */
function fieldCommands(): ScenarioCommands {
  let mapping: DeviceMapping | undefined;
  let memory: StateMemory = new Map();
  let found: readonly DiscoveredProperty[] = [];
  return {
    announce: ({ input: [body], options }) => {
      if (options.has("new")) found = [];
      memory = new Map();
      const topic = `homeassistant/${options.get("topic") ?? ""}/config`;
      const read = readAnnouncement("homeassistant", topic, Buffer.from(JSON.stringify(recordOf(body))));
      if (read?.kind !== "properties") return read;
      found = [...found, ...read.found];
      const { device, model } = offeredObjects(found, "edge-1");
      ({ mapping } = readMapping(device, model));
      return {
        ...shownTypes(model, read.found),
        ...(read.problems.length > 0 ? { problems: read.problems } : {}),
      };
    },
    plain: ({ input: [described, protocol] }) => {
      memory = new Map();
      const properties = Object.entries(recordOf(described));
      const model: DeviceModel = {
        metadata: { name: "m" },
        spec: {
          protocol: "mqtt",
          properties: properties.map(([name, config]) => ({ name, type: typeOf(config) })),
        },
      };
      const device = {
        metadata: { name: "d", namespace: "default" },
        spec: {
          protocol: { protocolName: "mqtt", configData: recordOf(protocol ?? {}) },
          properties: properties.map(([name, config]) => {
            const { type: _, ...configData } = recordOf(config);
            return { name, visitors: { configData } };
          }),
        },
      };
      const outcome = readMapping(device, model);
      ({ mapping } = outcome);
      return outcome.problems.map(({ field, problem }) => `${field} ${problem}`);
    },
    read: ({ input: [payload], options }) => {
      if (!mapping) throw new Error("there is no device");
      const text = isObject(payload) ? JSON.stringify(payload) : asText(payload);
      const bytes = Buffer.from(
        options.has("hex") ? text.replaceAll(" ", "") : text,
        options.has("hex") ? "hex" : "utf8",
      );
      const { values, state, rejected } = readReport(mapping, options.get("topic") ?? "", bytes, memory);
      return {
        ...Object.fromEntries(values.map(({ name, value }) => [name, value])),
        ...(state === undefined ? {} : { state }),
        ...(rejected.length > 0 ? { rejected: rejected.map(({ name }) => name) } : {}),
      };
    },
    set: ({ input: [values] }) => {
      const desired: JsonObject = isObject(values) ? values : {};
      const value = (name: string): string | undefined => textOf(desired, name);
      const sent = commandsOf(mapping, value).map(
        ({ topic, payload, retain }) => `${topic} ${payload}${retain ? " (retained)" : ""}`,
      );
      return [...sent, ...commandProblems(mapping, value).map(({ problem }) => problem)];
    },
  };
}

function typeOf(config: unknown): NonNullable<ModelProperty["type"]> {
  const { type = "STRING" } = recordOf(config);
  // A type of the schema, by the scenario.
  return type as NonNullable<ModelProperty["type"]>;
}

function shownTypes(model: DeviceModel, found: readonly DiscoveredProperty[]): Record<string, string> {
  const names = new Set(found.map(({ property }) => property.name));
  const properties = (model.spec?.properties ?? []).filter(({ name }) => names.has(name));
  return Object.fromEntries(
    properties.map(({ name, type, accessMode, unit, minimum, maximum }) => {
      const range =
        minimum === undefined && maximum === undefined ? "" : ` ${minimum ?? ""}..${maximum ?? ""}`;
      return [name, `${type} ${accessMode}${range}${unit === undefined ? "" : ` ${unit}`}`];
    }),
  );
}
