import { createPrivateKey } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { join } from "node:path";
import { checkEdge } from "#edge/commands/check";
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

function writeFile(files: Files, rest: string, node: string): string {
  const at = (name: string): string => join(files.path, name);
  const lines = [
    `data-dir: ${at("data")}`,
    ...(rest.includes("edged:")
      ? []
      : [`edged: { hostname-override: ${node}, docker-address: "unix:///nonexistent.sock" }`]),
    ...(rest.includes("edgehub:")
      ? []
      : ['edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1" }']),
    ...(rest.includes("devicetwin:") ? [] : ['devicetwin: { query-port: 0, dmi-socket: "" }']),
    "service-bus: { port: 0 }",
    ...(rest.includes("meta-server:") ? [] : ["meta-server: { port: 0 }"]),
    ...(rest.includes("mqtt:") ? [] : ['mqtt: { internal-server: "tcp://127.0.0.1:0" }']),
    rest,
  ].slice(rest.startsWith("apiVersion:") ? -1 : 0);
  writeFileSync(at("edge.yaml"), `${lines.join("\n")}\n`);
  return at("edge.yaml");
}

/** Findings of `check` for node "n" with this in its file; paths are those below `files`. */
export async function checkFile(files: Files, rest: string, node = "n"): Promise<string[]> {
  const file = writeFile(files, rest, node);
  const places = { file, workingDir: files.path, executable: "/nonexistent/bin", hostName: "n" };
  const { config } = loadEdgeConfig(places, {});
  const lines: string[] = [];
  for await (const finding of checkEdge(config, systemClock)) lines.push(formatFinding(finding).trim());
  return lines.map((line) => line.replaceAll(`${files.path}/`, "").replaceAll(/ {2,}/g, " "));
}

export interface Started {
  readonly code: number;
  /** Why it could not start; paths are those below `files`. */
  readonly error: string;
}

/** An edgecore with this in its file. */
export function spawnFile(
  files: Files,
  rest: string,
  more: readonly string[] = [],
): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const main = join(import.meta.dir, "../../../../edge/main.ts");
  const words = [process.execPath, main, "--config", writeFile(files, rest, "n"), ...more];
  return Bun.spawn(words, { stdin: "ignore", stderr: "pipe", stdout: "pipe" });
}

/** The error of an edgecore that cannot start with this in its file. */
export async function startFile(files: Files, rest: string, more: readonly string[] = []): Promise<Started> {
  const child = spawnFile(files, rest, more);
  const [text, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  const logged = text.split("\n").find((line) => line.includes("could not start"));
  const error = logged === undefined ? text.trim() : (JSON.parse(logged) as { readonly error: string }).error;
  return { code, error: error.replaceAll(`${files.path}/`, "") };
}

export async function listen(server: Server): Promise<AsyncDisposable & { readonly port: number }> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    [Symbol.asyncDispose]: () => new Promise((done) => server.close(() => done())),
  };
}
