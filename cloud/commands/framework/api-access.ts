import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createKubeClient, isKubeError, type KubeClient, type KubeOptions } from "#cloud/kube-client";
import { lockFile, lockHolder, type Host } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, quote, UnavailableError } from "#shared/errors";
import { recordOf } from "#shared/json";
import { createLogger } from "#shared/log";

/**
 * Runs `work` with a client of the Kubernetes API that cloudcore uses.
 * @throws ConfigError, UnavailableError with the fix when the API cannot be reached or does not allow it
 */
export async function withKube<T>(
  config: CloudConfig,
  host: Host,
  work: (kube: KubeClient) => Promise<T>,
): Promise<T> {
  const { clock } = host;
  const log = createLogger({ level: "error", clock, write: (line) => host.err(line), readable: true });
  await using kube = await createKubeClient(findApi(config), { clock, log });
  try {
    return await work(kube);
  } catch (error) {
    if (!isKubeError(error, 403)) throw error;
    const text = `${error.message} (apply conf/rbac/cloudcore.yaml of this version)`;
    throw new ConfigError("forbidden", text, { cause: error });
  }
}

function findApi({ kube, dataDir }: CloudConfig): KubeOptions {
  if (kube.kubeconfig !== undefined) return { from: "kubeconfig", path: kube.kubeconfig };
  if (kube.master !== undefined) return { from: "master", url: kube.master };
  const path = join(dataDir, "kubeconfig");
  refuseUnreadable(path);
  if (lockHolder(lockFile(dataDir, "cloudcore")) === undefined)
    throw new UnavailableError(
      "not-running",
      `cloudcore is not running at ${quote(dataDir)}: start it, or name the --data-dir or --config it runs with`,
    );
  return { from: "kubeconfig", path };
}

function refuseUnreadable(path: string): void {
  try {
    readFileSync(path);
  } catch (cause) {
    const { code } = recordOf(cause);
    if (code === "EACCES" || code === "EPERM")
      throw new ConfigError("unreadable", `Cannot read ${quote(path)}: permission denied; run as root`, {
        cause,
      });
  }
}
