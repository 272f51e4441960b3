import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { compile, hostTarget, programs } from "#internal/scripts/release/compile.ts";
import { billOfMaterials } from "#internal/scripts/release/bill-of-materials.ts";
import { pack, writeSums } from "#internal/scripts/release/package.ts";
import {
  bundledPackages,
  thirdPartyNotices,
  type BundledPackage,
} from "#internal/scripts/release/third-party.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);
const root = join(import.meta.dir, "../..");
let dir: ReturnType<typeof tempDir>;

const packagesOf = new Map<string, readonly BundledPackage[]>();

beforeAll(async () => {
  dir = tempDir("executables");
  for (const program of programs) {
    const { packages } = await compile({ root, program, target: hostTarget(), folder: dir.path });
    packagesOf.set(program, packages);
  }
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
  const archive = await pack({
    root,
    program: "edgecore",
    version: "1.2.3",
    target: "linux-arm64",
    file,
    notices: "licenses\n",
    dist: work.path,
  });
  await writeSums(work.path, [archive]);
  const list = Bun.spawnSync(["tar", "tf", archive]).stdout.toString().trim().split("\n");
  expect(list.filter((name) => !name.endsWith("/"))).toEqual([
    "edgecore-1.2.3-linux-arm64/LICENSE",
    "edgecore-1.2.3-linux-arm64/THIRD_PARTY_NOTICES",
    "edgecore-1.2.3-linux-arm64/conf/edge.yaml",
    "edgecore-1.2.3-linux-arm64/edgecore",
    "edgecore-1.2.3-linux-arm64/edgecore.service",
  ]);
  const checked = Bun.spawnSync(["sha256sum", "-c", "SHA256SUMS"], { cwd: work.path });
  expect(checked.stdout.toString()).toBe("edgecore-1.2.3-linux-arm64.tar.xz: OK\n");
});

test.each([
  ["cloudcore", ["@kubernetes/client-node", "hono", "zod"], "dockerode"],
  ["edgecore", ["dockerode", "mqtt", "mqtt-packet"], "@kubernetes/client-node"],
])("%s has notices with the license of everything inside and of the runtime", (program, inside, outside) => {
  const packages = packagesOf.get(program) ?? [];
  const names = packages.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining([...inside]));
  for (const left of [outside, "ssh2", "@grpc/proto-loader"]) expect(names).not.toContain(left);
  const notices = thirdPartyNotices(root, packages);
  for (const { name, version, license, texts } of packages) {
    expect(notices).toContain(`${name} ${version} (${license})`);
    for (const text of texts) expect(notices).toContain(text);
  }
  expect(notices).toContain(`Bun ${Bun.version}`);
  expect(notices).toContain("GNU LIBRARY GENERAL PUBLIC LICENSE");
});

test.each(programs)(
  "%s has a valid CycloneDX bill of materials that is the same each time",
  async (program) => {
    const packages = packagesOf.get(program) ?? [];
    const release = { program, version: "1.2.3", packages };
    const text = billOfMaterials(release);
    expect(await new Validation.JsonStrictValidator(Spec.Version.v1dot6).validate(text)).toBeNull();
    expect(billOfMaterials(release)).toBe(text);
    const { components } = JSON.parse(text) as { components: { purl: string }[] };
    expect(components.map(({ purl }) => purl).sort()).toEqual(
      [{ name: "bun", version: Bun.version }, ...packages]
        .map(({ name, version }) => `pkg:npm/${name.replace("@", "%40")}@${version}`)
        .sort(),
    );
  },
);

test.each([
  [{ name: "x", version: "1.0.0" }, 'Cannot ship "x" 1.0.0: its package.json names no license'],
  [
    { name: "x", version: "1.0.0", license: "BUSL-1.1" },
    'Cannot ship "x" 1.0.0: it has no license file, and the text of BUSL-1.1 is not known here',
  ],
])("package without a recognized license is refused: %j", (manifest, text) => {
  using work = tempDir("licenses");
  const folder = join(work.path, "node_modules/x");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  expect(() => bundledPackages(work.path, ["node_modules/x/index.js"])).toThrow(text);
});
