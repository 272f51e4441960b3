import type { Clock } from "#shared/clock";
import { nextTurn } from "#shared/clock";
import { startDeviceRules, type DeviceRules } from "#edge/device-twin/values/rules";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

export interface RulesNode extends AsyncDisposable {
  readonly node: Harness;
  readonly rules: DeviceRules;
  /** Stores a DeviceRule as the cloud sends it; undefined removes it. */
  rule(name: string, spec: object | undefined): Promise<void>;
  /** Desired value of a property of a device, as the node has it. */
  desired(device: string, property: string): string | undefined;
  status(name: string): unknown;
}

/** devicetwin and the rules over a real store, with the test in the place of the broker and of the cloud. */
export async function startRulesNode(
  directory: string,
  clock: Clock,
  config: { readonly allowedPorts?: readonly number[]; readonly ownPorts?: readonly number[] } = {},
): Promise<RulesNode> {
  await using stack = new AsyncDisposableStack();
  const node = stack.use(await startHarness(directory, {}, clock));
  const { bus, store, twin } = node;
  const rules = stack.use(
    await startDeviceRules(
      { node: "ke-edge", allowedPorts: config.allowedPorts ?? [], ownPorts: () => config.ownPorts ?? [] },
      { port: bus.port("devicerules"), store, show: twin.show, clock, log: silentLog() },
    ),
  );
  const meta = bus.port<"device-rule.changed">("metamanager");
  const owned = stack.move();
  return {
    node,
    rules,
    rule: async (name, spec) => {
      const key = `default/devicerule/${name}`;
      const metadata = { name, namespace: "default", uid: `uid-${name}` };
      const object = spec && { metadata, spec: { nodeName: "ke-edge", ...spec } };
      if (object) store.metas.put({ key, type: "devicerule", value: JSON.stringify(object) });
      else store.metas.remove(key);
      const change = { type: "devicerule", namespace: "default", name, object } as never;
      await meta.emit("device-rule.changed", change);
      await nextTurn();
    },
    desired: (device, property) => {
      const row = store.metas.find(`default/device/${device}`);
      const shown = row && twin.show(JSON.parse(row.value) as never);
      return shown?.spec?.properties?.find(({ name }) => name === property)?.desired?.value;
    },
    status: (name) => {
      const all = node.outbox().filter(({ resource }) => resource === `device/default/${name}/rule-status`);
      return (all.at(-1)?.content as { status: unknown } | undefined)?.status;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const plain = (name: string, properties: readonly object[]): object => ({
  metadata: { name, namespace: "default", uid: `uid-${name}`, resourceVersion: "1" },
  spec: {
    deviceModelRef: { name: "" },
    nodeName: "ke-edge",
    protocol: { protocolName: "mqtt", configData: { stateTopic: `${name}/lwt` } },
    properties,
  },
});

/** A thermometer on `thermo/temp`, and a heater that is switched on `heater/set` and reports on `heater/state`. */
export const devices: readonly object[] = [
  plain("thermo", [{ name: "temp", visitors: { configData: { topic: "thermo/temp" } } }]),
  plain("heater", [
    {
      name: "on",
      visitors: { configData: { topic: "heater/state", setTopic: "heater/set" } },
    },
  ]),
];

/** Heats below 19 until it is warmer than 21. */
export const thermostat = {
  when: [{ device: "thermo", property: "temp", expression: "value < 19", until: "value > 21" }],
  then: [{ set: { device: "heater", property: "on", value: "true" } }],
  otherwise: [{ set: { device: "heater", property: "on", value: "false" } }],
};
