import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ContainerRuntime, OutputChunk, ProcessStream } from "#edge/runtime";
import { openCriRuntime } from "#edge/runtime/cri";
import { openDockerRuntime, type DockerRuntimeOptions } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import {
  busyboxImage,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

setDefaultTimeout(30_000);
const owner = `streams-${process.pid}`;
const image = `kubeedge-streams-${process.pid}:1`;
const sh = (script: string): readonly string[] => ["sh", "-c", script];
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

async function collect(output: AsyncIterable<OutputChunk>): Promise<Record<OutputChunk["stream"], string>> {
  const texts = { stdout: "", stderr: "" };
  for await (const { stream, bytes } of output) texts[stream] += Buffer.from(bytes).toString();
  return texts;
}

/** Reads on until the text was written. @returns all that was read */
async function readUntil(chunks: AsyncIterator<OutputChunk>, text: string): Promise<string> {
  let read = "";
  while (!read.includes(text)) {
    const { value, done } = await chunks.next();
    if (done === true) throw new Error(`the output ended with ${JSON.stringify(read)}`);
    read += Buffer.from(value.bytes).toString();
  }
  return read;
}

function iterate({ output }: Pick<ProcessStream, "output">): AsyncIterator<OutputChunk> {
  return output[Symbol.asyncIterator]();
}

type Open = (logs?: DockerRuntimeOptions["logs"]) => Promise<ContainerRuntime>;

function streams(open: Open): void {
  test("reads the log of a container that has ended, by stream, tail and time", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const { runtime } = pod;
    const id = await pod.start("log", { command: sh("echo one; echo two; echo bad >&2") });
    const all = await collect(runtime.logs(id, { follow: true }));
    expect(all).toEqual({ stdout: "one\ntwo\n", stderr: "bad\n" });
    const stamped = await collect(runtime.logs(id, { timestamps: true }));
    expect(stamped.stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z one\n\d{4}\S+Z two\n$/);
    const last = await collect(runtime.logs(id, { tailLines: 1 }));
    expect((last.stdout + last.stderr).split("\n").length).toBe(2);
    expect(await collect(runtime.logs(id, { sinceMs: Date.now() + 60_000 }))).toEqual({
      stdout: "",
      stderr: "",
    });
  });

  test("follows the log of a container until it ends", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const { runtime } = pod;
    const id = await pod.start("follow", {
      command: sh("echo ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo later"),
    });
    const chunks = runtime.logs(id, { follow: true })[Symbol.asyncIterator]();
    await readUntil(chunks, "ready\n");
    await runtime.runCommand(id, sh("echo > /tmp/go"), { maxOutputBytes: 100 });
    expect(await readUntil(chunks, "later\n")).toBe("later\n");
    expect((await chunks.next()).done).toBe(true);
  });

  test("stops following when the caller aborts, with the reason of the caller", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("abort", { command: sh("echo ready; sleep 1000") });
    const caller = new AbortController();
    const logs = pod.runtime.logs(id, { follow: true, signal: caller.signal });
    const chunks = logs[Symbol.asyncIterator]();
    await readUntil(chunks, "ready\n");
    const next = chunks.next();
    caller.abort(new Error("enough"));
    await expect(next).rejects.toThrow("enough");
  });

  test("reports the log of an unknown container by code", async () => {
    await using runtime = await open();
    const read = collect(runtime.logs("none", {}));
    expect(await read.catch((error: { code: string }) => error.code)).toBe("container-not-found");
  });

  test("reads the log of a container with a tty", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("tty-log", { tty: true, command: sh("echo out; echo err >&2") });
    const { stdout, stderr } = await collect(pod.runtime.logs(id, { follow: true }));
    expect([stdout.replaceAll("\r", ""), stderr]).toEqual(["out\nerr\n", ""]);
  });

  test("runs a command with its streams and exit code", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("exec");
    const command = sh("echo out; echo err >&2; exit 7");
    await using process = await pod.runtime.exec(id, { command, tty: false, stdin: false });
    expect(await collect(process.output)).toEqual({ stdout: "out\n", stderr: "err\n" });
    expect(await process.exitCode()).toBe(7);
    await expect(process.write(bytesOf("x"))).rejects.toThrow("it has no stdin");
  });

  test("says why a command cannot be run", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("missing");
    const run = async (): Promise<string> => {
      const command = ["/no-such-program"];
      await using process = await pod.runtime.exec(id, { command, tty: false, stdin: false });
      const { stdout, stderr } = await collect(process.output);
      return `${stdout}${stderr} ${await process.exitCode()}`;
    };
    // Docker writes it to the output, engines of the CRI refuse.
    const said = await run().catch((error: Error) => error.message);
    expect(said).toContain("no such file or directory");
    expect(said).not.toContain("is lost");
  });

  test("waits for the exit code of a command that closes its output first", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("silent");
    const command = sh("exec >/dev/null 2>&1; sleep 0.3; exit 3");
    expect(await pod.runtime.runCommand(id, command, { maxOutputBytes: 10 })).toEqual({
      exitCode: 3,
      output: "",
    });
  });

  test("passes on what is written to a command, and the end of it", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("stdin");
    await using process = await pod.runtime.exec(id, { command: ["cat"], tty: false, stdin: true });
    const chunks = iterate(process);
    await process.write(bytesOf("one\n"));
    await readUntil(chunks, "one\n");
    const large = "x".repeat(1 << 20);
    const written = process.write(bytesOf(`${large}\n`)).then(() => process.closeInput());
    expect((await readUntil(chunks, "\n")).length).toBe(large.length + 1);
    await written;
    expect((await chunks.next()).done).toBe(true);
    expect(await process.exitCode()).toBe(0);
  });

  test("resizes the terminal of a command", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("resize");
    // Engines of the CRI do not say when they have done it.
    const command = sh("until stty size | grep '40 100'; do sleep 0.05; done 2>/dev/null");
    await using process = await pod.runtime.exec(id, { command, tty: true, stdin: true });
    await process.resize({ columns: 100, rows: 40 });
    expect(await readUntil(iterate(process), "40 100")).toContain("40 100");
  });

  test("attaches to the main process of a container", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("attach", { command: ["cat"], stdin: true, stdinOnce: true });
    await using process = await pod.runtime.attach(id, { tty: false, stdin: true });
    const chunks = iterate(process);
    await process.write(bytesOf("hello\n"));
    await readUntil(chunks, "hello\n");
    await process.closeInput();
    expect((await chunks.next()).done).toBe(true);
  });

  test("leaves a process when its stream is disposed", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const { runtime } = pod;
    const id = await pod.start("leave", { command: ["cat"], stdin: true });
    const process = await runtime.attach(id, { tty: false, stdin: true });
    await process[Symbol.asyncDispose]();
    expect((await runtime.inspect(id))?.phase).toBe("running");
  });

  test("ends a command's output when the caller aborts", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("late");
    const caller = new AbortController();
    const command = sh("echo ready; sleep 1000");
    const { signal } = caller;
    await using process = await pod.runtime.exec(id, { command, tty: false, stdin: false, signal });
    const chunks = iterate(process);
    await readUntil(chunks, "ready\n");
    const next = chunks.next();
    caller.abort(new Error("too late"));
    await expect(next).rejects.toThrow("too late");
  });
}

describe.skipIf(!hasEngine())("Docker", () => {
  let made: Disposable | undefined;
  const open: Open = (logs) => {
    const address = `unix://${engineSocket}`;
    return openDockerRuntime({ address, owner, clock: systemClock, log: silentLog(), ...(logs && { logs }) });
  };
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => {
    if (!made) return;
    removeContainers(owner);
    made[Symbol.dispose]();
  });
  streams(open);

  test("follows a log over the rotation of its files, of which the last are kept", async () => {
    await using pod = new PodUnderTest(await open({ fileBytes: 16_384, files: 2 }), image);
    const { runtime } = pod;
    // About 75 bytes in Docker's file each: the first 300 lines fill one file and a half.
    const count = (end: number) => `while [ $i -lt ${end} ]; do echo $i; i=$((i+1)); done`;
    const wait = "while [ ! -e /tmp/go ]; do sleep 0.05; done; rm /tmp/go";
    const id = await pod.start("rotate", {
      command: sh(`echo ready; i=0; ${wait}; ${count(300)}; ${wait}; ${count(1000)}`),
    });
    const go = () => runtime.runCommand(id, sh("echo > /tmp/go"), { maxOutputBytes: 100 });
    const chunks = runtime.logs(id, { follow: true })[Symbol.asyncIterator]();
    await readUntil(chunks, "ready\n");
    await go();
    const lines = Array.from({ length: 1000 }, (_, index) => `${index}\n`);
    expect(await readUntil(chunks, "299\n")).toBe(lines.slice(0, 300).join(""));
    await go();
    while ((await chunks.next()).done !== true);
    const { stdout: kept } = await collect(runtime.logs(id, {}));
    expect(lines.join("").endsWith(kept)).toBe(true);
    expect(kept.split("\n").length).toBeLessThan(600);
  });
});

describe.skipIf(!hasContainerd())("containerd", () => {
  let engine: Containerd;
  let dataDir: ReturnType<typeof tempDir>;
  const open: Open = (logs) => {
    const { endpoint: address } = engine;
    const options = { address, owner, dataDir: dataDir.path, clock: systemClock, log: silentLog() };
    return openCriRuntime({ ...options, logs, rotateMs: 100 });
  };
  beforeAll(async () => {
    dataDir = tempDir("cri");
    engine = await Containerd.start();
    await engine.addBusybox(image);
  });
  afterAll(async () => {
    await engine[Symbol.asyncDispose]();
    dataDir[Symbol.dispose]();
  });
  streams(open);

  test("follows a log over the rotation of its files, of which the last are kept", async () => {
    await using pod = new PodUnderTest(await open({ fileBytes: 4096, files: 2 }), image);
    using _rotating = pod.runtime.watch(() => undefined);
    // Five times as much as is kept, in the time of some rotations.
    const write =
      "i=0; while [ $i -lt 600 ]; do echo line $i; i=$((i+1)); [ $((i % 60)) = 0 ] && sleep 1; done";
    const id = await pod.start("rotate", { command: sh(write) });
    const { stdout: followed } = await collect(pod.runtime.logs(id, { follow: true }));
    const lines = Array.from({ length: 600 }, (_, index) => `line ${index}\n`);
    expect(followed).toBe(lines.join(""));
    const { stdout: kept } = await collect(pod.runtime.logs(id, {}));
    expect(lines.join("").endsWith(kept)).toBe(true);
    expect(kept.split("\n").length).toBeLessThan(400);
    const { stdout: last } = await collect(pod.runtime.logs(id, { tailLines: 100 }));
    expect(last).toBe(lines.slice(-100).join(""));
  });

  test("removes the log with its container", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const id = await pod.start("gone", { command: sh("echo gone") });
    await collect(pod.runtime.logs(id, { follow: true }));
    const file = join(dataDir.path, "pods", pod.uid, "logs/gone/0.log");
    const before = existsSync(file);
    await pod.runtime.remove(id);
    expect([before, existsSync(file)]).toEqual([true, false]);
  });
});
