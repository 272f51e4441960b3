import { resources, type KubeClient } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import type { Node } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { CloudCatalog } from "#shared/topics";
import { RecordKeeper } from "./record-keeper.ts";
import { Records, type ObjectSync } from "./records.ts";
import { Sweep } from "./sweep.ts";
import { SyncWriter } from "./sync-writer.ts";

export type SyncControllerPort = Port<
  CloudCatalog,
  "node.resync",
  never,
  "object.acked" | "node.connected" | "node.disconnected",
  "object.sending" | "object.delivered"
>;

export interface SyncControllerParts {
  readonly port: SyncControllerPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Records, across restarts, which version of which object every node has acknowledged: as ObjectSync in the object's
 * namespace, or ClusterObjectSync, like KubeEdge's synccontroller. An object is on record before it is sent, versions are
 * written behind. Has connected nodes compared about once a minute.
 */
export async function startSyncController(parts: SyncControllerParts): Promise<Running> {
  const { port, kube, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const nodes = stack.use(kube.informer<Node>(resources.nodes));
  const syncs = stack.use(kube.informer<ObjectSync>(resources.objectSyncs));
  const clusterSyncs = stack.use(kube.informer<ObjectSync>(resources.clusterObjectSyncs));
  const records = new Records();
  const writer = stack.use(new SyncWriter({ kube, records, clock, log }));
  const keeper = new RecordKeeper({ records, writer, nodes, clock, log });
  await Promise.all([nodes.synced, syncs.synced, clusterSyncs.synced]);
  stack.use(syncs.watch(keeper.handler()));
  stack.use(clusterSyncs.watch(keeper.handler()));
  for (const node of records.nodes()) if (!nodes.get(node)) keeper.forgetNode(node);
  stack.use(nodes.watch({ removed: ({ metadata }) => keeper.forgetNode(metadata.name ?? "") }));
  const sweep = stack.use(new Sweep(clock, (node) => port.emit("node.resync", { node })));
  stack.use(
    port.on("node.connected", ({ node, database }) => {
      keeper.connected(node, database);
      sweep.add(node);
    }),
  );
  stack.use(port.on("node.disconnected", ({ node }) => sweep.remove(node)));
  stack.use(port.on("object.acked", (acked) => keeper.acked(acked)));
  stack.use(port.answer("object.sending", ({ node, object }) => keeper.sending(node, object)));
  stack.use(port.answer("object.delivered", async ({ node }) => keeper.delivered(node)));
  log.info("sync controller started", { nodes: records.nodes().length });
  return running("synccontroller", stack.move());
}
