import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { hasProcesses } from "#internal/test/support/machine/processes.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { ProcessWorld, processesWith, until } from "./process-world.ts";

setDefaultTimeout(60_000);
const otherBoot = "00000000-1111-2222-3333-444444444444";

describe.skipIf(!hasProcesses())("programs whose edgecore ended", () => {
  test("run on, are found again, and their log goes on", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell(
      "echo first; while [ ! -e /tmp/kubeedge-go-$GO ]; do sleep 0.05; done; echo second; exit 6",
      { env: [`GO=${process.pid}`] },
    );
    await until(async () => (await world.log(id, {})) === "first\n");
    const { pid } = (await world.runtime.inspect(id)) ?? {};
    await world.reopen();
    const found = await world.runtime.inspect(id);
    expect([found?.phase, found?.pid]).toEqual(["running", pid]);
    Bun.spawnSync(["touch", `/tmp/kubeedge-go-${process.pid}`]);
    expect((await world.ended(id)).exitCode).toBe(6);
    Bun.spawnSync(["rm", `/tmp/kubeedge-go-${process.pid}`]);
    expect(await world.log(id)).toBe("first\nsecond\n");
  });

  test("keep how they ended, and what they wrote until then", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("sleep 0.5; echo last words; exit 9");
    await world.reopen(() => until(() => world.file(id, "exit").startsWith("9")));
    expect((await world.ended(id)).exitCode).toBe(9);
    expect(await world.log(id)).toBe("last words\n");
    // Its supervisor has ended then.
    await until(() => processesWith(id).length === 0);
  });

  test("do not wait for a short time of it, whatever they write", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("sleep 0.3; head -c 40000 /dev/zero | tr '\\0' x; echo; exit 2");
    await world.reopen(() => until(() => world.file(id, "exit").startsWith("2")));
    await world.ended(id);
    expect((await world.log(id)).length).toBe(40_001);
  });

  test("are killed ones when their supervisor was killed, and nothing of them is left", async () => {
    await using world = new ProcessWorld();
    const time = `32${process.pid}`;
    const id = await world.shell(`sleep ${time} & wait`);
    await until(() => processesWith(`sleep ${time}`).length > 0);
    process.kill(Number(world.file(id, "supervisor").split(" ")[0]), "SIGKILL");
    expect((await world.ended(id)).exitCode).toBe(137);
    await until(() => processesWith(`sleep ${time}`).length === 0);
  });

  test("have ended with the boot, and other processes with their numbers are left alone", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const other = Bun.spawn(["sleep", "1000"]);
    const sandbox =
      (await world.runtime.list()).find(({ identity }) => identity.role === "sandbox")?.id ?? "";
    await world.reopen(async () => {
      process.kill(Number(world.file(id, "init").split(" ")[0]), "SIGKILL");
      await until(() => /^\d/.test(world.file(id, "exit")));
      process.kill(Number(world.file(id, "supervisor").split(" ")[0]), "SIGKILL");
      for (const name of ["supervisor", "init", "program"]) {
        const [, ticks] = world.file(id, name).split(" ");
        world.write(id, name, `${other.pid} ${ticks} ${otherBoot}\n`);
      }
      world.write(id, "exit", "---\n");
      const record = JSON.parse(world.file(sandbox, "record.json"));
      world.write(sandbox, "record.json", JSON.stringify({ ...record, bootId: otherBoot }));
    });
    const [container, pod] = [await world.runtime.inspect(id), await world.runtime.inspect(sandbox)];
    expect([container?.phase, container?.exitCode, pod?.phase]).toEqual(["exited", 255, "exited"]);
    await world.runtime.stop(id, 0);
    await world.runtime.remove(id);
    expect(other.exitCode).toBeNull();
    other.kill();
  });

  test("are not mistaken for a process that has their number in the same boot", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const other = Bun.spawn(["sleep", "1000"]);
    await world.reopen(async () => {
      process.kill(Number(world.file(id, "init").split(" ")[0]), "SIGKILL");
      await until(() => /^\d/.test(world.file(id, "exit")));
      process.kill(Number(world.file(id, "supervisor").split(" ")[0]), "SIGKILL");
      for (const name of ["supervisor", "init", "program"]) {
        const [, ticks, boot] = world.file(id, name).split(" ");
        world.write(id, name, `${other.pid} ${ticks} ${boot}`);
      }
      world.write(id, "exit", "---\n");
    });
    expect((await world.runtime.inspect(id))?.exitCode).toBe(137);
    await world.runtime.remove(id);
    expect(other.exitCode).toBeNull();
    other.kill();
  });

  test("that were killed with it are killed ones", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    await world.reopen(() => {
      for (const name of ["supervisor", "init"])
        process.kill(Number(world.file(id, name).split(" ")[0]), "SIGKILL");
    });
    expect((await world.ended(id)).exitCode).toBe(137);
  });

  test("leave no half-made directories", async () => {
    await using world = new ProcessWorld();
    await world.reopen(() => {
      for (const name of ["process-half", ".gone-process-x"]) {
        Bun.spawnSync(["mkdir", "-p", join(world.dir.path, "processes", name, "root")]);
        world.write(name, "exit", "---\n");
      }
    });
    expect(readdirSync(join(world.dir.path, "processes"))).toEqual([]);
  });

  for (const moment of [
    "sandbox",
    "created",
    "starting",
    "started",
    "stopping",
    "stopped",
    "removing",
    "removed",
  ])
    test(`are as the directory says when it is killed at: ${moment}`, async () => {
      await using world = new ProcessWorld();
      const time = `33${process.pid}${moment.length}`;
      const words = [
        process.execPath,
        resolve(import.meta.dir, "edgecore.ts"),
        world.dir.path,
        world.owner,
        `trap 'exit 0' TERM; sleep ${time} & wait`,
      ];
      await world.reopen(async () => {
        const edgecore = Bun.spawn(words, { stdout: "pipe", stderr: "inherit" });
        let said = "";
        for await (const chunk of edgecore.stdout) {
          said += new TextDecoder().decode(chunk);
          if (said.split("\n").includes(moment)) break;
        }
        edgecore.kill("SIGKILL");
        await edgecore.exited;
        expect(said).toContain(moment);
      });
      const pod = Object.assign(new PodUnderTest(world.runtime, "process:///bin/sh", { kind: "host" }), {
        uid: "killed",
      });
      const [container] = (await world.runtime.list("killed")).filter(
        ({ identity }) => identity.role !== "sandbox",
      );
      // What was begun can be ended, or done again, and the name is free.
      if (container?.phase === "running") await world.runtime.stop(container.id, 5);
      if (container) {
        await until(async () => (await world.runtime.inspect(container.id))?.phase !== "running");
        await world.runtime.remove(container.id);
      }
      const again = await pod.start("c", { command: ["/bin/true"] });
      expect((await world.ended(again)).exitCode).toBe(0);
      for (const { id, identity } of await world.runtime.list("killed"))
        await (identity.role === "sandbox" ? world.runtime.removeSandbox(id) : world.runtime.remove(id));
      await until(() => processesWith(`sleep ${time}`).length === 0);
      expect(existsSync(join(world.dir.path, "processes", container?.id ?? "none"))).toBe(false);
      await until(() => processesWith(join(world.dir.path, "processes")).length === 0);
    });
});
