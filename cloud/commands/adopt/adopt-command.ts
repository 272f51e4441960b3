import { resources, type KubeClient } from "#cloud/kube-client";
import { withKube } from "#cloud/commands/framework";
import type { Asked, Host, Operation } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { ConfigError, quote } from "#shared/errors";
import type { Node } from "#shared/kube";
import { createLogger } from "#shared/log";
import { fetchDatabaseName } from "./database-name.ts";
import { adoptAnnotation, rejectsCloud } from "./rejection.ts";

/** Longer than cloudcore waits for a node, so that its retry is seen too. */
const acknowledgeMs = 15_000;
/** An operator is waiting for it. */
const pollMs = 200;

/** `cloudcore adopt NODE… | --all`: makes nodes accept this cloud that reject it because its database changed. */
export const adoptNodesOperation: Operation<CloudConfig> = {
  switches: ["all"],
  run: (asked, config, host) => withKube(config, host, (kube) => adopt(asked, kube, host)),
};

async function adopt(asked: Asked, kube: KubeClient, host: Host): Promise<number> {
  const log = createLogger({
    level: "warn",
    clock: host.clock,
    write: (line) => host.err(line),
    readable: true,
  });
  const database = await fetchDatabaseName(kube, { clock: host.clock, log });
  if (database === undefined) return 1;
  const nodes = await selectNodes(asked, kube);
  if (nodes.length === 0) host.out("nothing to adopt: every node accepts this cloud\n");
  const outcomes = await Promise.all(nodes.map((node) => adoptNode(node, { kube, database, host })));
  return outcomes.every(Boolean) ? 0 : 1;
}

async function selectNodes(asked: Asked, kube: KubeClient): Promise<Node[]> {
  const all = asked.flags.has("all");
  if (all === asked.operands.length > 0)
    throw new ConfigError(
      "usage",
      "adopt: expected node names, or --all for every node that rejects this cloud",
    );
  const { items } = await kube.list<Node>(resources.nodes);
  if (all) return items.filter(rejectsCloud);
  return asked.operands.map((name) => {
    const node = items.find(({ metadata }) => metadata.name === name);
    if (!node)
      throw new ConfigError(
        "no-node",
        `Cannot adopt ${quote(name)}: there is no such Node; it has to connect first`,
      );
    return node;
  });
}

/** @returns whether the node accepts this cloud */
async function adoptNode(
  node: Node,
  { kube, database, host }: { readonly kube: KubeClient; readonly database: string; readonly host: Host },
): Promise<boolean> {
  const { name = "" } = node.metadata;
  if (!rejectsCloud(node)) {
    host.out(`${name} accepts this cloud already\n`);
    return true;
  }
  const patch = { metadata: { annotations: { [adoptAnnotation]: database } } };
  await kube.patch(resources.nodes, { name }, patch, { type: "merge" });
  const end = host.clock.monotonicMs() + acknowledgeMs;
  while (host.clock.monotonicMs() < end) {
    await host.clock.sleep(pollMs);
    const now = await kube.find<Node>(resources.nodes, { name });
    if (now?.metadata.annotations?.[adoptAnnotation] === undefined) {
      host.out(`${name} accepts this cloud\n`);
      return true;
    }
  }
  host.out(`${name} has not answered yet: it accepts this cloud when it connects\n`);
  return true;
}
