import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { finishSwap, stagedFolder, swapFiles } from "#internal/cloud/commands/maintenance/swap.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const names = ["cloudcore.db", "ca/rootCA.crt", "secrets.key"];
const old = [...names, "cloudcore.db-wal"];
const journal = { aside: "before-restore-x", old, fresh: names };

function put(folder: string, files: readonly string[], text: string): void {
  for (const name of files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

function read(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length + 1), readFileSync(path, "utf8")];
    }),
  );
}

const done = {
  ...Object.fromEntries(names.map((name) => [name, "new"])),
  ...Object.fromEntries(old.map((name) => [`before-restore-x/${name}`, "old"])),
};

function prepared(): Disposable & { readonly path: string } {
  const dir = tempDir("kubeedge-swap");
  put(dir.path, old, "old");
  put(join(dir.path, stagedFolder), names, "new");
  return dir;
}

test("restored files take the places of the old ones, which are set aside", () => {
  using dir = prepared();
  swapFiles(dir.path, journal);
  expect(read(dir.path)).toEqual(done);
});

/** The renames that a swap does, in their order. */
const renames = [
  ...old.map((name) => [name, `before-restore-x/${name}`] as const),
  ...names.map((name) => [`${stagedFolder}/${name}`, name] as const),
];

test.each(renames.map((_, at) => at))(
  "restored files are all there after a start when the power failed after %d renames",
  (count) => {
    using dir = prepared();
    writeFileSync(join(dir.path, "restore.journal"), JSON.stringify(journal));
    for (const [from, to] of renames.slice(0, count)) {
      mkdirSync(dirname(join(dir.path, to)), { recursive: true });
      renameSync(join(dir.path, from), join(dir.path, to));
    }
    expect(finishSwap(dir.path)).toBe(true);
    expect(read(dir.path)).toEqual(done);
    expect(finishSwap(dir.path)).toBe(false);
  },
);

test("old files are all there when the power failed before the restore had checked the backup", () => {
  using dir = prepared();
  expect(finishSwap(dir.path)).toBe(false);
  expect(read(dir.path)).toEqual(Object.fromEntries(old.map((name) => [name, "old"])));
  expect(existsSync(join(dir.path, stagedFolder))).toBe(false);
});
