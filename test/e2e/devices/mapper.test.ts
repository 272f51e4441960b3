import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, run } from "#internal/scripts/service.ts";
import { hasPair, startPair, type Pair } from "#internal/test/support/pair.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const able = hasPair();

describe.skipIf(!able)("a mapper made by edgecore new-mapper", () => {
  const folder = tempDir();
  const project = join(folder.path, "heater");
  let pair: Pair;
  let mapper: Bun.Subprocess<"ignore", "ignore", "pipe">;

  beforeAll(async () => {
    pair = await startPair();
    await pair.startCommand(["new-mapper", "heater"], folder.path).exited;
    const [model, device] = Bun.YAML.parse(
      readFileSync(join(project, "manifest.yaml"), "utf8").replaceAll("edge-1", pair.node),
    ) as object[];
    await pair.apply(model, device);
    mapper = pair.startCommand(["run-mapper", "heater"], folder.path);
  }, 120_000);

  afterAll(async () => {
    mapper.kill();
    await mapper.exited;
    await pair[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("has types that fit, without any package installed", async () => {
    expect(existsSync(join(project, "node_modules"))).toBe(false);
    const checked = Bun.spawn([process.execPath, "check"], { cwd: project, stdout: "pipe", stderr: "pipe" });
    expect(await checked.exited).toBe(0);
  });

  test("is refused where there is something of its name", async () => {
    const again = pair.startCommand(["new-mapper", "heater"], folder.path);
    expect(await again.exited).toBe(2);
    expect(await new Response(again.stderr).text()).toContain("heater is there already");
  });

  test("shows its values and its state in the Device, and takes what is desired", async () => {
    const values = "{range .status.twins[*]}{.propertyName}={.reported.value} {end}{.status.state}";
    const get = async (): Promise<string[]> => {
      const text = await pair.kubectl("get", "device", "heater-1", "-o", `jsonpath=${values}`);
      return text.split(" ").toSorted();
    };
    await eventually(60_000, async () =>
      expect(await get()).toEqual(["online", "target=22", "temperature=21.5"]),
    );
    const patch = [{ op: "replace", path: "/spec/properties/1/desired", value: { value: "25" } }];
    await pair.kubectl("patch", "device", "heater-1", "--type=json", "-p", JSON.stringify(patch));
    await eventually(60_000, async () =>
      expect(await get()).toEqual(["online", "target=25", "temperature=21.5"]),
    );
  }, 150_000);

  test("runs by Bun alone as well", async () => {
    const out = join(folder.path, "out.js");
    await run([process.execPath, "build", join(project, "mapper.ts"), "--target", "bun", "--outfile", out]);
    expect(existsSync(out)).toBe(true);
  });
});
