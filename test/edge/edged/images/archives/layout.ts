import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The image of an archive of `docker save` as an OCI layout with an index of two architectures. */
export function makeLayout(dir: string, saved: Uint8Array, name: string): string {
  const [from, to] = [join(dir, "saved"), join(dir, "layout")];
  for (const folder of [from, join(to, "blobs/sha256")]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(dir, "saved.tar"), saved);
  tarOf("-C", from, "-xf", join(dir, "saved.tar"));
  const [first] = JSON.parse(readFileSync(join(from, "manifest.json"), "utf8")) as [
    { Config: string; Layers: string[] },
  ];
  const blob = (content: Uint8Array | string, mediaType: string): object => {
    const bytes = Buffer.from(content);
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(to, "blobs/sha256", hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const type = "application/vnd.oci.image";
  const manifest = blob(
    JSON.stringify({
      schemaVersion: 2,
      config: blob(readFileSync(join(from, first.Config)), `${type}.config.v1+json`),
      layers: first.Layers.map((path) =>
        blob(Bun.gzipSync(Uint8Array.from(readFileSync(join(from, path)))), `${type}.layer.v1.tar+gzip`),
      ),
    }),
    `${type}.manifest.v1+json`,
  );
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const other = blob(JSON.stringify({ schemaVersion: 2 }), `${type}.manifest.v1+json`);
  const manifests = [
    { ...other, platform: { os: "linux", architecture: "s390x" } },
    { ...manifest, platform: { os: "linux", architecture } },
  ];
  const index = blob(JSON.stringify({ schemaVersion: 2, manifests }), `${type}.index.v1+json`);
  const annotations = { "org.opencontainers.image.ref.name": name };
  writeFileSync(
    join(to, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...index, annotations }] }),
  );
  writeFileSync(join(to, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  const file = join(dir, "layout.tar");
  tarOf("-C", to, "-cf", file, "blobs", "index.json", "oci-layout");
  return file;
}

function tarOf(...words: string[]): void {
  const result = Bun.spawnSync(["tar", ...words]);
  if (!result.success) throw new Error(result.stderr.toString());
}
