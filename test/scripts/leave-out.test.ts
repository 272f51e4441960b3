import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { leaveOutUnused } from "#internal/scripts/release/leave-out.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("left-out library throws by name when it is called, not when it is loaded", async () => {
  using dir = tempDir();
  const modules = join(dir.path, "node_modules");
  for (const name of ["dockerode", "@grpc/grpc-js"]) mkdirSync(join(modules, name), { recursive: true });
  writeFileSync(
    join(modules, "@grpc/grpc-js/index.js"),
    `exports.credentials = { createInsecure: () => "of gRPC" };`,
  );
  writeFileSync(
    join(modules, "dockerode/index.js"),
    `const { Client } = require("ssh2");
const rpc = require("@grpc/grpc-js");
const inner = rpc.credentials.createInsecure;
exports.uses = [() => new Client(), () => inner()];`,
  );
  const entry = join(dir.path, "entry.js");
  writeFileSync(
    entry,
    `const { uses } = require("dockerode");
for (const use of uses) {
  try { use(); } catch (error) { console.log(error.message); }
}
console.log(require("@grpc/grpc-js").credentials.createInsecure());`,
  );
  const built = await Bun.build({
    entrypoints: [entry],
    target: "bun",
    outdir: dir.path,
    naming: "out.js",
    plugins: [leaveOutUnused],
  });
  expect(built.success).toBe(true);
  const child = Bun.spawnSync([process.execPath, join(dir.path, "out.js")]);
  expect(child.stdout.toString()).toBe(
    '"ssh2" is not part of this executable\n"@grpc/grpc-js" is not part of this executable\nof gRPC\n',
  );
});
