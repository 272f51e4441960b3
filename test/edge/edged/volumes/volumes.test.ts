import { expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { chmodSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { Directory, pinReadOnly, pinServedSubPath, pinSubPath } from "#edge/edged/volumes/held-paths";
import { writeFiles as writeVolume } from "#internal/edge/edged/volumes/file-volume.ts";
import { mountPoints, releaseAll, removePodDir } from "#edge/edged/volumes/mounts";
import { prepareHostPath } from "#internal/edge/edged/volumes/plain-volumes.ts";
import { readTerminationLog, makeTerminationLog } from "#internal/edge/edged/volumes/termination-log.ts";
import {
  volumeFiles,
  VolumeError,
  type VolumeFile,
  type VolumeSources,
} from "#internal/edge/edged/volumes/volume-files.ts";
import type { Volume } from "#shared/kube";

const sources: VolumeSources = {
  pod: { metadata: { name: "web", namespace: "default", labels: { app: "x" } }, spec: { containers: [] } },
  objects: new Map([
    ["configmap/page", { metadata: {}, data: { "a.txt": "A", "b.txt": "B" } }],
    ["configmap/evil", { metadata: {}, data: { "../out": "x" } }],
    ["secret/cred", { metadata: {}, data: { user: btoa("me") } }],
  ]),
  facts: { nodeName: "n", hostIp: "", podIps: [], allocatable: {} },
  tokens: new Map([["v/token", "jwt"]]),
};

function files(volume: Omit<Volume, "name">): unknown {
  try {
    return volumeFiles({ ...volume, name: "v" }, sources)?.map((file) => [
      file.path,
      String(file.data),
      file.mode,
    ]);
  } catch (error) {
    return error instanceof VolumeError ? error.message : error;
  }
}

const setUp = 'MountVolume.SetUp failed for volume "v" : ';

test.each<[string, Omit<Volume, "name">, unknown]>([
  [
    "all keys",
    { configMap: { name: "page" } },
    [
      ["a.txt", "A", 0o644],
      ["b.txt", "B", 0o644],
    ],
  ],
  [
    "chosen keys",
    { configMap: { name: "page", items: [{ key: "a.txt", path: "d/x", mode: 0o600 }] } },
    [["d/x", "A", 0o600]],
  ],
  ["a secret", { secret: { secretName: "cred", defaultMode: 0o400 } }, [["user", "me", 0o400]]],
  ["a missing optional", { configMap: { name: "none", optional: true } }, []],
  ["a missing one", { secret: { secretName: "none" } }, `${setUp}secret "none" not found`],
  ["a key that leaves", { configMap: { name: "evil" } }, `${setUp}invalid path "../out"`],
  [
    "a path that leaves",
    { configMap: { name: "page", items: [{ key: "a.txt", path: "d/../../x" }] } },
    `${setUp}invalid path "d/../../x"`,
  ],
  [
    "labels",
    { downwardAPI: { items: [{ path: "l", fieldRef: { fieldPath: "metadata.labels" } }] } },
    [["l", 'app="x"', 0o644]],
  ],
  [
    "several sources",
    {
      projected: {
        sources: [
          { configMap: { name: "page", items: [{ key: "a.txt", path: "a" }] } },
          { serviceAccountToken: { path: "token" } },
        ],
      },
    },
    [
      ["a", "A", 0o644],
      ["token", "jwt", 0o644],
    ],
  ],
])("volumeFiles gives %s", (_name, volume, expected) => {
  expect(files(volume)).toEqual(expected);
});

const file = (path: string, text: string, mode = 0o644): VolumeFile => ({
  path,
  data: Buffer.from(text),
  mode,
});

/** Writes the volume `v` of a pod directory. */
function write(podDir: string, files: readonly VolumeFile[], stamp: string, gid?: number): boolean {
  using root = Directory.open(podDir);
  using volumes = root.ensure("volumes", 0o755);
  using staging = root.ensure("staging", 0o700);
  return writeVolume({ volumes, staging, name: "v" }, { files, stamp, gid });
}

test("volumeFiles refuses a projected source that this node does not know", () => {
  const source = { clusterTrustBundle: { path: "ca.pem", signerName: "example.com/signer" } };
  const volume = { name: "v", projected: { sources: [{}, source] } };
  expect(() => volumeFiles(volume, sources)).toThrow(
    'MountVolume.SetUp failed for volume "v" : its source clusterTrustBundle is not supported on this node',
  );
});

test("writeFiles swaps all files at once and returns whether anything changed", () => {
  using dir = tempDir();
  const volume = join(dir.path, "volumes/v");
  const first = write(dir.path, [file("a", "1", 0o600), file("d/b", "2")], "t1");
  const again = write(dir.path, [file("a", "1", 0o600), file("d/b", "2")], "t2");
  const mode = statSync(join(volume, "a")).mode & 0o777;
  const changed = write(dir.path, [file("a", "9")], "t3");
  expect({ first, again, changed, mode, text: readFileSync(join(volume, "a"), "utf8") }).toEqual({
    first: true,
    again: false,
    changed: true,
    mode: 0o600,
    text: "9",
  });
  expect([readdirSync(volume).sort(), readlinkSync(join(volume, "..data"))]).toEqual([
    ["..data", "..t3", "a"],
    "..t3",
  ]);
  expect(readdirSync(join(dir.path, "staging"))).toEqual([]);
});

test("writeFiles lets the group of fsGroup read, directories and a mode without it included", () => {
  using dir = tempDir();
  write(dir.path, [file("d/a", "1", 0o400)], "t1", 1234);
  const volume = join(dir.path, "volumes/v");
  const seen = ["", "..t1", "..t1/d", "..t1/d/a"].map((path) => {
    const { mode, gid } = statSync(join(volume, path));
    return `${(mode & 0o7777).toString(8)} ${gid}`;
  });
  expect(seen).toEqual(["2755 1234", "2755 1234", "2755 1234", "440 1234"]);
});

test("writeFiles puts right whatever stands in the place of its own names", () => {
  using dir = tempDir();
  const volume = join(dir.path, "volumes/v");
  write(dir.path, [file("a", "1")], "t1");
  mkdirSync(join(dir.path, "other"));
  writeFileSync(join(dir.path, "other/kept"), "");
  for (const [round, spoil] of [
    "rm ..data; mkdir -p ..data/x",
    "rm -f a; mkdir -p a/b",
    "rm ..data; ln -s ../../other ..data",
    "d=$(readlink ..data); rm -r $d; ln -s ../../other $d",
    "rm ..data; mkfifo ..data",
    "rm ..data/a; mkfifo ..data/a",
    "rm ..data; ln -s /etc ..data; mkdir ..data_tmp",
    "ln -s ../../other link; mkdir -p x/y/z",
  ].entries()) {
    const done = Bun.spawnSync(["sh", "-c", spoil], { cwd: volume });
    expect(done.stderr.toString()).toBe("");
    write(dir.path, [file("a", "1")], `new${round}`);
    expect([readdirSync(volume).sort(), readFileSync(join(volume, "a"), "utf8")]).toEqual([
      ["..data", `..new${round}`, "a"],
      "1",
    ]);
  }
  expect([readdirSync(join(dir.path, "other")), readdirSync(join(dir.path, "staging"))]).toEqual([
    ["kept"],
    [],
  ]);
});

test("writeFiles refuses files and directories of one name", () => {
  using dir = tempDir();
  expect(() => write(dir.path, [file("a", "1"), file("a/b", "2")], "t")).toThrow("conflicting paths");
});

function pinned(dir: string, subPath: string): Promise<AsyncDisposable & { path: string }> {
  mkdirSync(join(dir, "pins"), { recursive: true });
  return pinSubPath({ root: join(dir, "v"), subPath, pinsDir: join(dir, "pins"), clock: systemClock });
}

test("pinSubPath refuses a path that leaves the volume, by links too, and makes nothing", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v/in"), { recursive: true });
  symlinkSync(dir.path, join(dir.path, "v/out"));
  symlinkSync("../..", join(dir.path, "v/in/up"));
  symlinkSync("loop", join(dir.path, "v/loop"));
  for (const path of ["out/made", "in/up/made", "../made", "/made", "in/../../made", "loop", "in/up", "a\0b"])
    await expect(pinned(dir.path, path)).rejects.toThrow();
  expect([existsSync(join(dir.path, "made")), readdirSync(join(dir.path, "pins"))]).toEqual([false, []]);
});

test("pinSubPath follows links inside the volume and makes what is missing with the volume's mode", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v/real"), { recursive: true });
  Bun.spawnSync(["chmod", "2770", join(dir.path, "v")]);
  symlinkSync("real/../real", join(dir.path, "v/link"));
  {
    await using _pin = await pinned(dir.path, "link/./new//deep/");
    writeFileSync(join(_pin.path, "f"), "x");
  }
  const made = statSync(join(dir.path, "v/real/new/deep"));
  expect([
    (made.mode & 0o7777).toString(8),
    readFileSync(join(dir.path, "v/real/new/deep/f"), "utf8"),
  ]).toEqual(["2770", "x"]);
  expect(readdirSync(join(dir.path, "pins"))).toEqual([]);
});

test("pinSubPath means the same file and directory after they were swapped", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v/d"), { recursive: true });
  writeFileSync(join(dir.path, "v/d/f"), "mine");
  await using asDir = await pinned(dir.path, "d");
  await using asFile = await pinned(dir.path, "d/f");
  Bun.spawnSync(["sh", "-c", "mv d old; ln -s /etc d; rm old/f; ln -s /etc/passwd old/f; echo > old/new"], {
    cwd: join(dir.path, "v"),
  });
  expect([readdirSync(asDir.path).sort(), readFileSync(asFile.path, "utf8")]).toEqual([["f", "new"], "mine"]);
});

function served(dir: string, subPath: string): Promise<AsyncDisposable & { path: string }> {
  mkdirSync(join(dir, "pins"), { recursive: true });
  const at = { root: join(dir, "v"), pinsDir: join(dir, "pins") };
  return pinServedSubPath({ ...at, subPath, clock: systemClock });
}

test("pinServedSubPath holds a directory or file of a file server, and makes what is missing with the volume's mode", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v/real"), { recursive: true });
  chmodSync(join(dir.path, "v"), 0o2770);
  symlinkSync("real", join(dir.path, "v/link"));
  writeFileSync(join(dir.path, "v/real/file"), "mine");
  {
    await using asDir = await served(dir.path, "link/new/-p deep");
    await using asFile = await served(dir.path, "link/file");
    Bun.spawnSync(["sh", "-c", "mv new old; ln -s /etc new; rm file; ln -s /etc/passwd file"], {
      cwd: join(dir.path, "v/real"),
    });
    writeFileSync(join(asDir.path, "f"), "x");
    expect(readFileSync(asFile.path, "utf8")).toBe("mine");
  }
  const made = statSync(join(dir.path, "v/real/old/-p deep"));
  expect((made.mode & 0o777).toString(8)).toBe("770");
  expect(readFileSync(join(dir.path, "v/real/old/-p deep/f"), "utf8")).toBe("x");
  expect(readdirSync(join(dir.path, "pins"))).toEqual([]);
});

test("pinServedSubPath refuses what leads out of the volume, by links too, and makes nothing", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v"), { recursive: true });
  mkdirSync(join(dir.path, "v2"));
  for (const [name, target] of [
    ["out", "/etc"],
    ["file", "/etc/passwd"],
    ["beside", "../v2"],
    ["loop", "loop"],
  ])
    symlinkSync(target ?? "", join(dir.path, "v", name ?? ""));
  for (const subPath of ["out", "out/made", "file", "beside", "beside/made", "loop", "loop/made"])
    await expect(served(dir.path, subPath)).rejects.toThrow();
  expect([readdirSync(join(dir.path, "v2")), existsSync("/etc/made")]).toEqual([[], false]);
  expect(readdirSync(join(dir.path, "pins"))).toEqual([]);
});

test("pinServedSubPath ends with its pod while a server does not answer, and leaves nothing", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v"), { recursive: true });
  // Opening it waits for a writer, as a server does that is away.
  Bun.spawnSync(["mkfifo", join(dir.path, "v/pipe")]);
  mkdirSync(join(dir.path, "pins"));
  const ended = new AbortController();
  const at = { root: join(dir.path, "v"), pinsDir: join(dir.path, "pins"), clock: systemClock };
  const pin = pinServedSubPath({ ...at, subPath: "pipe", signal: ended.signal });
  ended.abort(new Error("the pod ends"));
  await expect(pin).rejects.toThrow("the pod ends");
  expect(readdirSync(join(dir.path, "pins"))).toEqual([]);
});

test("pinReadOnly gives what is mounted below as read-only, and lets go of it alone", async () => {
  using dir = tempDir();
  const at = (name: string): string => join(dir.path, name);
  for (const name of ["v/sub", "pins"]) mkdirSync(at(name), { recursive: true });
  const mount = (...words: string[]): number => Bun.spawnSync(["mount", ...words]).exitCode;
  expect(mount("-t", "tmpfs", "below", at("v/sub"))).toBe(0);
  try {
    expect(mount("--make-shared", at("v/sub"))).toBe(0);
    writeFileSync(at("v/sub/file"), "from below");
    {
      await using pin = pinReadOnly(at("v"), at("pins"), systemClock);
      expect(readFileSync(join(pin.path, "sub/file"), "utf8")).toBe("from below");
      for (const name of ["sub/new", "new"])
        expect(() => writeFileSync(join(pin.path, name), "")).toThrow("EROFS");
      writeFileSync(at("v/sub/other"), "");
    }
    expect([readdirSync(at("pins")), readdirSync(at("v/sub")).toSorted()]).toEqual([[], ["file", "other"]]);
  } finally {
    Bun.spawnSync(["umount", "-l", at("v/sub")]);
  }
});

test("releaseAll unmounts what a killed edgecore left, and deletes nothing that was mounted", async () => {
  using dir = tempDir();
  mkdirSync(join(dir.path, "v/d"), { recursive: true });
  writeFileSync(join(dir.path, "v/d/kept"), "");
  await pinned(dir.path, "d");
  await pinned(dir.path, "d/kept");
  mkdirSync(join(dir.path, "pins/full/of"), { recursive: true });
  const failed: string[] = [];
  await releaseAll(join(dir.path, "pins"), systemClock, (path) => failed.push(path));
  expect(failed).toEqual([join(dir.path, "pins/full")]);
  expect([readdirSync(join(dir.path, "pins/full")), readdirSync(join(dir.path, "v/d"))]).toEqual([
    ["of"],
    ["kept"],
  ]);
});

test("removePodDir deletes neither what is mounted in a pod's directory nor what its links lead to", async () => {
  using dir = tempDir();
  const at = (name: string): string => join(dir.path, name);
  const point = at("real/uid/volumes/with space");
  mkdirSync(point, { recursive: true });
  mkdirSync(at("kept"));
  writeFileSync(at("kept/file"), "");
  symlinkSync(at("real"), at("alias"));
  symlinkSync(at("kept"), at("real/uid/link"));
  expect(Bun.spawnSync(["mount", "-o", "bind", at("kept"), point]).exitCode).toBe(0);
  expect(await mountPoints()).toContain(realpathSync(point));
  await removePodDir(at("alias/uid"), { clock: systemClock });
  expect([existsSync(at("real/uid")), readdirSync(at("kept"))]).toEqual([false, ["file"]]);
  symlinkSync(at("kept"), at("real/uid"));
  await removePodDir(at("real/uid"), { clock: systemClock });
  expect([existsSync(at("real/uid")), readdirSync(at("kept"))]).toEqual([false, ["file"]]);
});

test("a termination log is read from its end, however large it is, and through no link or pipe", () => {
  using dir = tempDir();
  const path = join(dir.path, "c/0.log");
  makeTerminationLog(path);
  Bun.spawnSync(["truncate", "-s", "40G", path]);
  Bun.spawnSync(["sh", "-c", `echo bye >> ${path}`]);
  expect(readTerminationLog(path)?.replaceAll("\0", "")).toBe("bye");
  makeTerminationLog(path);
  const before = readTerminationLog(path);
  Bun.spawnSync(["sh", "-c", `rm ${path}; ln -s /etc/passwd ${path}; mkfifo ${dir.path}/c/1.log`]);
  expect([before, readTerminationLog(path), readTerminationLog(join(dir.path, "c/1.log"))]).toEqual(
    Array(3).fill(undefined),
  );
});

test("prepareHostPath makes and checks what is asked for", () => {
  using dir = tempDir();
  prepareHostPath("v", join(dir.path, "made"), "DirectoryOrCreate");
  prepareHostPath("v", join(dir.path, "plain"), "");
  prepareHostPath("v", join(dir.path, "file"), "FileOrCreate");
  expect(["made", "plain", "file"].map((name) => statSync(join(dir.path, name)).isDirectory())).toEqual([
    true,
    true,
    false,
  ]);
  expect(() => prepareHostPath("v", join(dir.path, "none"), "File")).toThrow("is not a file");
  for (const path of ["/tmp/../etc", "relative", "/a\0b"])
    expect(() => prepareHostPath("v", path, "")).toThrow("invalid path");
});

test("prepareHostPath makes nothing on the host for processes", () => {
  using dir = tempDir();
  for (const type of ["", "DirectoryOrCreate", "FileOrCreate"])
    expect(() => prepareHostPath("v", join(dir.path, "x.service"), type, false)).toThrow(
      `hostPath.path ${join(dir.path, "x.service")} does not exist`,
    );
  expect(existsSync(join(dir.path, "x.service"))).toBe(false);
  expect(prepareHostPath("v", dir.path, "DirectoryOrCreate", false)).toBe(dir.path);
});
