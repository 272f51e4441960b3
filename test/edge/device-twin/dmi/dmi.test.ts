import { describe, expect, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { eventually } from "#internal/scripts/service.ts";
import { MapperPeer } from "#internal/test/support/edge/mapper-peer.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { keepSocket } from "#edge/device-twin/dmi/socket";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { boiler, boilerDevice, modeOf, startDmiNode } from "./node-with-dmi.ts";

describe("a mapper of v1beta1", () => {
  test("gets its devices with their models when it registers", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await node.deliver(boiler());
    await node.deliver(boilerDevice("boiler-1", "60"));
    const other = boilerDevice("meter");
    await node.deliver({ ...other, spec: { ...other.spec, protocol: { protocolName: "opcua" } } });

    const { modelList, deviceList } = await peer.register("modbus");

    expect(modelList).toEqual([
      { name: "boiler", namespace: "default", spec: { properties: boiler().spec?.properties } },
    ]);
    const [device] = deviceList;
    expect(deviceList).toHaveLength(1);
    expect(device).toMatchObject({ name: "boiler-1", namespace: "default" });
    expect(device.spec.deviceModelReference).toBe("boiler");
    const { data } = device.spec.protocol.configData;
    expect(Object.entries(data).map(([key, any]) => [key, peer.anyOf(any as never)])).toEqual([
      ["slaveID", ["FloatValue", 1]],
      ["serialPort", ["StringValue", "/dev/ttyS0"]],
      ["rate", ["FloatValue", Math.fround(0.1)]],
    ]);
    const [temperature, target] = device.spec.properties;
    expect(temperature).toMatchObject({ collectCycle: 1000, reportCycle: 2000, reportToCloud: true });
    expect(temperature.desired).toEqual({});
    expect(peer.anyOf(temperature.visitors.configData.data.isSwap)).toEqual(["BoolValue", true]);
    expect(peer.anyOf(temperature.visitors.configData.data.serial)).toEqual(["Int64Value", 123_456_789]);
    expect(target.desired).toEqual({ value: "60" });
  });

  test("gets models before devices, desired values, and removals", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await peer.serve();
    await peer.register("modbus");

    await node.deliver(boiler());
    await node.deliver(boilerDevice());
    await peer.called(2);
    await node.deliver(boilerDevice("boiler-1", "55"), "update");
    await peer.called(3);
    await node.deliver(boilerDevice("boiler-1", "55"), "delete");
    const calls = await peer.called(5);

    expect(calls.map(({ method }) => method)).toEqual([
      "CreateDeviceModel",
      "RegisterDevice",
      "UpdateDevice",
      "RemoveDevice",
      "RemoveDeviceModel",
    ]);
    expect(calls[2]?.request.device.spec.properties[1].desired).toEqual({ value: "55" });
    expect(calls[3]?.request).toEqual({ deviceName: "boiler-1", deviceNamespace: "default" });
    expect(calls[4]?.request).toEqual({ modelName: "boiler", modelNamespace: "default" });
  });

  test("reports values and states, which are in the twin once it has its answer", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await node.deliver(boiler());
    await node.deliver(boilerDevice());
    const published: string[] = [];
    node.bus
      .port<never, never, "mqtt.publish">("listener")
      .on("mqtt.publish", ({ topic }) => void published.push(topic));

    const name = { deviceName: "boiler-1", deviceNamespace: "default" };
    await peer.report(name, [
      { propertyName: "temperature", observedDesired: { value: "" }, reported: { value: "21.5" } },
      { propertyName: "target", observedDesired: { value: "60" }, reported: { value: "59" } },
    ]);
    await peer.ask("ReportDeviceStates", { ...name, state: "ONLINE" });

    const { status } = node.twin.show(boilerDevice());
    expect(status?.state).toBe("online");
    expect(status?.twins?.map(({ propertyName, reported }) => [propertyName, reported?.value])).toEqual([
      ["temperature", "21.5"],
      ["target", "59"],
    ]);
    expect(new Set(published)).toContain("$hw/events/device/default/boiler-1/twin/update/document");
    expect(new Set(published)).toContain("$hw/events/device/default/boiler-1/state/update/result");
  });

  test("learns what of a report was not taken, and the rest is", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await node.deliver(boiler());
    await node.deliver(boilerDevice());

    const twins = [
      { propertyName: "target", reported: { value: "warm" } },
      { propertyName: "temperature", reported: { value: "20" } },
    ];
    await expect(peer.report({ deviceName: "boiler-1" }, twins)).rejects.toThrow(
      /INVALID_ARGUMENT: device boiler-1: target: .*int/i,
    );
    await expect(peer.report({ deviceName: "kettle" }, twins)).rejects.toThrow(
      "5 NOT_FOUND: this node has no device kettle",
    );
    await expect(peer.ask("ReportDeviceStates", { deviceName: "boiler-1", state: "warm" })).rejects.toThrow(
      "the state: expected",
    );
    expect(node.twin.show(boilerDevice()).status?.twins?.[0]?.reported?.value).toBe("20");
  });

  test("is refused without a protocol and a socket", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    const peer = new MapperPeer(node.socket, "tcp://127.0.0.1:1");
    await expect(peer.register("")).rejects.toThrow(
      "3 INVALID_ARGUMENT: mapper.protocol: expected the protocolName of its devices",
    );
    await expect(peer.register("modbus")).rejects.toThrow(
      "3 INVALID_ARGUMENT: mapper.address: expected the path",
    );
  });
});

describe("a mapper of v1alpha1", () => {
  test("gets its devices in the shapes of v1alpha2, and reports", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"), "v1alpha1");
    await node.deliver(boiler());
    await node.deliver(boilerDevice("boiler-1", "60"));

    const { modelList, deviceList } = await peer.register("modbus");

    expect(modelList[0].spec.protocol).toBe("modbus");
    expect(modelList[0].spec.properties[0]).toEqual({
      name: "temperature",
      type: { float: { accessMode: "ReadOnly", minimum: -10, maximum: 120, unit: "C" } },
    });
    const [{ spec, status }] = deviceList;
    expect(spec.protocol.modbus).toEqual({ slaveID: 1 });
    expect(spec.protocol.common.com).toEqual({ serialPort: "/dev/ttyS0" });
    expect(peer.anyOf(spec.protocol.common.customizedValues.data.rate)).toEqual([
      "FloatValue",
      Math.fround(0.1),
    ]);
    expect(spec.propertyVisitors[0]).toEqual({
      propertyName: "temperature",
      reportCycle: 2000,
      collectCycle: 1000,
      modbus: { register: "HoldingRegister", offset: 2, isSwap: true },
    });
    expect(status.twins[1]).toEqual({
      propertyName: "target",
      desired: { value: "60", metadata: { type: "int" } },
      reported: {},
    });

    const reported = { value: "21.5", metadata: { type: "float" } };
    await peer.report({ deviceName: "boiler-1" }, [{ propertyName: "temperature", reported }]);
    expect(node.twin.show(boilerDevice()).status?.twins?.[0]?.reported?.value).toBe("21.5");
  });
});

describe("changes", () => {
  test("reach a mapper that starts its server after it registered, and one that was away", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await peer.register("modbus");
    await node.deliver(boiler());
    await node.deliver(boilerDevice());
    await peer.serve();
    await peer.called(2);
    peer.stop();
    await node.deliver(boilerDevice("boiler-1", "50"), "update");
    await node.deliver(boilerDevice("boiler-1", "51"), "update");
    await peer.serve();
    const calls = await peer.called(3);
    // The newest alone.
    expect(calls[2]?.request.device.spec.properties[1].desired).toEqual({ value: "51" });
  });

  test("of one device that is refused hold up no other, are repeated and reported", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await peer.serve();
    await peer.register("modbus");
    let refusals = 2;
    peer.onCall["RegisterDevice"] = ({ device }) => {
      if (device.name === "boiler-1" && refusals-- > 0) throw new Error("no such bus");
      return {};
    };
    await node.deliver(boiler());
    await node.deliver(boilerDevice("boiler-1"));
    await node.deliver(boilerDevice("boiler-2"));
    const calls = await peer.called(5);
    const names = calls.map(({ request }) => request.device?.name);
    expect(names.filter((name) => name === "boiler-1")).toHaveLength(3);
    expect(names.filter((name) => name === "boiler-2")).toHaveLength(1);
    await eventually(5000, async () => expect(node.events.length).toBeGreaterThan(0));
    expect(node.events[0]).toMatchObject({
      reason: "MapperRefused",
      involvedObject: { kind: "Device", name: "boiler-1", uid: "d-boiler-1" },
      message: 'Mapper "peer" refuses RegisterDevice: Error: no such bus',
    });
  });

  test("made while edgecore was down are brought after its restart, and nothing else", async () => {
    using folder = tempDir();
    await using peer = new MapperPeer(join(folder.path, "kubeedge/dmi.sock"), join(folder.path, "peer.sock"));
    await peer.serve();
    {
      await using node = await startDmiNode(folder.path);
      await node.deliver(boiler());
      await node.deliver(boilerDevice("boiler-1"));
      await node.deliver(boilerDevice("boiler-2"));
      await node.deliver(boilerDevice("boiler-3"));
      await peer.register("modbus");
      peer.stop();
      await node.deliver(boilerDevice("boiler-2", "40"), "update");
      await node.deliver(boilerDevice("boiler-3"), "delete");
    }
    await peer.serve();
    await using _node = await startDmiNode(folder.path);
    const calls = await peer.called(2);
    expect(
      calls
        .map(({ method, request }) => `${method} ${request.device?.name ?? request.deviceName}`)
        .toSorted(),
    ).toEqual(["RemoveDevice boiler-3", "UpdateDevice boiler-2"]);
  });

  test("are sent again to a mapper that registers without data", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await peer.serve();
    await node.deliver(boiler());
    await node.deliver(boilerDevice());
    expect(await peer.register("modbus", { withData: false })).toEqual({});
    const calls = await peer.called(2);
    expect(calls.map(({ method }) => method)).toEqual(["CreateDeviceModel", "RegisterDevice"]);
  });

  test("go to the mapper that registered last for a protocol", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    await using first = new MapperPeer(node.socket, join(folder.path, "1.sock"));
    await using second = new MapperPeer(node.socket, join(folder.path, "2.sock"));
    await first.serve();
    await second.serve();
    await first.register("modbus", { name: "first" });
    await second.register("modbus", { name: "second" });
    await node.deliver(boiler());
    await node.deliver(boilerDevice());
    await second.called(2);
    expect(first.calls).toEqual([]);
    expect(node.events.map(({ reason, message }) => [reason, message])).toEqual([
      [
        "MapperReplaced",
        'Mapper "second" takes the place of "first" for protocol "modbus": a protocol has one mapper on a node',
      ],
    ]);
  });
});

describe("the socket", () => {
  test("is for root alone, and replaces a stale one", async () => {
    using folder = tempDir();
    const path = join(folder.path, "kubeedge/dmi.sock");
    {
      await using node = await startDmiNode(folder.path);
      expect(modeOf(node.socket)).toBe("600");
      expect(modeOf(join(folder.path, "kubeedge"))).toBe("755");
    }
    expect(existsSync(path)).toBe(false);
    const child = Bun.spawnSync([
      process.execPath,
      "-e",
      `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`,
    ]);
    expect(child.signalCode).toBe("SIGKILL");
    expect(existsSync(path)).toBe(true);
    await using _node = await startDmiNode(folder.path);
    const peer = new MapperPeer(path, join(folder.path, "peer.sock"));
    expect(await peer.register("modbus")).toEqual({});
  });

  test("comes back when somebody removes it, and when another process gives it up", async () => {
    using folder = tempDir();
    const path = join(folder.path, "dmi.sock");
    const clock = new FakeClock();
    const other = createServer();
    await new Promise<void>((resolve) => void other.listen(path, resolve));
    const listen = async (early: string): Promise<AsyncDisposable> => {
      const server = createServer((socket) => socket.end("ours"));
      await new Promise<void>((resolve) => void server.listen(early, resolve));
      return { [Symbol.asyncDispose]: () => new Promise((resolve) => void server.close(() => resolve())) };
    };
    await using _kept = await keepSocket({ path, listen, clock, log: silentLog() });
    await new Promise<void>((resolve) => void other.close(() => resolve()));
    await clock.advance(10_000);
    await eventually(5000, async () => expect(await firstWord(path)).toBe("ours"));
    rmSync(path);
    await clock.advance(10_000);
    await eventually(5000, async () => expect(await firstWord(path)).toBe("ours"));
  });

  test("goes on after clients that speak no gRPC, stop in the middle, or send damaged messages", async () => {
    using folder = tempDir();
    await using node = await startDmiNode(folder.path);
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const frames = (hex: string): Buffer => Buffer.concat([Buffer.from(preface), Buffer.from(hex, "hex")]);
    const garbage = [
      Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
      Buffer.alloc(100_000, 0xff),
      Buffer.from(preface.slice(0, 10)),
      frames("000000040000000000ffffff0104000000010000"),
      frames("000000040000000000000005010400000001ffffffffff"),
      frames("000000040000000000000001010500000001"),
    ];
    for (const bytes of garbage) {
      const socket = connect({ path: node.socket });
      socket.on("error", () => undefined);
      await new Promise<void>((resolve) => void socket.write(bytes, () => resolve()));
      socket.destroy();
    }
    await using peer = new MapperPeer(node.socket, join(folder.path, "peer.sock"));
    await expect(peer.sendRaw("MapperRegister", Buffer.from("0affffffff", "hex"))).rejects.toThrow(
      "cannot be read",
    );
    await expect(peer.sendRaw("MapperRegister", Buffer.alloc(0))).rejects.toThrow("mapper.protocol");
    await expect(peer.sendRaw("ReportDeviceStatus", Buffer.alloc(5_000_000))).rejects.toThrow();
    expect(await peer.register("modbus")).toEqual({});
  });

  test("of another process, and a file in its place, are left alone", async () => {
    using folder = tempDir();
    {
      await using _node = await startDmiNode(folder.path);
    }
    const path = join(folder.path, "kubeedge/dmi.sock");
    const other = createServer();
    await new Promise<void>((resolve) => void other.listen(path, resolve));
    {
      await using node = await startDmiNode(folder.path);
      expect(node.log.lines.join("\n")).toContain("mappers cannot register");
    }
    expect(existsSync(path)).toBe(true);
    await new Promise<void>((resolve) => void other.close(() => resolve()));
    writeFileSync(path, "");
    {
      await using node = await startDmiNode(folder.path);
      expect(node.log.lines.join("\n")).toContain("mappers cannot register");
    }
    expect(existsSync(path)).toBe(true);
  });
});

async function firstWord(path: string): Promise<string> {
  let text = "";
  for await (const bytes of connect({ path })) text += String(bytes);
  return text;
}
