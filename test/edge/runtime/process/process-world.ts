import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerDetails, ContainerSpec, LogOptions, PodProcesses } from "#edge/runtime";
import type { ProcessesConfig } from "#edge/runtime/process";
import { processRuntime, removeCgroups } from "#internal/test/support/machine/processes.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

let worlds = 0;

/** A data directory with one pod, and the runtime that an edgecore would have: it can end, and another follows. */
export class ProcessWorld implements AsyncDisposable {
  readonly dir = tempDir("process");
  readonly owner = `test-${process.pid}-${(worlds += 1)}`;
  readonly #config: Partial<ProcessesConfig>;
  pod: PodUnderTest;

  constructor(config: Partial<ProcessesConfig> = {}) {
    this.#config = config;
    this.pod = this.#open();
  }

  get runtime(): PodProcesses {
    // PodUnderTest keeps what it was given.
    return this.pod.runtime as PodProcesses;
  }

  /** Another edgecore for the same data directory; the pod is the same. */
  async reopen(between: () => void | Promise<void> = () => undefined): Promise<void> {
    const { uid } = this.pod;
    await this.pod.runtime[Symbol.asyncDispose]();
    await between();
    this.pod = this.#open(uid);
  }

  /** Runs `sh -c` as a container. */
  async shell(script: string, over: Partial<ContainerSpec> = {}, name = "c"): Promise<string> {
    return this.pod.start(name, { command: ["/bin/sh", "-c", script], ...over });
  }

  /** The end of a container. */
  async ended(id: string): Promise<ContainerDetails> {
    for (;;) {
      const found = await this.runtime.inspect(id);
      if (found?.phase === "exited") return found;
      await Bun.sleep(5);
    }
  }

  async log(id: string, options: LogOptions = { follow: true }): Promise<string> {
    const decoder = new TextDecoder();
    let text = "";
    for await (const { bytes } of this.runtime.logs(id, options)) text += decoder.decode(bytes);
    return text;
  }

  file(id: string, name: string): string {
    return readFileSync(join(this.dir.path, "processes", id, name), "utf8");
  }

  write(id: string, name: string, text: string): void {
    writeFileSync(join(this.dir.path, "processes", id, name), text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pod[Symbol.asyncDispose]();
    removeCgroups(this.owner);
    this.dir[Symbol.dispose]();
  }

  #open(uid?: string): PodUnderTest {
    const runtime = processRuntime(this.dir.path, { config: this.#config, owner: this.owner });
    const pod = new PodUnderTest(runtime, "process:///bin/sh", { kind: "host" });
    return uid === undefined ? pod : Object.assign(pod, { uid });
  }
}

/** Waits until something is so. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const lastMs = performance.now() + 20_000;
  while (!(await isSo())) {
    if (performance.now() > lastMs) throw new Error("it did not become so");
    await Bun.sleep(10);
  }
}

/** Numbers of the processes of this machine whose command line has a text. */
export function processesWith(text: string): number[] {
  const { stdout } = Bun.spawnSync(["pgrep", "-f", text]);
  return stdout.toString().split("\n").filter(Boolean).map(Number);
}
