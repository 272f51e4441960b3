import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import * as fc from "fast-check";
import { AppError } from "#shared/errors";
import type { Pod, Volume } from "#shared/kube";
import { Directory, pinSubPath } from "#edge/edged/volumes/held-paths";
import { systemClock } from "#shared/clock";
import { readKept, writeFiles } from "#internal/edge/edged/volumes/file-volume.ts";
import { volumeFiles } from "#internal/edge/edged/volumes/volume-files.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";
import { textOf } from "#internal/test/fuzz/json-values.ts";

const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("a", "b", "c", "key.txt", "..data", "..2026", "...", ".hidden") },
  { weight: 2, arbitrary: textOf("a", "/", "..", ".", "\0", "é", "//", "../..", "secret") },
  { weight: 1, arbitrary: fc.constant("n".repeat(300)) },
);
const item = fc.record({ key: name, path: name }, { requiredKeys: ["key", "path"] });

/** What a container may have made of its volume, were it writable: links and files in any place. */
const hostile = fc.tuple(
  fc.constantFrom("a", "b", "..data", "c", "key.txt"),
  fc.constantFrom("link to the outside", "link to a file outside", "file", "directory", "link to itself"),
);
const step = fc.record({
  data: fc.dictionary(name, fc.constantFrom("x", "y", ""), { maxKeys: 4 }),
  items: fc.option(fc.array(item, { maxLength: 3 }), { nil: undefined }),
  before: fc.array(hostile, { maxLength: 3 }),
});

function spoil(volume: string, outside: string, [entry, how]: readonly [string, string]): void {
  const place = join(volume, entry);
  rmSync(place, { recursive: true, force: true });
  if (how === "file") writeFileSync(place, "spoiled");
  else if (how === "directory") mkdirSync(place);
  else
    symlinkSync(
      { "link to the outside": outside, "link to a file outside": join(outside, "secret") }[how] ?? entry,
      place,
    );
}

/** The paths of all there is below a directory; links are not followed. */
function below(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? [path, ...below(path)] : [path];
  });
}

/** All there is below a directory: what it is, its mode and its content. */
function snapshot(directory: string): string {
  const entries = below(directory).map((path) => {
    const found = lstatSync(path);
    const content = found.isFile() ? readFileSync(path, "utf8") : "";
    return `${relative(directory, path)} ${found.ino} ${found.mode} ${content}`;
  });
  return entries.toSorted().join("\n");
}

/** What a refusal looks like; a name that the file system does not take is one too. */
function unlessRefused(work: () => void): void {
  try {
    work();
  } catch (error) {
    const isErrno = error instanceof Error && "syscall" in error;
    if (!isErrno && !(error instanceof AppError)) throw error;
  }
}

fuzz("volumes of files", () =>
  fc.property(fc.array(step, { minLength: 1, maxLength: 4 }), (steps) => {
    using dir = tempDir("fuzz-volume");
    const [outside, volumes, staging] = ["outside", "volumes", "staging"].map((each) =>
      join(dir.path, each),
    ) as [string, string, string];
    for (const each of [outside, volumes, staging]) mkdirSync(each);
    writeFileSync(join(outside, "secret"), "secret");
    mkdirSync(join(outside, "directory"));
    const before = snapshot(outside);
    using volumesDirectory = Directory.open(volumes);
    using stagingDirectory = Directory.open(staging);
    const place = { volumes: volumesDirectory, staging: stagingDirectory, name: "v" };
    for (const [at, { data, items, before: spoiled }] of steps.entries()) {
      if (readdirSync(volumes).includes("v"))
        for (const each of spoiled) spoil(join(volumes, "v"), outside, each);
      const volume: Volume = { name: "v", configMap: { name: "m", ...(items && { items }) } };
      const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "m" }, data };
      const pod: Pod = { metadata: { name: "p" }, spec: { containers: [] } };
      unlessRefused(() => {
        const files =
          volumeFiles(volume, {
            pod,
            objects: new Map([["configmap/m", object]]),
            facts: {} as never,
            tokens: new Map(),
          }) ?? [];
        for (const { path } of files)
          if (relative("/v", resolve("/v", path)).startsWith(".."))
            throw new TypeError(`${path} leaves the volume`);
        writeFiles(place, { files, gid: undefined, stamp: `stamp-${at}` });
        for (const { path, data: wanted } of files)
          if (
            !(readKept(place, path) ?? Buffer.alloc(0)).equals(
              files.findLast((file) => file.path === path)?.data ?? wanted,
            )
          )
            throw new TypeError(`${path} does not hold what was written`);
      });
      if (snapshot(outside) !== before) throw new Error(`changed outside the volume: ${snapshot(outside)}`);
      if (readdirSync(dir.path).length !== 3) throw new Error(`made ${readdirSync(dir.path).join(" ")}`);
    }
  }),
);

const link = fc.tuple(
  fc.constantFrom("a", "a/b", "c", "d"),
  fc.constantFrom("..", ".", "a", "../a", "../..", "/", "/etc", "c", "d", "a/../..", "nothing"),
);

fuzz(
  "sub-paths of volumes",
  () =>
    fc.asyncProperty(
      fc.array(link, { maxLength: 4 }),
      textOf("a", "b", "c", "d", "/", "..", ".", "\0", "secret"),
      async (links, subPath) => {
        using dir = tempDir("fuzz-sub-path");
        const [root, pinsDir] = [join(dir.path, "volume"), join(dir.path, "pins")];
        for (const each of [root, pinsDir, join(root, "a")]) mkdirSync(each);
        writeFileSync(join(dir.path, "secret"), "secret");
        for (const [place, target] of links) {
          // A link made before must not lead this one out of the volume.
          if (lstatSync(dirname(join(root, place)), { throwIfNoEntry: false })?.isDirectory() !== true)
            continue;
          rmSync(join(root, place), { recursive: true, force: true });
          symlinkSync(target, join(root, place));
        }
        try {
          await using pin = await pinSubPath({ root, subPath, pinsDir, clock: systemClock });
          const inside = [root, ...below(root)];
          const { ino } = statSync(pin.path);
          if (!inside.some((each) => lstatSync(each).ino === ino))
            throw new TypeError(`${subPath} leads out of the volume`);
        } catch (error) {
          unlessRefused(() => {
            throw error;
          });
        }
        if (readFileSync(join(dir.path, "secret"), "utf8") !== "secret")
          throw new Error("changed outside the volume");
      },
    ),
  { root: process.getuid?.() === 0 },
);
