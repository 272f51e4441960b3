import type { ProcessDeps } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";

/** Starts everything cloudcore is made of. */
export async function startCloudcore(config: CloudConfig, deps: ProcessDeps): Promise<Running> {
  deps.log.info("cloudcore has no modules yet", { dataDir: config.dataDir });
  return running("cloudcore", new AsyncDisposableStack());
}
