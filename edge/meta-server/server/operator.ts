import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeKept, type OnUnwritten } from "./kept-file.ts";

/** The token of the operator of this node, made at the first start, for its kubeconfig. */
export function ensureOperatorToken(dataDir: string, onUnwritten: OnUnwritten): string {
  const path = join(dataDir, "meta-server/operator-token");
  const kept = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  if (/^[0-9a-f]{64}$/.test(kept)) return kept;
  const token = randomBytes(32).toString("hex");
  writeKept(path, `${token}\n`, onUnwritten);
  return token;
}

const operatorName = "node-operator";

/**
 * Writes `<data-dir>/kubeconfig`, for kubectl on this node; nobody else may read it. A file of that name which is none of
 * edgecore's, as cloudcore's in the same directory, is left alone, and `kubeconfig-node` written. @returns the path
 */
export function writeOperatorKubeconfig(
  dataDir: string,
  { server, caPem, token, node }: Readonly<Record<"server" | "caPem" | "token" | "node", string>>,
  onUnwritten: OnUnwritten,
): string {
  const authority = Buffer.from(caPem).toString("base64");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: node, cluster: { server, "certificate-authority-data": authority } }],
    users: [{ name: operatorName, user: { token } }],
    contexts: [{ name: node, context: { cluster: node, user: operatorName } }],
    "current-context": node,
  };
  const text = `${JSON.stringify(config, undefined, 2)}\n`;
  const usual = join(dataDir, "kubeconfig");
  const isForeign = existsSync(usual) && !readFileSync(usual, "utf8").includes(`"${operatorName}"`);
  const path = isForeign ? join(dataDir, "kubeconfig-node") : usual;
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeKept(path, text, onUnwritten);
  return path;
}
