import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startMapper, type Driver, type MapperProperty, type Value } from "#shared/mapper";
import type { Device } from "#shared/kube";
import { bundleMapper } from "#internal/scripts/bundle-mapper.ts";
import { eventually } from "#internal/scripts/service.ts";
import {
  boiler,
  boilerDevice,
  startDmiNode,
  type DmiNode,
} from "#internal/test/edge/device-twin/dmi/node-with-dmi.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface Visitor {
  readonly register: string;
  readonly offset: number;
}

/** A boiler that a driver speaks to. */
class Boiler {
  readonly calls: string[] = [];
  temperature: Value | undefined = 21.5;
  target: Value = 40;
  isBroken = false;

  driver({ name }: { readonly name: string }): Driver<Visitor> {
    const call = (text: string): void => {
      this.calls.push(`${name} ${text}`);
      if (this.isBroken) throw new Error("no answer");
    };
    return {
      init: () => call("init"),
      read: ({ name: property }) => (property === "target" ? this.target : this.temperature),
      write: (property: MapperProperty<Visitor>, value) => {
        call(`write ${property.name}@${property.visitor.offset}=${JSON.stringify(value)}`);
        this.target = value;
      },
      stop: () => void this.calls.push(`${name} stop`),
    };
  }
}

function fast(target?: string): Device {
  const device = boilerDevice("boiler-1", target);
  const properties = (device.spec?.properties ?? []).map((one) => ({
    ...one,
    collectCycle: 20,
    reportCycle: 0,
  }));
  return { ...device, spec: { ...device.spec, properties } };
}

function status({ twin }: DmiNode): Record<string, string | undefined> {
  const { state, twins = [] } = twin.show(fast()).status ?? {};
  return {
    state: state ?? "",
    ...Object.fromEntries(twins.map(({ propertyName, reported }) => [propertyName, reported?.value])),
  };
}

const run = (folder: string, world: Boiler) =>
  startMapper<object, Visitor>({
    name: "boilers",
    protocol: "modbus",
    driver: (device) => world.driver(device),
    edgeSocket: join(folder, "kubeedge/dmi.sock"),
    onLog: () => undefined,
  });

describe("a mapper of the SDK", () => {
  test("reports what its driver reads, and writes what is desired", async () => {
    using folder = tempDir();
    const world = new Boiler();
    await using node = await startDmiNode(folder.path);
    await using mapper = await run(folder.path, world);
    await node.deliver(boiler());
    await node.deliver(fast());
    await eventually(20_000, async () =>
      expect(status(node)).toEqual({ state: "online", temperature: "21.5", target: "40" }),
    );
    expect(mapper.devices()).toEqual(["default/boiler-1"]);
    world.temperature = 22;
    await node.deliver(fast("55"), "update");
    await eventually(20_000, async () =>
      expect(status(node)).toEqual({ state: "online", temperature: "22", target: "55" }),
    );
    expect(world.calls).toEqual(["boiler-1 init", "boiler-1 write target@3=55"]);
    await node.deliver(fast("55"), "delete");
    await eventually(20_000, async () => expect(world.calls.at(-1)).toBe("boiler-1 stop"));
    expect(mapper.devices()).toEqual([]);
  });

  test("has a device that fails offline, and begins it again", async () => {
    using folder = tempDir();
    const world = new Boiler();
    world.isBroken = true;
    await using node = await startDmiNode(folder.path);
    await node.deliver(boiler());
    await node.deliver(fast());
    await using _mapper = await run(folder.path, world);
    await eventually(20_000, async () => expect(status(node)).toEqual({ state: "offline" }));
    world.isBroken = false;
    await eventually(20_000, async () =>
      expect(status(node)).toEqual({ state: "online", temperature: "21.5", target: "40" }),
    );
    expect(world.calls.slice(0, 3)).toEqual(["boiler-1 init", "boiler-1 stop", "boiler-1 init"]);
  });

  test("that starts before edgecore registers when that is there, and again after its restart", async () => {
    using folder = tempDir();
    const world = new Boiler();
    await using mapper = await run(folder.path, world);
    expect(mapper.devices()).toEqual([]);
    {
      await using node = await startDmiNode(folder.path);
      await node.deliver(boiler());
      await node.deliver(fast());
      await eventually(30_000, async () => expect(status(node)["temperature"]).toBe("21.5"));
    }
    world.temperature = 30;
    await using node = await startDmiNode(folder.path);
    await eventually(30_000, async () => expect(status(node)["temperature"]).toBe("30"));
    expect(world.calls).toEqual(["boiler-1 init"]);
  });

  test("reports no value that its property cannot have", async () => {
    using folder = tempDir();
    const world = new Boiler();
    world.target = "warm";
    await using node = await startDmiNode(folder.path);
    await node.deliver(boiler());
    await node.deliver(fast());
    await using _mapper = await run(folder.path, world);
    await eventually(20_000, async () =>
      expect(status(node)).toEqual({ state: "online", temperature: "21.5" }),
    );
    world.target = 7;
    await eventually(20_000, async () => expect(status(node)["target"]).toBe("7"));
  });
});

test("the package of the SDK is made of its present source: run `bun scripts/bundle-mapper.ts`", async () => {
  for (const [name, text] of Object.entries(await bundleMapper())) {
    const kept = await Bun.file(
      join(import.meta.dir, "../../../edge/commands/mapper/sdk", `${name}.txt`),
    ).text();
    expect(kept === text).toBe(true);
  }
});
