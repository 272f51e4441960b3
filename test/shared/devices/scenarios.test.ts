import { join } from "node:path";
import { commandChanges, commandsOf, readMapping, readReport, type DeviceMapping } from "#shared/devices";
import { asText, isObject, textOf, type Json, type JsonObject } from "#shared/json";
import type { DeviceProperty, ModelProperty } from "#shared/kube";
import { runScenarios, type ScenarioCommands } from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "scenarios"), deviceCommands);

/**
 * `device` is the `configData` of the properties of a plain device "plug"; `desire` sets desired values; both answer with
 * what is published then, retained messages with an `r`. With `type=T` the properties have this type. `read topic=T` answers
 * with what a payload reports, with `hex=true` one in hexadecimal digits.
 */
function deviceCommands(): ScenarioCommands {
  let mapping: DeviceMapping | undefined;
  let desired: JsonObject = {};
  const commands = (): ReturnType<typeof commandsOf> => commandsOf(mapping, (name) => textOf(desired, name));
  const published = (change: () => void): Json => {
    const before = commands();
    change();
    return commandChanges(before, commands()).map(
      ({ topic, payload, retain }) => `${topic} ${payload}${retain ? " r" : ""}`,
    );
  };
  return {
    device: ({ input: [properties], options }) =>
      published(() => (mapping = mappingOf(properties, options.get("type")))),
    desire: ({ input: [values] }) => published(() => (desired = isObject(values) ? values : {})),
    read: ({ input: [payload], options }) => {
      if (!mapping) throw new Error("the device has no mapping");
      const bytes = options.has("hex")
        ? Buffer.from(asText(payload).replaceAll(" ", ""), "hex")
        : Buffer.from(asText(payload));
      return readReport(mapping, options.get("topic") ?? "", bytes);
    },
  };
}

function mappingOf(given: Json | undefined, type: string | undefined): DeviceMapping | undefined {
  const entries = Object.entries(isObject(given) ? given : {});
  const properties = entries.map(([name, configData]): DeviceProperty => ({
    name,
    visitors: { configData: isObject(configData) ? configData : {} },
  }));
  const protocol = { protocolName: "mqtt", configData: { stateTopic: "{name}/lwt" } };
  const device = { metadata: { name: "plug", namespace: "default" }, spec: { properties, protocol } };
  const names = properties.map(({ name }) => name);
  // A type of the schema, by the scenario.
  const typed = names.map((name) => ({ name, type: type as NonNullable<ModelProperty["type"]> }));
  const model = { metadata: { name: "plug" }, spec: { protocol: "mqtt", properties: typed } };
  const { mapping, problems } = readMapping(device, type === undefined ? undefined : model);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return mapping;
}
