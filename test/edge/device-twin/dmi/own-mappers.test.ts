import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { systemClock } from "#shared/clock";
import type { Device, DeviceModel } from "#shared/kube";
import { startOwnMappers } from "#edge/device-twin/dmi/own-mappers";
import { eventually, run } from "#internal/scripts/service.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startDmiNode, type DmiNode } from "./node-with-dmi.ts";

const main = resolve(import.meta.dir, "../../../../edge/main.ts");

/** Processes that run the mapper of a directory. */
function processesOf(folder: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandOf(pid).includes(`run-mapper ${folder} `))
    .map(Number);
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    // It ended just now.
    return "";
  }
}

function reported({ twin }: DmiNode, device: Device): string | undefined {
  return twin.show(device).status?.twins?.find(({ propertyName }) => propertyName === "target")?.reported
    ?.value;
}

test("mappers of edgecore run beside it, run again when they are killed, and end with it", async () => {
  using folder = tempDir();
  const edge = [process.execPath, main];
  const made = Bun.spawn([...edge, "new-mapper", "heater"], { cwd: folder.path, stdout: "ignore" });
  expect(await made.exited).toBe(0);
  const project = join(folder.path, "heater");
  const text = readFileSync(join(project, "manifest.yaml"), "utf8");
  // The manifest has them in this order.
  const [model, device] = Bun.YAML.parse(text) as [DeviceModel, Device];
  await using node = await startDmiNode(folder.path);
  await node.deliver(model);
  await node.deliver(device);
  {
    const parts = { socket: node.socket, clock: systemClock, log: silentLog() };
    await using _mappers = startOwnMappers([project], { command: [...edge, "run-mapper"], ...parts });
    await eventually(60_000, async () => expect(reported(node, device)).toBe("22"));
    const [first = 0, ...others] = processesOf(project);
    expect(others).toEqual([]);
    await run(["kill", "-9", String(first)]);
    await eventually(60_000, async () => {
      const [second = first] = processesOf(project);
      expect(second).not.toBe(first);
    });
  }
  expect(processesOf(project)).toEqual([]);
}, 150_000);

test("a mapper of an edgecore that was killed ends", async () => {
  using folder = tempDir();
  const made = Bun.spawn([process.execPath, main, "new-mapper", "heater"], {
    cwd: folder.path,
    stdout: "ignore",
  });
  expect(await made.exited).toBe(0);
  const words = [
    "run-mapper",
    join(folder.path, "heater"),
    "--socket",
    join(folder.path, "dmi.sock"),
    "--with-input",
  ];
  const child = Bun.spawn([process.execPath, main, ...words], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "pipe",
  });
  for await (const line of child.stderr) if (String(Buffer.from(line)).includes("cannot register")) break;
  await child.stdin.end();
  expect(await child.exited).toBe(0);
}, 60_000);
