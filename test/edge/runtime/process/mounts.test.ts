import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { ContainerSpec, Mount } from "#edge/runtime";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { hasProcesses, processRuntime, removeCgroups } from "#internal/test/support/machine/processes.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { ProcessWorld, until } from "./process-world.ts";

setDefaultTimeout(60_000);

const mountOf = (mount: Partial<Mount>): Mount => ({
  source: "/usr/share",
  target: "/data",
  readOnly: false,
  ...mount,
});

/** What the runtime says of a container that it does not create; one that it creates is removed. */
async function refusal(world: ProcessWorld, over: Partial<ContainerSpec>): Promise<string> {
  try {
    await world.runtime.remove(await world.runtime.create(await world.pod.spec("refused", over)));
    return "created";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const refusalOf = (world: ProcessWorld, mount: Partial<Mount>): Promise<string> =>
  refusal(world, { mounts: [mountOf(mount)] });

function run(...words: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(words);
  if (exitCode !== 0) throw new Error(`${words.join(" ")}: ${stderr.toString()}`);
}

/** A volume that every user may read and write. */
function volumeOf(world: ProcessWorld): string {
  const path = join(world.dir.path, "volume");
  mkdirSync(path);
  chmodSync(path, 0o777);
  return path;
}

/** A file system whose server never answers. */
class HungMount implements Disposable {
  readonly #point: string;
  readonly #device = openSync("/dev/fuse", "r+");
  /** Ends a look into it that would hold this process up for ever. */
  readonly #guard: Bun.Subprocess;

  constructor(point: string) {
    this.#point = point;
    mkdirSync(point, { recursive: true });
    const options = "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other";
    const words = ["mount", "-i", "--no-canonicalize", "-t", "fuse.hung", "-o", options, "hung", point];
    const { exitCode, stderr } = Bun.spawnSync(words, { stdio: ["ignore", "ignore", "pipe", this.#device] });
    if (exitCode !== 0) throw new Error(stderr?.toString());
    this.#guard = Bun.spawn(["sh", "-c", `sleep 5; exec umount -f ${point}`], { stderr: "ignore" });
  }

  [Symbol.dispose](): void {
    this.#guard.kill();
    closeSync(this.#device);
    Bun.spawnSync(["umount", "-l", this.#point]);
  }
}

describe.skipIf(!hasProcesses())("mounts of programs", () => {
  test("are not what root found below a hostPath", async () => {
    await using world = new ProcessWorld();
    const volume = volumeOf(world);
    writeFileSync(join(volume, "token"), "secret");
    for (const hostPath of ["/", "/usr"])
      expect(await refusalOf(world, { source: volume, hostPath })).toContain(
        `hostPath ${hostPath}: subPath and recursiveReadOnly are not supported for processes`,
      );
    expect(await refusalOf(world, { source: "/usr/share", hostPath: "/usr/share" })).toBe("created");
  });

  test("hold no devices, also not in what is mounted below", async () => {
    await using world = new ProcessWorld();
    const volume = volumeOf(world);
    const below = join(volume, "be low");
    mkdirSync(below);
    run("mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", below);
    using _below = { [Symbol.dispose]: () => run("umount", "-l", below) };
    for (const dir of [volume, below]) run("mknod", "-m", "666", join(dir, "zero"), "c", "1", "5");
    const script =
      "for one in /data/zero '/data/be low/zero' /ro/zero; do head -c 1 \"$one\" >/dev/null 2>&1 && echo read; done; touch /data/x && echo wrote; touch /ro/x 2>/dev/null || echo read-only; echo x >/dev-null && echo device";
    const mounts = [
      mountOf({ source: volume }),
      mountOf({ source: volume, target: "/ro", readOnly: true }),
      mountOf({ source: "/dev/null", target: "/dev-null", hostPath: "/dev/null" }),
    ];
    const id = await world.shell(script, { mounts });
    expect(await world.log(id)).toBe("wrote\nread-only\ndevice\n");
  });

  test("are not run, and keep that when they are read-only", async () => {
    await using world = new ProcessWorld();
    const volume = volumeOf(world);
    copyFileSync("/bin/true", join(volume, "own"));
    chmodSync(join(volume, "own"), 0o755);
    const mounts = [mountOf({ source: volume }), mountOf({ source: volume, target: "/ro", readOnly: true })];
    // As recursiveReadOnly leaves it.
    const below = join(volume, "below");
    mkdirSync(below);
    run("mount", "-t", "tmpfs", "-o", "ro,mode=777", "tmpfs", below);
    using _below = { [Symbol.dispose]: () => run("umount", "-l", below) };
    const script =
      "touch /data/below/x 2>/dev/null || echo kept; /data/own 2>/dev/null; echo $?; /ro/own 2>/dev/null; echo $?; grep -E ' /(data|ro) ' /proc/self/mountinfo";
    const id = await world.shell(script, { mounts });
    const [kept, first, second, ...lines] = (await world.log(id)).trimEnd().split("\n");
    expect([kept, first, second]).toEqual(["kept", "126", "126"]);
    expect(lines).toHaveLength(2);
    for (const line of lines)
      expect(line.split(" ")[5]?.split(",")).toEqual(expect.arrayContaining(["nosuid", "nodev", "noexec"]));
    expect(lines[1]?.split(" ")[5]).toStartWith("ro,");
  });

  test("do not take the place of tools, the loader or libraries of the machine", async () => {
    await using world = new ProcessWorld({ programs: ["/bin/sleep"] });
    const file = join(world.dir.path, "file");
    writeFileSync(file, "");
    const loader = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].filter(existsSync);
    const files = ["/usr/bin/env", "/bin/env", ...loader, "/etc/ld.so.cache", "/etc/ld.so.preload"];
    const folders = [
      "/usr/lib",
      "/usr/local/lib",
      "/usr/share",
      "/lib",
      "/sbin",
      "/etc",
      "/etc/alternatives",
    ];
    const found = [];
    for (const target of files) found.push([target, await refusalOf(world, { source: file, target })]);
    for (const target of folders) found.push([target, await refusalOf(world, { target })]);
    expect(
      found.filter(([, why = ""]) => !why.includes("would hide programs or libraries of this machine")),
    ).toEqual([]);
    expect(await refusalOf(world, { source: file, target: "/etc/hosts" })).toBe("created");
  });

  test("leave nothing on the host", async () => {
    await using world = new ProcessWorld();
    const file = join(world.dir.path, "file");
    writeFileSync(file, "own log");
    chmodSync(file, 0o644);
    const name = `kubeedge-test-${process.pid}`;
    const refused = [
      `/run/${name}`,
      `/run/systemd/${name}`,
      `/dev/${name}`,
      `/dev/shm/${name}`,
      `/etc/${name}`,
    ];
    for (const target of refused) {
      expect(await refusalOf(world, { source: file, target })).toMatch(
        /does not exist on this node|can replace what is in/,
      );
      expect([target, existsSync(target)]).toEqual([target, false]);
    }
    const secrets = `/var/run/secrets/${name}/token`;
    const mounts = [
      mountOf({ source: "/usr/share", target: secrets }),
      mountOf({ source: file, target: `/run/secrets/${name}/file` }),
      mountOf({ source: file, target: "/dev/termination-log" }),
      mountOf({ source: file, target: `/${name}/log` }),
    ];
    const script = `ls ${secrets} | wc -l; cat /run/secrets/${name}/file /dev/termination-log /${name}/log`;
    const id = await world.shell(script, { mounts });
    const [entries, text] = (await world.log(id)).split("\n");
    expect([Number(entries) > 0, text]).toEqual([true, "own log".repeat(3)]);
    for (const path of [`/run/secrets/${name}`, `/${name}`]) expect(existsSync(path)).toBe(false);
    expect(readFileSync("/dev/termination-log", "utf8")).toBe("");
  });

  test("do not wait for a file server that does not answer", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    const point = join(world.dir.path, "hung");
    using _hung = new HungMount(point);
    const link = join(world.dir.path, "link");
    symlinkSync(join(point, "x"), link);
    const found: string[] = [];
    for (const path of [join(point, "x/sh"), join(link, "sh"), link]) {
      const command = world.runtime.runCommand(id, [path], { maxOutputBytes: 100 });
      found.push(
        await command.then(
          () => "it ran",
          (error: Error) => error.message,
        ),
      );
    }
    found.push(await refusalOf(world, { target: join(point, "x") }));
    found.push(await refusalOf(world, { source: join(point, "x"), hostPath: join(point, "x") }));
    expect(found.filter((one) => !one.includes(`is on a file server, see ${point}`))).toEqual([]);
    // What the pod's user may not enter is not looked at either, and neither is a directory of the list.
    expect(await refusalOf(world, { source: point, hostPath: point })).toContain(
      "can replace what is in /tmp",
    );
    await using listed = new ProcessWorld({ programs: [join(point, "bin"), "/bin/sh"] });
    expect(await refusal(listed, { command: ["/bin/sh"] })).toBe("created");
    // A volume: it is mounted as the directory that it is.
    expect(await refusalOf(world, { source: point, target: "/new" })).toBe("created");
  });

  test("of other pods are released where the data directory is a link", async () => {
    using dir = tempDir("process-link");
    const real = join(dir.path, "real");
    const other = join(real, "pods", "other");
    mkdirSync(other, { recursive: true });
    run("mount", "-t", "tmpfs", "tmpfs", other);
    using _other = { [Symbol.dispose]: () => run("umount", "-l", other) };
    symlinkSync(real, join(dir.path, "link"));
    const owner = `test-${process.pid}-link`;
    const runtime = processRuntime(join(dir.path, "link"), { owner });
    await using pod = new PodUnderTest(runtime, "process:///bin/sh", { kind: "host" });
    const id = await pod.start("c", { command: ["/bin/sh", "-c", "exec sleep 1000"] });
    const program = join(real, "processes", id, "program");
    await until(() => existsSync(program));
    const [pid] = readFileSync(program, "utf8").split(" ");
    expect(readFileSync(`/proc/${pid}/mountinfo`, "utf8")).not.toContain(`${other} `);
    await runtime.remove(id);
    removeCgroups(owner);
  });
});
