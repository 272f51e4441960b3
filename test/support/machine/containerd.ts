import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CriCalls } from "#edge/runtime/cri/api";
import { imageArchive, pauseImageArchive } from "#edge/runtime/pause-image";
import { systemClock } from "#shared/clock";
import { eventually } from "#internal/scripts/service.ts";
import { busyboxRoot } from "#internal/test/support/machine/container-engine.ts";
import { needs } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const pluginDirs = ["/opt/cni/bin", "/usr/lib/cni"];
const pauseName = "kubeedge.local/pause:1";

/** Whether tests with pods in a containerd of their own can run here. */
export function hasContainerd(): boolean {
  return needs({
    containerd: Bun.which("containerd") !== null && Bun.which("ctr") !== null,
    runc: Bun.which("runc", { PATH: `${process.env["PATH"]}:/usr/sbin` }) !== null,
    "the CNI plugins": pluginDir() !== undefined,
    "iproute2 and iptables": ["ip", "iptables"].every((name) => Bun.which(name, { PATH: sbin }) !== null),
    "busybox-static": existsSync("/bin/busybox"),
    root: process.getuid?.() === 0,
  });
}

const sbin = `${process.env["PATH"]}:/usr/sbin:/sbin`;

function pluginDir(): string | undefined {
  return pluginDirs.find((dir) => existsSync(join(dir, "bridge")));
}

export interface ContainerdOptions {
  /** Without one the engine says that its network is not ready. */
  readonly hasNetwork?: boolean;
  /** Whether it has the image of sandboxes. */
  readonly hasPauseImage?: boolean;
}

/** containerd with a directory, a socket and a network of its own; disposing removes all of it. */
export class Containerd implements AsyncDisposable {
  readonly dir: Disposable & { readonly path: string };
  readonly bridge: string;
  #process: Bun.Subprocess | undefined;

  private constructor(dir: Disposable & { readonly path: string }) {
    this.dir = dir;
    this.bridge = `ke${process.pid % 1_000_000}x${instances}`;
  }

  static async start({
    hasNetwork = true,
    hasPauseImage = true,
  }: ContainerdOptions = {}): Promise<Containerd> {
    instances += 1;
    const engine = new Containerd(tempDir("ctd"));
    try {
      engine.#writeFiles(hasNetwork);
      await engine.start();
      if (hasPauseImage) await engine.load(await pauseImageArchive(pauseName, architecture));
      return engine;
    } catch (error) {
      await engine[Symbol.asyncDispose]();
      throw error;
    }
  }

  get socket(): string {
    return join(this.dir.path, "containerd.sock");
  }

  /** The name of the image of sandboxes. */
  readonly pauseImage = pauseName;

  /** As edgecore is configured with it. */
  get endpoint(): string {
    return `unix://${this.socket}`;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it again after `stop`: containers run on meanwhile. */
  async start(): Promise<void> {
    const log = Bun.file(join(this.dir.path, "containerd.log"));
    this.#process = Bun.spawn(
      ["containerd", "--config", join(this.dir.path, "config.toml"), "--log-level", "warn"],
      {
        stdin: "ignore",
        stdout: log,
        stderr: log,
        env: { ...process.env, PATH: sbin },
      },
    );
    await eventually(30_000, async () => this.ctr("version"));
  }

  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    this.#process?.kill(signal);
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** @throws with its error output */
  ctr(...words: readonly string[]): string {
    return run(["ctr", "--address", this.socket, "--namespace", "k8s.io", ...words]);
  }

  /** Makes an image of busybox, with `config` as in the image's specification. */
  async addBusybox(name: string, config: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.load(await imageArchive({ name, architecture, layer: busyboxLayer(), config }));
  }

  /** Imports an archive of images. */
  async load(archive: Uint8Array): Promise<void> {
    const file = join(this.dir.path, "image.tar");
    writeFileSync(file, archive);
    this.ctr("images", "import", "--snapshotter", this.#snapshotter, file);
  }

  /** On a file system that is an overlay itself there is no other. */
  get #snapshotter(): string {
    const isOverlay = run(["stat", "-f", "-c", "%T", this.dir.path]).trim() === "overlayfs";
    return isOverlay ? "native" : "overlayfs";
  }

  #writeFiles(hasNetwork: boolean): void {
    const { path } = this.dir;
    mkdirSync(join(path, "cni"));
    if (hasNetwork) writeFileSync(join(path, "cni/10-test.conflist"), JSON.stringify(this.#network()));
    const cri = `[plugins."io.containerd.grpc.v1.cri"`;
    writeFileSync(
      join(path, "config.toml"),
      `version = 2
root = "${path}/root"
state = "${path}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "${this.socket}"
${cri}]
  sandbox_image = "${pauseName}"
  restrict_oom_score_adj = true
  disable_apparmor = ${!existsSync("/sys/kernel/security/apparmor")}
${cri}.containerd]
  snapshotter = "${this.#snapshotter}"
${cri}.cni]
  bin_dir = "${pluginDir()}"
  conf_dir = "${path}/cni"
`,
    );
  }

  #network(): object {
    const subnet = `10.${200 + (process.pid % 50)}.${(instances * 7 + Math.floor(process.pid / 50)) % 250}.0/24`;
    const ipam = {
      type: "host-local",
      dataDir: join(this.dir.path, "ipam"),
      ranges: [[{ subnet }]],
      routes: [{ dst: "0.0.0.0/0" }],
    };
    return {
      cniVersion: "0.4.0",
      name: this.bridge,
      plugins: [
        { type: "bridge", bridge: this.bridge, isGateway: true, ipMasq: true, ipam },
        { type: "portmap", capabilities: { portMappings: true } },
      ],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process) await this.#removePods();
    await this.stop();
    for (const pid of this.#shims()) process.kill(pid, "SIGKILL");
    for (const target of this.#mounts()) Bun.spawnSync(["umount", "-l", target]);
    Bun.spawnSync(["ip", "link", "delete", this.bridge], { env: { PATH: sbin } });
    this.dir[Symbol.dispose]();
  }

  /** Whatever a failed test left, with its network. */
  async #removePods(): Promise<void> {
    using calls = new CriCalls(this.endpoint, { clock: systemClock, timeoutMs: 30_000 });
    const { items } = await calls.call("list", "ListPodSandbox", {});
    for (const { id: podSandboxId } of items) {
      await calls.call("stop", "StopPodSandbox", { podSandboxId });
      await calls.call("remove", "RemovePodSandbox", { podSandboxId });
    }
  }

  #shims(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && readCommand(name).includes(`-address\0${this.socket}`))
      .map(Number);
  }

  #mounts(): string[] {
    const targets = readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[1] ?? "");
    return targets.filter((target) => target.startsWith(`${this.dir.path}/`)).toReversed();
  }
}

let instances = 0;
const architecture = process.arch === "arm64" ? "arm64" : "amd64";

function busyboxLayer(): Uint8Array {
  using root = busyboxRoot();
  const tar = Bun.spawnSync([
    "tar",
    "-C",
    root.path,
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "-cf",
    "-",
    ".",
  ]);
  return tar.stdout;
}

function readCommand(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    // It has ended.
    return "";
  }
}

function run(words: readonly string[]): string {
  const result = Bun.spawnSync([...words]);
  if (!result.success) throw new Error(`${words.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString();
}
