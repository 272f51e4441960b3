import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { checkFile } from "./files.ts";

const secret = "s3cret-Word";
const config = JSON.stringify({ auths: { "reg.example": { username: "edge", password: secret } } });

test.each([
  ["images", "private.json", ["ok edged.image-dir images", "ok edged.registry-auth-file private.json"]],
  ["none", "none.json", ["edged.image-dir none: ENOENT", "edged.registry-auth-file none.json: ENOENT"]],
  ["private.json", "open.json", ["private.json is no directory", "open.json can be read by other users"]],
  ["images", "text.json", ["ok edged.image-dir images", "text.json is no docker config"]],
])("check looks at the directory %p and the credentials %p", async (dir, file, expected) => {
  using files = tempDir("check-images");
  mkdirSync(join(files.path, "images"));
  writeFileSync(join(files.path, "private.json"), config, { mode: 0o600 });
  writeFileSync(join(files.path, "open.json"), config, { mode: 0o644 });
  writeFileSync(join(files.path, "text.json"), `password: ${secret}`, { mode: 0o600 });
  const at = (name: string): string => JSON.stringify(join(files.path, name));
  const edged = `{ hostname-override: n, docker-address: "unix:///nonexistent.sock", image-dir: ${at(dir)}, registry-auth-file: ${at(file)} }`;
  const lines = await checkFile(files, `edged: ${edged}`);
  const found = lines.filter((line) => /image-dir|registry-auth-file/.test(line));
  expect(found).toEqual(expected.map((text) => expect.stringContaining(text)));
  expect(lines.join("\n")).not.toContain(secret);
});
