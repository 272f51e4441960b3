import { join } from "node:path";
import { readMapping, readReport, type DeviceMapping, type StateMemory } from "#shared/devices";
import { asText, recordOf } from "#shared/json";
import type { Device, DeviceModel } from "#shared/kube";
import { readAnnouncement, type Announcement } from "#internal/edge/device-twin/discovery/announcement.ts";
import { offeredObjects } from "#internal/edge/device-twin/discovery/offered-objects.ts";
import {
  runScenarios,
  type ScenarioBlock,
  type ScenarioCommands,
} from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "scenarios"), discoveryCommands);

/**
 * `announce component=X` reads an announcement with the state topic "plug/state" for the device "x", and answers with what
 * is offered of it; `read topic=T` answers with what the offered device reports by a payload.
 */
function discoveryCommands(): ScenarioCommands {
  let mapping: DeviceMapping | undefined;
  let memory: StateMemory = new Map();
  return {
    announce: (block) => {
      memory = new Map();
      const announcement = announcementOf(block);
      if (announcement?.kind !== "properties") return announcement;
      const { device, model } = offeredObjects(announcement.found, "edge-1");
      ({ mapping } = readMapping(device, model));
      return { ...shown(device, model), problem: announcement.problems[0] };
    },
    read: ({ input: [payload], options }) => {
      if (!mapping) throw new Error("nothing was announced");
      const topic = options.get("topic") ?? "plug/state";
      const { values, state, rejected } = readReport(mapping, topic, Buffer.from(asText(payload)), memory);
      return { value: values[0]?.value, state, rejected: rejected[0]?.problem };
    },
  };
}

function announcementOf({ input: [body], options }: ScenarioBlock): Announcement | undefined {
  const payload = JSON.stringify({ stat_t: "plug/state", ids: ["x"], ...recordOf(body) });
  const topic = `homeassistant/${options.get("component") ?? "sensor"}/plug/p/config`;
  return readAnnouncement("homeassistant", topic, Buffer.from(payload));
}

function shown(device: Device, model: DeviceModel): object {
  const [described] = model.spec?.properties ?? [];
  const [property] = device.spec?.properties ?? [];
  return {
    type: described?.type,
    accessMode: described?.accessMode,
    config: property?.visitors?.configData,
    state: device.spec?.protocol?.configData,
  };
}
