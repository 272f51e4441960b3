import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerSpec, Mount } from "#edge/runtime";
import { hasProcesses } from "#internal/test/support/machine/processes.ts";
import { ProcessWorld } from "./process-world.ts";

setDefaultTimeout(60_000);

/** Only root may write above it, other than in /tmp. */
function rootDir(name: string): Disposable & { readonly path: string } {
  const path = `/opt/kubeedge-test-${process.pid}-${name}`;
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function program(path: string, mode = 0o755): string {
  writeFileSync(path, "#!/bin/sh\necho it runs\n");
  chmodSync(path, mode);
  return path;
}

/** What the runtime says of a container that it does not create; one that it creates is removed. */
async function refusal(world: ProcessWorld, over: Partial<ContainerSpec>): Promise<string> {
  try {
    await world.runtime.remove(await world.runtime.create(await world.pod.spec("refused", over)));
    return "created";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const ofImage = (path: string): Partial<ContainerSpec> => ({ image: `process://${path}`, command: [] });
const mounting = (mount: Partial<Mount>): Partial<ContainerSpec> => ({
  mounts: [{ source: "/usr/share", target: "/data", readOnly: false, ...mount }],
});

describe.skipIf(!hasProcesses())("what pods may not do with programs", () => {
  test("start one that is not allowed, whatever the path looks like", async () => {
    using allowed = rootDir("allowed");
    using other = rootDir("other");
    await using world = new ProcessWorld({ programs: [allowed.path] });
    program(join(other.path, "tool"));
    program(join(allowed.path, "app"));
    symlinkSync(join(other.path, "tool"), join(allowed.path, "leads-out"));
    symlinkSync(join(allowed.path, "app"), join(other.path, "leads-in"));
    symlinkSync(other.path, join(allowed.path, "folder"));
    mkdirSync(`${allowed.path}-beside`);
    program(join(`${allowed.path}-beside`, "app"));
    const found = [];
    for (const path of [
      join(allowed.path, "app"),
      `${allowed.path}/../${other.path.split("/").at(-1)}/tool`,
      join(allowed.path, "leads-out"),
      join(other.path, "leads-in"),
      join(allowed.path, "folder/tool"),
      join(`${allowed.path}-beside`, "app"),
      "/bin/sh",
      "app",
      "./app",
      "",
      `${allowed.path}/app\0`,
      `${allowed.path}/A=1`,
      allowed.path,
    ])
      found.push(await refusal(world, ofImage(path)));
    rmSync(`${allowed.path}-beside`, { recursive: true });
    expect(found[0]).toBe("created");
    expect(found.slice(1).filter((one) => !/program|not found/.test(one))).toEqual([]);
  });

  test("start one that others than root can change, or that changes its user", async () => {
    using allowed = rootDir("loose");
    await using world = new ProcessWorld({ programs: [allowed.path] });
    const loose = program(join(allowed.path, "loose"), 0o777);
    const theirs = program(join(allowed.path, "theirs"));
    chownSync(theirs, 2_000_001, 0);
    const setuid = program(join(allowed.path, "setuid"), 0o4755);
    const plain = program(join(allowed.path, "plain"), 0o644);
    const inFolder = join(allowed.path, "open");
    mkdirSync(inFolder);
    chmodSync(inFolder, 0o777);
    const moved = program(join(inFolder, "app"));
    const found = [];
    for (const path of [loose, theirs, setuid, plain, moved]) found.push(await refusal(world, ofImage(path)));
    expect(found.map((one) => /replaced by others|set-user-ID|not executable/.exec(one)?.[0])).toEqual([
      "replaced by others",
      "replaced by others",
      "set-user-ID",
      "not executable",
      "replaced by others",
    ]);
  });

  test("run a command that is not allowed", async () => {
    using allowed = rootDir("exec");
    await using world = new ProcessWorld({ programs: ["/bin/sleep", "/bin/true", allowed.path] });
    const id = await world.pod.start("c", { command: ["/bin/sleep", "1000"], env: ["PATH=/usr/sbin:/bin"] });
    const run = (command: readonly string[]): Promise<string> =>
      world.runtime.runCommand(id, command, { maxOutputBytes: 100 }).then(
        ({ exitCode }) => `ended with ${exitCode}`,
        (error: Error) => error.message,
      );
    expect(await run(["sleep", "0"])).toBe("ended with 0");
    expect(await run(["sh", "-c", "id"])).toContain("is not among edged.processes.programs");
    expect(await run(["/bin/../bin/sleep", "0"])).toContain("may not contain");
  });

  test("load other code into a program", async () => {
    await using world = new ProcessWorld();
    for (const env of ["LD_PRELOAD=/tmp/x.so", "LD_LIBRARY_PATH=/tmp", "LD_AUDIT=/tmp/x", "GLIBC_TUNABLES=x"])
      expect(await refusal(world, { env: [env] })).toContain(`env ${env.split("=")[0]} is not allowed`);
  });

  test("name users and groups that the node does not allow", async () => {
    await using world = new ProcessWorld({ users: [4711], groups: [4712] });
    const refusalOf = (user: string, supplementalGroups: readonly string[] = []): Promise<string> =>
      refusal(world, { user, supplementalGroups });
    expect(await refusalOf("0")).toContain("runAsUser 0 is not among edged.processes.users");
    expect(await refusalOf("1000")).toContain("runAsUser 1000");
    expect(await refusalOf("root")).toContain("runAsUser root");
    expect(await refusalOf("2000001")).toContain("runAsUser 2000001");
    expect(await refusalOf("4294967295")).toContain("runAsUser 4294967295");
    expect(await refusalOf("4294967296")).toContain("runAsUser 4294967296");
    expect(await refusalOf("4711:0")).toContain("runAsGroup 0");
    expect(await refusalOf("4711", ["6"])).toContain("group 6");
    expect(await refusalOf("4711:4712", ["4712"])).toBe("created");
  });

  test("become root or gain a privilege by a program of the machine", async () => {
    await using world = new ProcessWorld();
    const script =
      "grep -E 'NoNewPrivs|CapEff|CapPrm|CapAmb' /proc/self/status; id -u; su -c id </dev/null 2>&1; mount -t tmpfs x /mnt 2>&1; unshare -r true 2>&1; echo over";
    const id = await world.shell(script);
    const text = await world.log(id);
    expect(text).toContain("NoNewPrivs:\t1");
    for (const name of ["CapEff", "CapPrm", "CapAmb"]) expect(text).toContain(`${name}:\t0000000000000000`);
    expect(text).not.toMatch(/uid=0/);
    expect(text).toContain("over");
  });

  test("see or signal a process of the machine, or its own supervisor", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell(
      `ls /proc | grep -c '^[0-9]'; kill -9 1 2>&1; kill -9 ${process.pid} 2>&1; kill -9 -1 2>&1; cat /proc/1/environ 2>&1; ls /proc/1/root 2>&1; sleep 0.2; echo over`,
    );
    const text = await world.log(id);
    expect(Number(text.split("\n")[0])).toBeLessThan(8);
    expect(text).toMatch(/not permitted|Permission denied/i);
    expect((await world.ended(id)).exitCode).not.toBe(125);
  });

  test("read what edgecore keeps, or what other pods have", async () => {
    await using world = new ProcessWorld();
    const secret = join(world.dir.path, "edgecore.db");
    writeFileSync(secret, "secret of edgecore", { mode: 0o600 });
    chmodSync(world.dir.path, 0o700);
    const volume = join(world.dir.path, "pods", "other", "volumes", "token");
    mkdirSync(volume, { recursive: true });
    writeFileSync(join(volume, "token"), "secret of a pod", { mode: 0o644 });
    const id = await world.shell(
      `cat ${secret} ${volume}/token ${world.dir.path}/processes/*/run /proc/1/root/etc/shadow 2>&1; ls ${world.dir.path} 2>&1; echo over`,
    );
    const text = await world.log(id);
    expect(text).toContain("over");
    expect(text).not.toContain("secret");
    // Past the directory that it may not enter.
    const mount = { source: volume, target: "/data", readOnly: true, hostPath: volume };
    expect(await refusal(world, { mounts: [mount] })).toMatch(/may not enter|can replace/);
  });

  test("mount over programs, the kernel's files, or each other", async () => {
    await using world = new ProcessWorld();
    const targets = [
      "/",
      "/usr",
      "/usr/bin",
      "/bin/x",
      "/proc",
      "/proc/1",
      "/sys/kernel",
      "/data/../bin",
      "/bin/",
    ];
    for (const target of targets)
      expect(await refusal(world, mounting({ target }))).toMatch(
        /cannot be mounted over|would hide programs/,
      );
    const both = ["/data", "/data/inner"].map((target) => ({ source: "/usr/share", target, readOnly: true }));
    expect(await refusal(world, { mounts: both })).toContain("one within the other");
    expect(await refusal(world, mounting({ target: "/etc/kubeedge-none/x" }))).toContain(
      "does not exist on this node",
    );
    expect(await refusal(world, mounting({ target: "/tmp/kubeedge-none" }))).toMatch(
      /can replace|does not exist/,
    );
    expect(await refusal(world, mounting({ target: "/etc/passwd" }))).toContain("is not a directory");
    expect(await refusal(world, mounting({ propagation: "rshared" }))).toContain("mountPropagation");
  });

  test("lead a mount elsewhere by a link that it can make", async () => {
    await using world = new ProcessWorld();
    using place = rootDir("links");
    const open = join(place.path, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    mkdirSync(join(open, "target"));
    expect(await refusal(world, mounting({ target: join(open, "target") }))).toContain(
      `can replace what is in ${open}`,
    );
    const source = { source: join(open, "target"), hostPath: join(open, "target") };
    expect(await refusal(world, mounting(source))).toContain(`can replace what is in ${open}`);
  });

  test("have fields that mean something for containers alone", async () => {
    await using world = new ProcessWorld();
    const fields: [Partial<ContainerSpec>, string][] = [
      [{ privileged: true }, "privileged"],
      [{ capAdd: ["NET_ADMIN"] }, "capabilities.add"],
      [{ readOnlyRoot: true }, "readOnlyRootFilesystem"],
      [{ seccomp: { path: "/x", text: "{}" } }, "seccompProfile"],
      [{ appArmor: "x" }, "appArmorProfile"],
      [{ selinux: ["type:x"] }, "seLinuxOptions"],
      [{ tty: true }, "tty"],
      [{ stdin: true }, "stdin"],
      [
        { devices: [{ hostPath: "/dev/sda", containerPath: "/dev/sda", permissions: "rw" }] },
        "device plugin",
      ],
    ];
    for (const [over, field] of fields) expect(await refusal(world, over)).toContain(field);
    const bare = await world.runtime
      .runSandbox(world.pod.sandboxSpec({ network: { kind: "own", hostname: "x", ports: [] } }))
      .catch((error: Error) => error.message);
    expect(bare).toContain("hostNetwork");
  });

  test("break out of a text into the shell that starts them", async () => {
    await using world = new ProcessWorld();
    const odd = `'; touch ${world.dir.path}/broken; echo '$(touch ${world.dir.path}/broken)\`id\`\n"\\`;
    const id = await world.pod.start("c", {
      command: ["/bin/echo", odd],
      env: [`A=${odd}`],
      workingDir: "/usr",
    });
    expect(await world.log(id)).toBe(`${odd}\n`);
    expect(await Bun.file(join(world.dir.path, "broken")).exists()).toBe(false);
    expect(await refusal(world, { command: ["/bin/echo", "a\0b"] })).toContain("NUL");
  });

  test("forge the end of their log", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell(
      "ls -l /proc/self/fd | wc -l; head -c 100000 /dev/urandom | base64; echo last",
    );
    expect((await world.log(id)).trimEnd().split("\n").at(-1)).toBe("last");
  });

  test("take the user of another pod", async () => {
    await using world = new ProcessWorld({ first: 3_000_000, last: 3_000_002 });
    const owns = [];
    const runtimes = world.runtime;
    for (const uid of ["a", "b", "c"]) {
      const identity = { ...world.pod.identity("POD", "sandbox"), podUid: uid };
      const { id } = await runtimes.runSandbox(world.pod.sandboxSpec({ identity }));
      owns.push(runtimes.userFor(uid));
      if (uid === "c")
        expect(
          await runtimes.runSandbox(world.pod.sandboxSpec()).catch((error: Error) => error.message),
        ).toContain("user-range");
      void id;
    }
    expect(new Set(owns).size).toBe(3);
    for (const { id } of await runtimes.list()) await runtimes.removeSandbox(id);
  });
});
