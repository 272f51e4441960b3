import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { hasProcesses } from "#internal/test/support/machine/processes.ts";
import { commandShell, findTools, needTools } from "#edge/runtime/process/script";
import { ProcessWorld, processesWith, until } from "./process-world.ts";

setDefaultTimeout(60_000);
let marks = 0;
const mark = (): string => `58${process.pid}${(marks += 1)}`;
const options = { maxOutputBytes: 4096 };

function openFiles(): number {
  return readdirSync("/proc/self/fd").length;
}

describe.skipIf(!hasProcesses())("commands beside programs", () => {
  test("do not show the variables of the pod to others on the machine", async () => {
    await using world = new ProcessWorld();
    const secret = `secret-${crypto.randomUUID()}`;
    const id = await world.shell("exec sleep 1000", { env: [`PASSWORD=${secret}`] });
    const time = mark();
    const command = ["sh", "-c", `sleep ${time}; echo $PASSWORD`];
    const stop = new AbortController();
    const run = world.runtime.runCommand(id, command, { ...options, signal: stop.signal });
    run.catch(() => undefined);
    await until(() => processesWith(`^sleep ${time}`).length > 0);
    expect(processesWith(secret)).toEqual([]);
    stop.abort();
    await run.catch(() => undefined);
    const said = await world.runtime.runCommand(id, ["sh", "-c", "echo $PASSWORD; env"], options);
    expect(said.output).toStartWith(`${secret}\n`);
    expect(said.output).not.toContain("KUBEEDGE");
  });

  test("are not seen by other pods through a hostPath", async () => {
    await using world = new ProcessWorld();
    for (const hostPath of ["/", "/proc", "/proc/self/", "/proc/sys/kernel"]) {
      const mounts = [{ source: hostPath, hostPath, target: "/host-of-test", readOnly: true }];
      const refused = await world.shell("true", { mounts }, "other").catch(String);
      expect(refused).toContain(`hostPath ${hostPath}: /proc shows all processes of this node`);
    }
  });

  test("get variables of any size that the kernel takes, and of any text", async () => {
    await using world = new ProcessWorld();
    const odd = `'"$\`\\ \n é 😀 `;
    const long = "😀x'".repeat(12_000);
    const env = [`A=${long}`, `B=${long}`, `C=${long}`, `D=${odd}`];
    const id = await world.shell("exec sleep 1000", { env });
    const script = 'echo "$(printf %s "$A$B$C" | wc -c)$D"';
    const { exitCode, output } = await world.runtime.runCommand(id, ["sh", "-c", script], options);
    expect([exitCode, output]).toEqual([0, `${3 * Buffer.byteLength(long)}${odd}\n`]);
  });

  test("do not run where another process has got the number of the program", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const [pid = "", startTicks = ""] = world.file(id, "program").split(" ");
    const run = (ticks: string): [number, string] => {
      const { command, env } = commandShell({
        argv: ["/bin/echo", "ran"],
        env: [],
        workingDir: "/",
        user: { uid: 2_000_000, gid: 2_000_000, groups: [] },
        oomScoreAdj: 0,
        joins: [],
        program: { pid: Number(pid), startTicks: ticks },
        tools: needTools(findTools()),
      });
      const { exitCode, stdout } = Bun.spawnSync(command, { env });
      return [exitCode, stdout.toString()];
    };
    expect([run(startTicks), run("1")]).toEqual([
      [0, "ran\n"],
      [125, ""],
    ]);
  });

  test("whose output another process keeps leave no open files when they are cancelled", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const before = openFiles();
    for (let run = 0; run < 5; run += 1) {
      const time = mark();
      const stop = new AbortController();
      const command = ["sh", "-c", `setsid sleep ${time} &`];
      const done = world.runtime.runCommand(id, command, { ...options, signal: stop.signal });
      done.catch(() => undefined);
      await until(() => processesWith(`^sleep ${time}`).length > 0);
      // The command itself has ended, and what it left keeps both outputs.
      await until(() => processesWith(`setsid sleep ${time}`).length === 0);
      stop.abort();
      expect(await done.catch((error: Error) => error.name)).toBe("AbortError");
    }
    await until(() => openFiles() <= before);
  });

  test("on a terminal that nobody reads are ended, and what they wrote is not kept", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const time = mark();
    const flood = `stty raw; head -c 100000000 /dev/zero; exec sleep ${time}`;
    await using command = await world.runtime.exec(id, {
      command: ["sh", "-c", flood],
      tty: true,
      stdin: false,
    });
    expect(await command.exitCode()).toBe(137);
    const read = async (): Promise<void> => {
      for await (const { bytes } of command.output) expect(bytes.length).toBeGreaterThan(0);
    };
    expect(await read().catch(String)).toContain("more output than is read");
  });

  test("on a terminal that is read slowly are slowed down where it takes ^S and ^Q", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const size = 400 * 64_000;
    // With steps: of what is written without any, much may come before ^S does.
    const steps = "i=0; while [ $i -lt 400 ]; do head -c 64000 /dev/zero; i=$((i + 1)); done";
    await using command = await world.runtime.exec(id, {
      command: ["sh", "-c", steps],
      tty: true,
      stdin: false,
    });
    let read = 0;
    for await (const { bytes } of command.output) {
      read += bytes.length;
      // A slow link: nothing else can be waited for.
      await Bun.sleep(1);
    }
    expect([read, await command.exitCode()]).toEqual([size, 0]);
  });
});
