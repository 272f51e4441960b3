import { openStore } from "#edge/store";
import type { ProcessDeps } from "#shared/cli";
import type { EdgeConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";

/** Starts everything edgecore is made of. */
export async function startEdgecore(config: EdgeConfig, deps: ProcessDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  stack.use(openStore(config.databasePath));
  deps.log.info("database is open", { path: config.databasePath });
  return running("edgecore", stack.move());
}
