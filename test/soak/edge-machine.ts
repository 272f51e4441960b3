import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, run, startService, type ServiceProcess } from "#internal/scripts/service.ts";

/**
 * A machine with an engine and edgecore, as far as namespaces can make one: its processes end together when its power is cut,
 * `/run` is empty after a boot and the boot id is new, and what ends is started again as systemd would. Its network is the
 * caller's. Needs root.
 */
export class EdgeMachine implements AsyncDisposable {
  readonly socket: string;
  readonly dataDir: string;
  readonly #folder: string;
  readonly #edge: readonly string[];
  #init: ServiceProcess | undefined;

  /** @param edge the words that start edgecore, with the socket and the data directory below `folder` */
  constructor(folder: string, parts: { readonly edge: readonly string[]; readonly dataDir: string }) {
    this.#folder = folder;
    this.#edge = parts.edge;
    this.dataDir = parts.dataDir;
    this.socket = socketIn(folder);
  }

  /** Starts it; resolves when its engine answers. */
  async boot(): Promise<void> {
    const script = join(this.#folder, "boot.sh");
    mkdirSync(join(this.#folder, "run"), { recursive: true });
    writeFileSync(script, this.#script());
    const words = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "sh", script];
    this.#init = startService("the machine", words, join(this.#folder, "machine.log"));
    await eventually(60_000, () => this.docker("version"));
  }

  /** Ends every process at once, with SIGKILL. */
  async cutPower(): Promise<void> {
    const init = this.#init;
    this.#init = undefined;
    if (!init) return;
    const inside = this.processes().map(({ pid }) => pid);
    void init.failed.catch(() => undefined);
    process.kill(init.pid, "SIGKILL");
    await eventually(20_000, async () => {
      const left = inside.filter((pid) => isAlive(pid));
      if (left.length > 0) throw new Error(`processes ${left.join(", ")} of the machine are left`);
    });
  }

  docker(...words: readonly string[]): Promise<string> {
    return run(["docker", "--host", `unix://${this.socket}`, ...words]);
  }

  /** Kills the processes of a program. @returns how many */
  kill(program: string): number {
    const found = this.processes().filter(({ command }) => command.startsWith(program));
    for (const { pid } of found) process.kill(pid, "SIGKILL");
    return found.length;
  }

  /** Its processes, and for each its command line as far as the first argument that is an option. */
  processes(): readonly { readonly pid: number; readonly command: string }[] {
    const init = this.#init && childOf(this.#init.pid);
    const place = init === undefined ? undefined : linkOf(`/proc/${init}/ns/pid`);
    if (place === undefined) return [];
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && linkOf(`/proc/${name}/ns/pid`) === place)
      .map((name) => ({ pid: Number(name), command: textOf(`/proc/${name}/cmdline`).replaceAll("\0", " ") }));
  }

  /** What is mounted below a directory, seen from inside. */
  mountsBelow(directory: string): string[] {
    const init = this.#init && childOf(this.#init.pid);
    return textOf(`/proc/${init}/mounts`)
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "")
      .filter((path) => path.startsWith(`${directory}/`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cutPower();
  }

  #script(): string {
    const place = join(this.#folder, "run");
    const engine = [
      "dockerd",
      `--host=unix://${this.socket}`,
      `--data-root=${join(this.#folder, "engine")}`,
      `--exec-root=${join(place, "engine")}`,
      `--pidfile=${join(place, "engine.pid")}`,
    ];
    const kept = (name: string, words: readonly string[]): string =>
      `while :; do ${words.map(quote).join(" ")} >>${quote(join(this.#folder, `${name}.log`))} 2>&1; sleep 0.3; done &`;
    return `mount -t tmpfs tmpfs ${quote(place)}
cat /proc/sys/kernel/random/uuid >${quote(join(place, "boot_id"))}
mount --bind ${quote(join(place, "boot_id"))} /proc/sys/kernel/random/boot_id
${kept("dockerd", engine)}
${kept("edgecore", this.#edge)}
wait
`;
  }
}

export function socketIn(folder: string): string {
  return join(folder, "docker.sock");
}

const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

function childOf(pid: number): number | undefined {
  const [first] = textOf(`/proc/${pid}/task/${pid}/children`).split(" ");
  return first ? Number(first) : undefined;
}

function isAlive(pid: number): boolean {
  const state = /^\d+ \(.*\) (\S)/s.exec(textOf(`/proc/${pid}/stat`))?.[1];
  return state !== undefined && state !== "Z" && state !== "X";
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
