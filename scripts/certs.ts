import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createAuthority } from "#shared/pki";

/**
 * `bun scripts/certs.ts --out DIR --hosts a,b --node NAME`: a CA, a server certificate for the hosts and a client
 * certificate for the node, for machines that get their certificates as files.
 */
const { values } = parseArgs({
  options: { out: { type: "string" }, hosts: { type: "string" }, node: { type: "string" } },
});
const { out, node } = values;
const hosts = (values.hosts ?? "").split(",").filter((host) => host !== "");
if (out === undefined || node === undefined || hosts.length === 0) {
  process.stderr.write("usage: bun scripts/certs.ts --out DIR --hosts a,b --node NAME\n");
  process.exit(2);
}
const nowMs = Date.now();
const authority = await createAuthority({ commonName: "KubeEdge", days: 36_500, nowMs });
const server = await authority.issue({
  subject: { commonName: "KubeEdge", organizations: ["KubeEdge"] },
  hosts,
  usage: "server",
  days: 3650,
  nowMs,
});
const edge = await authority.issue({
  subject: { commonName: `system:node:${node}`, organizations: ["system:nodes"] },
  usage: "client",
  days: 3650,
  nowMs,
});
mkdirSync(out, { recursive: true });
const pairs = { rootCA: { cert: authority.certPem, key: authority.keyPem }, server, edge };
for (const [name, pair] of Object.entries(pairs)) {
  writeFileSync(join(out, `${name}.key`), pair.key, { mode: 0o600 });
  writeFileSync(join(out, `${name}.crt`), pair.cert);
  process.stdout.write(`${join(out, `${name}.crt`)}\n`);
}
