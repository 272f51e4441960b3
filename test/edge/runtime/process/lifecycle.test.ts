import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { hasProcesses } from "#internal/test/support/machine/processes.ts";
import { ProcessWorld, processesWith, until } from "./process-world.ts";

setDefaultTimeout(60_000);
const mark = (): string => `31${process.pid}${Math.floor(Math.random() * 1e6)}`;

describe.skipIf(!hasProcesses())("programs as containers", () => {
  test("report their exit code, their output and both their times", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("echo out; echo err >&2; printf unended; exit 7");
    const { exitCode, startedAtMs = 0, finishedAtMs = 0 } = await world.ended(id);
    expect({ exitCode, isAfter: finishedAtMs >= startedAtMs, isToday: startedAtMs > 1e12 }).toEqual({
      exitCode: 7,
      isAfter: true,
      isToday: true,
    });
    const text = await world.log(id);
    for (const line of ["out\n", "err\n", "unended"]) expect(text).toContain(line);
    expect(text).toHaveLength("out\nerr\nunended".length);
    const path = join(world.dir.path, "pods", world.pod.uid, "logs", "c", "0.log");
    expect(readFileSync(path, "utf8")).toMatch(/^\d{4}-\S+Z stdout F out$/m);
  });

  test("tell of their end by a hint", async () => {
    await using world = new ProcessWorld();
    const died = Promise.withResolvers<string>();
    using _watch = world.runtime.watch((hint) => {
      if (hint.kind === "container" && hint.action === "die") died.resolve(hint.id);
    });
    const id = await world.shell("sleep 0.2");
    expect(await died.promise).toBe(id);
  });

  test("run as the user of their pod, with their variables and nothing of edgecore's", async () => {
    await using world = new ProcessWorld();
    process.env["KUBEEDGE_SECRET_OF_EDGECORE"] = "1";
    const env = ['A=it\'s "quoted" $HOME `id`', "a.b-c=dots", "EMPTY=", "LINES=1\n2"];
    const id = await world.shell("id -u; id -G; pwd; env", { env, workingDir: "/usr" });
    // A shell leaves out names that are none of its variables.
    const all = await world.pod.start("env", { command: ["env"], env });
    const text = (await world.log(id)) + (await world.log(all));
    delete process.env["KUBEEDGE_SECRET_OF_EDGECORE"];
    const [uid = "", groups, cwd] = text.split("\n");
    expect(Number(uid)).toBeGreaterThanOrEqual(2_000_000);
    expect([groups, cwd]).toEqual([uid, "/usr"]);
    for (const one of env) expect(text).toContain(`\n${one}\n`);
    expect(text).not.toContain("KUBEEDGE");
  });

  test("end at the signal, and are killed when they ignore it", async () => {
    await using world = new ProcessWorld();
    const polite = await world.shell(
      "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done",
      {},
      "polite",
    );
    await until(async () => (await world.log(polite, {})) !== "");
    await world.runtime.stop(polite, 30);
    expect((await world.ended(polite)).exitCode).toBe(3);
    const plain = await world.pod.start("plain", { command: ["/bin/sleep", "1000"] });
    await world.runtime.stop(plain, 30);
    expect((await world.ended(plain)).exitCode).toBe(143);
    const stubborn = await world.shell("trap '' TERM; echo; while :; do sleep 0.05; done", {}, "stubborn");
    await until(async () => (await world.log(stubborn, {})) !== "");
    await world.runtime.stop(stubborn, 1);
    expect((await world.ended(stubborn)).exitCode).toBe(137);
  });

  test("are killed at once when the grace of a stop is shortened", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("trap '' TERM; echo; while :; do sleep 0.05; done");
    await until(async () => (await world.log(id, {})) !== "");
    const slow = world.runtime.stop(id, 1000);
    await world.runtime.stop(id, 0);
    await slow;
    expect((await world.ended(id)).exitCode).toBe(137);
  });

  test("take their daemons with them, at a stop and when they end by themselves", async () => {
    await using world = new ProcessWorld();
    const [first, second] = [mark(), mark()];
    // Twice forked, in a session of its own, with its outputs closed, deaf to signals.
    const daemon = (time: string): string =>
      `(setsid sh -c "trap '' TERM HUP; sleep ${time} & wait" >/dev/null 2>&1 </dev/null &) ; sleep 0.3;`;
    const stopped = await world.shell(`${daemon(first)} sleep 1000`, {}, "stopped");
    await until(() => processesWith(`sleep ${first}`).length > 0);
    await world.runtime.stop(stopped, 0);
    const ended = await world.shell(`${daemon(second)} exit 4`, {}, "ended");
    expect((await world.ended(ended)).exitCode).toBe(4);
    expect([...processesWith(`sleep ${first}`), ...processesWith(`sleep ${second}`)]).toEqual([]);
  });

  test("are reaped, also as orphans", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell(
      "(sleep 0.1 &) ; (sleep 0.1 &) ; sleep 0.5; ps -e -o stat= | grep -c Z; exec sleep 1000",
    );
    await until(async () => (await world.log(id, {})) !== "");
    expect(await world.log(id, {})).toBe("0\n");
  });

  test("have their log rotated, and read on from what was rotated", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell(
      "i=0; while [ $i -lt 60000 ]; do echo line number $i of a long log; i=$((i+1)); [ $((i % 20000)) = 0 ] && sleep 1.1; done",
    );
    await world.ended(id);
    const lines = (await world.log(id)).trimEnd().split("\n");
    const folder = join(world.dir.path, "pods", world.pod.uid, "logs", "c");
    expect(readdirSync(folder).length).toBeGreaterThan(1);
    expect(readdirSync(folder).length).toBeLessThanOrEqual(3);
    expect(lines.at(-1)).toBe("line number 59999 of a long log");
  });

  test("cannot fill the disk with their log", async () => {
    await using world = new ProcessWorld();
    const id = await world.pod.start("flood", { command: ["/bin/sh", "-c", "exec yes"] });
    const log = join(world.dir.path, "pods", world.pod.uid, "logs", "flood");
    await until(() => existsSync(log) && readdirSync(log).length >= 3);
    const { logBytes = Infinity } = (await world.runtime.diskUsage(id)) ?? {};
    // Three files of 1 MiB, and what a second may add before a name is free again; lines are 2 bytes and their time 35.
    expect(logBytes).toBeLessThan(200e6);
    await world.runtime.stop(id, 0);
    expect((await world.ended(id)).exitCode).toBe(137);
  });

  test("are limited in memory, and say so when that ends them", async () => {
    await using world = new ProcessWorld();
    const script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo survived";
    const id = await world.shell(script, { memoryBytes: 16 * 1024 * 1024 });
    const { oomKilled, exitCode } = await world.ended(id);
    expect({ oomKilled, isKilled: exitCode !== 0 }).toEqual({ oomKilled: true, isKilled: true });
    expect(await world.log(id)).not.toContain("survived");
  });

  test("stop a fork bomb at their limit of processes, and can be stopped then", async () => {
    await using world = new ProcessWorld();
    const time = mark();
    const id = await world.shell(`b() { b | b & }; b; sleep ${time}`, { pidsLimit: 50 });
    await until(async () => ((await world.runtime.usage(id))?.processes ?? 0) >= 45);
    await world.runtime.stop(id, 0);
    await world.ended(id);
    expect(await world.runtime.usage(id)).toBeUndefined();
    await world.runtime.remove(id);
    expect(processesWith(`sleep ${time}`)).toEqual([]);
  });

  test("give commands their user, their variables and their group of processes", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000", { env: ["A=1"] });
    const options = { maxOutputBytes: 4096 };
    const result = await world.runtime.runCommand(
      id,
      ["sh", "-c", 'echo "$A"; id -u; ps -e -o comm= | sort -u'],
      options,
    );
    const [a, uid, ...names] = result.output.trimEnd().split("\n");
    expect([a, Number(uid) >= 2_000_000, names.includes("sleep")]).toEqual(["1", true, true]);
    // No process of the host is seen.
    expect(names.filter((one) => one === "bun" || one === "dockerd")).toEqual([]);
  });

  test("run commands on a terminal with a size", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    await using command = await world.runtime.exec(id, { command: ["sh"], tty: true, stdin: true });
    await command.resize({ columns: 91, rows: 33 });
    await command.write(Buffer.from("stty size; tty; exit 5\n"));
    let text = "";
    for await (const { bytes } of command.output) text += new TextDecoder().decode(bytes);
    expect(text).toContain("33 91");
    expect(await command.exitCode()).toBe(5);
  });

  test("kill a command with what it started when it is cancelled", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const time = mark();
    const stop = new AbortController();
    const options = { maxOutputBytes: 100, signal: stop.signal };
    const run = world.runtime.runCommand(id, ["sh", "-c", `sleep ${time} & sleep ${time}`], options);
    run.catch(() => undefined);
    await until(() => processesWith(`sleep ${time}`).length >= 2);
    stop.abort();
    expect(await run.catch((error: Error) => error.name)).toBe("AbortError");
    await until(() => processesWith(`sleep ${time}`).length === 0);
  });

  test("pass input to a command and its end", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    await using command = await world.runtime.exec(id, { command: ["cat"], tty: false, stdin: true });
    await command.write(Buffer.from("hello"));
    await command.closeInput();
    let text = "";
    for await (const { bytes } of command.output) text += new TextDecoder().decode(bytes);
    expect([text, await command.exitCode()]).toEqual(["hello", 0]);
  });

  test("see their volumes at the paths of the pod, and the host sees nothing of it", async () => {
    await using world = new ProcessWorld();
    const volume = join(world.dir.path, "volume");
    mkdirSync(volume, { mode: 0o777 });
    await Bun.write(join(volume, "file"), "of the volume\n");
    const point = `/kubeedge-test-${process.pid}`;
    const mounts = [
      { source: volume, target: `${point}/data`, readOnly: true },
      { source: join(volume, "file"), target: "/dev/termination-log", readOnly: false },
      { source: volume, target: `/run/secrets${point}/token`, readOnly: false },
    ];
    const script = `cat ${point}/data/file /dev/termination-log /run/secrets${point}/token/file; touch ${point}/data/x || echo read-only`;
    const id = await world.shell(script, { mounts });
    await world.ended(id);
    const text = await world.log(id);
    expect(text.match(/of the volume/g)).toHaveLength(3);
    expect(text).toContain("read-only");
    expect(readdirSync("/").includes(point.slice(1))).toBe(false);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(world.dir.path);
    expect(existsSync(`/run/secrets${point}`)).toBe(false);
  });

  test("leave nothing behind when they are removed", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    await world.runtime.remove(id);
    expect(await world.runtime.inspect(id)).toBeUndefined();
    expect(readdirSync(join(world.dir.path, "processes")).filter((name) => name.includes(id))).toEqual([]);
    expect(processesWith(id)).toEqual([]);
    const { stdout } = Bun.spawnSync(["find", "/sys/fs/cgroup", "-name", id]);
    expect(stdout.toString()).toBe("");
    expect(dirname(world.dir.path)).not.toBe("");
  });
});
