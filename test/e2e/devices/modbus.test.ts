import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "#internal/scripts/service.ts";
import { startSimulator, type Simulator } from "#internal/test/edge/drivers/modbus/simulator.ts";
import { hasPair, startPair, type Pair } from "#internal/test/support/pair.ts";

const able = hasPair();
const page = join(import.meta.dir, "../../../docs/drivers.md");

describe.skipIf(!able)("the Modbus device of the page on drivers", () => {
  let pair: Pair;
  let device: Simulator;

  beforeAll(async () => {
    device = await startSimulator();
    device.input.set(0, 215);
    pair = await startPair();
    const [manifest = ""] = /(?<=```yaml\n)[^`]*/.exec(readFileSync(page, "utf8")) ?? [];
    const objects = manifest
      .replaceAll("edge-1", pair.node)
      .replace("ip: 192.168.1.50, port: 502", `ip: 127.0.0.1, port: ${device.port}`);
    await pair.apply(...(Bun.YAML.parse(objects) as object[]));
  }, 120_000);

  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
    await device[Symbol.asyncDispose]();
  });

  test("shows its registers in its status and follows its desired values, also after edgecore was killed", async () => {
    const values = "{range .status.twins[*]}{.propertyName}={.reported.value} {end}{.status.state}";
    const shown = async (): Promise<string[]> => {
      const text = await pair.kubectl("get", "device", "boiler-1", "-o", `jsonpath=${values}`);
      return text.split(" ").toSorted();
    };
    await eventually(60_000, async () =>
      expect(await shown()).toEqual(["online", "pump=false", "target=60", "temperature=21.5"]),
    );
    expect(device.holding.get(2)).toBe(60);
    const patch = [{ op: "add", path: "/spec/properties/2/desired", value: { value: "true" } }];
    await pair.kubectl("patch", "device", "boiler-1", "--type=json", "-p", JSON.stringify(patch));
    await eventually(60_000, async () => expect(await shown()).toContain("pump=true"));
    await pair.killEdge();
    device.input.set(0, 220);
    await pair.startEdge();
    await eventually(60_000, async () => expect(await shown()).toContain("temperature=22"));
  }, 240_000);
});
