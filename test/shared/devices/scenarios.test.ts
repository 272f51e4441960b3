import { join } from "node:path";
import { commandChanges, commandsOf, readMapping, readReport, type DeviceMapping } from "#shared/devices";
import { asText, isObject, textOf, type Json, type JsonObject } from "#shared/json";
import type { DeviceProperty } from "#shared/kube";
import { runScenarios, type ScenarioCommands } from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "scenarios"), deviceCommands);

/**
 * `device` is the `configData` of the properties of a plain device "plug"; `desire` sets desired values; both answer with
 * what is published then, retained messages with an `r`. `read topic=T` answers with what a payload reports.
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
    device: ({ input: [properties] }) => published(() => (mapping = mappingOf(properties))),
    desire: ({ input: [values] }) => published(() => (desired = isObject(values) ? values : {})),
    read: ({ input: [payload], options }) => {
      if (!mapping) throw new Error("the device has no mapping");
      return readReport(mapping, options.get("topic") ?? "", Buffer.from(asText(payload)));
    },
  };
}

function mappingOf(given: Json | undefined): DeviceMapping | undefined {
  const entries = Object.entries(isObject(given) ? given : {});
  const properties = entries.map(([name, configData]): DeviceProperty => ({
    name,
    visitors: { configData: isObject(configData) ? configData : {} },
  }));
  const protocol = { protocolName: "mqtt", configData: { stateTopic: "{name}/lwt" } };
  const device = { metadata: { name: "plug", namespace: "default" }, spec: { properties, protocol } };
  const { mapping, problems } = readMapping(device, undefined);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return mapping;
}
