import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compile, hostTarget, programs } from "#internal/scripts/compile.ts";
import { pack, writeSums } from "#internal/scripts/package.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);
const root = join(import.meta.dir, "../..");
let dir: ReturnType<typeof tempDir>;

beforeAll(async () => {
  dir = tempDir("executables");
  for (const program of programs) await compile({ root, program, target: hostTarget(), folder: dir.path });
  writeFileSync(join(dir.path, ".env"), "BUN_JSC_nonsense=1\nHOME=/nonexistent\n");
  writeFileSync(join(dir.path, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
});
afterAll(() => dir[Symbol.dispose]());

function run(program: string, ...words: string[]): { code: number; out: string; err: string } {
  const child = Bun.spawnSync([join(dir.path, program), ...words], { cwd: dir.path, env: {} });
  return { code: child.exitCode, out: child.stdout.toString(), err: child.stderr.toString() };
}

test.each(programs)("%s runs alone and ignores .env and bunfig.toml of the working directory", (program) => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const { code, out, err } = run(program, "--version");
  expect([code, err]).toEqual([0, ""]);
  expect(out).toMatch(
    new RegExp(`^${program} ${version} \\(commit [0-9a-f]{12}(-changed)?, bun ${Bun.version}\\)\\n$`),
  );
});

test.each([
  ["cloudcore", "controller.yaml"],
  ["edgecore", "edge.yaml"],
])("%s prints the shipped %s when asked for its defaults", (program, file) => {
  expect(run(program, "--defaultconfig").out).toBe(readFileSync(join(root, "conf", file), "utf8"));
});

test("edgecore refuses a bad file it finds beside itself", () => {
  writeFileSync(join(dir.path, "edge.yaml"), "mqtt: { mode: internal }\n");
  expect(run("edgecore")).toEqual({
    code: 2,
    out: "",
    err: 'edgecore: Cannot load "edge.yaml": mqtt.mode: expected 0, 1 or 2, got "internal"\n',
  });
});

test("archive holds executable, config, unit and license, and its sum can be checked", async () => {
  using work = tempDir("pack");
  const file = join(work.path, "edgecore");
  writeFileSync(file, "program", { mode: 0o755 });
  const archive = await pack({ root, program: "edgecore", target: "linux-arm64", file, dist: work.path });
  await writeSums(work.path, [archive]);
  const list = Bun.spawnSync(["tar", "tf", archive]).stdout.toString().trim().split("\n");
  expect(list.filter((name) => !name.endsWith("/"))).toEqual([
    "edgecore-linux-arm64/LICENSE",
    "edgecore-linux-arm64/conf/edge.yaml",
    "edgecore-linux-arm64/edgecore",
    "edgecore-linux-arm64/edgecore.service",
  ]);
  const checked = Bun.spawnSync(["sha256sum", "-c", "SHA256SUMS"], { cwd: work.path });
  expect(checked.stdout.toString()).toBe("edgecore-linux-arm64.tar.xz: OK\n");
});
