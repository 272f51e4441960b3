import { createPrivateKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkEdge } from "#edge/check";
import { formatFinding } from "#shared/cli";
import { systemClock } from "#shared/clock";
import { loadEdgeConfig } from "#shared/config";
import { createAuthority } from "#shared/pki";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export type Files = ReturnType<typeof tempDir>;

/** Certificates and keys as somebody would name them in `edge.yaml`, good and bad. */
export async function makeFiles(): Promise<Files> {
  const dir = tempDir("check");
  const nowMs = Date.now();
  const days = 365;
  const write = (name: string, text: string): void => writeFileSync(join(dir.path, name), text);
  for (const name of ["ca", "other"]) {
    const ca = await createAuthority({ commonName: name, days, nowMs });
    write(`${name}.crt`, ca.certPem);
    write(`${name}.key`, ca.keyPem);
    if (name !== "ca") continue;
    const subject = { commonName: "broker" };
    const hosts = ["127.0.0.1", "localhost"];
    const pair = await ca.issue({ subject, hosts, usage: "both", days, nowMs });
    write("broker.crt", pair.cert);
    write("broker.key", pair.key);
    write("broken.crt", pair.cert.replace(/\n.{40}/, "\nAAAA"));
    const old = await ca.issue({ subject, hosts, usage: "both", days: 1, nowMs: nowMs - 5 * 86_400_000 });
    write("old.crt", old.cert);
    write("old.key", old.key);
  }
  const lock = { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" } as const;
  write(
    "locked.key",
    createPrivateKey(readFileSync(join(dir.path, "broker.key")))
      .export(lock)
      .toString(),
  );
  write("text.pem", "this is no PEM\n");
  return dir;
}

/** What `check` says of a node "n" with nothing but what the rest of its file says; paths are those below `files`. */
export async function checkFile(files: Files, rest: string, node = "n"): Promise<string[]> {
  const at = (name: string): string => join(files.path, name);
  const file = at("edge.yaml");
  writeFileSync(
    file,
    `data-dir: ${at("data")}\nedged: { hostname-override: ${node}, docker-address: "unix:///nonexistent.sock" }\n${
      rest.includes("edgehub:") ? "" : 'edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1" }\n'
    }${rest}\n`,
  );
  const places = { file, workingDir: files.path, executable: "/nonexistent/bin", hostName: "n" };
  const { config } = loadEdgeConfig(places, {});
  const lines: string[] = [];
  for await (const finding of checkEdge(config, systemClock)) lines.push(formatFinding(finding).trim());
  return lines.map((line) => line.replaceAll(`${files.path}/`, "").replaceAll(/ {2,}/g, " "));
}
