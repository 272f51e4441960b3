import type { KubeClient } from "#cloud/kube-client";
import { emptyRecord, RecordStore, type NodeRecord } from "#cloud/cloud-hub/node-access";
import {
  formatTable,
  readChoice,
  readNodeName,
  readOutput,
  readText,
  readWhole,
  refuseMore,
  requireOperand,
  untilWords,
  withKube,
} from "#cloud/commands/framework";
import type { Asked, Host, Operation } from "#shared/cli";
import { rfc3339 } from "#shared/clock";
import type { CloudConfig } from "#shared/config";
import type { Node } from "#shared/kube";
import { listNodes, type ListedNode } from "./listing.ts";

/** Characters. The reason is sent to the node in a close frame and shown in one line of `cloudcore node list`. */
const longestReason = 200;

/** `cloudcore node ban|unban|allow-rejoin|list`. */
export const nodeOperation: Operation<CloudConfig> = {
  flags: ["reason", "hours", "output"],
  run: async (asked, config, host) => {
    switch (readChoice(asked, ["list", "ban", "unban", "allow-rejoin"])) {
      case "list":
        return list(asked, config, host);
      case "ban":
        return ban(asked, config, host);
      case "unban":
        return unban(asked, config, host);
      case "allow-rejoin":
        return allowRejoin(asked, config, host);
    }
  },
};

async function ban(asked: Asked, config: CloudConfig, host: Host): Promise<number> {
  refuseMore(asked, { operands: 2, flags: ["reason"] });
  const node = readNode(asked);
  const reason = readText(asked, "reason", longestReason);
  const banned = { at: rfc3339(host.clock.nowMs()), reason };
  let isKnown = false;
  await updateRecord(config, host, node, (record, object) => {
    isKnown = record !== undefined || object !== undefined;
    return { ...(record ?? emptyRecord(node)), banned };
  });
  const unknown = isKnown ? "" : "; no node of that name is known yet";
  host.out(`node "${node}" is banned${unknown} (cloudcore node unban ${node} lifts it)\n`);
  return 0;
}

async function unban(asked: Asked, config: CloudConfig, host: Host): Promise<number> {
  refuseMore(asked, { operands: 2, flags: [] });
  const node = readNode(asked);
  const before = await updateRecord(config, host, node, (record) => {
    if (!record?.banned) return record;
    const { banned: _banned, ...rest } = record;
    return rest;
  });
  host.out(before?.banned ? `node "${node}" is no longer banned\n` : `node "${node}" was not banned\n`);
  return 0;
}

async function allowRejoin(asked: Asked, config: CloudConfig, host: Host): Promise<number> {
  refuseMore(asked, { operands: 2, flags: ["hours"] });
  const node = readNode(asked);
  const hours = readWhole(asked, "hours", 24, [1, 8760]);
  const until = rfc3339(host.clock.nowMs() + hours * 3_600_000);
  let wasDeleted = false;
  const before = await updateRecord(config, host, node, (record = emptyRecord(node), object) => {
    wasDeleted = record.nodeUid !== undefined && !object;
    const rejoin = { until, ...(wasDeleted && { returning: true }) };
    return { ...record, nodeUid: object?.metadata.uid, rejoin };
  });
  const back = wasDeleted ? "it may connect again with the certificate it has, or " : "";
  host.out(
    `node "${node}": ${back}one machine may join under this name until ${until}, with any valid join token; the previous certificate is then refused\n`,
  );
  if (before?.banned) host.err(`node "${node}" is still banned (cloudcore node unban ${node})\n`);
  return 0;
}

/** @returns the record before the update */
async function updateRecord(
  config: CloudConfig,
  host: Host,
  node: string,
  next: (record: NodeRecord | undefined, object: Node | undefined) => NodeRecord | undefined,
): Promise<NodeRecord | undefined> {
  let before: NodeRecord | undefined;
  await withKube(config, host, (kube) =>
    new RecordStore(kube).update(node, (record, object) => {
      before = record;
      return next(record, object);
    }),
  );
  return before;
}

async function list(asked: Asked, config: CloudConfig, host: Host): Promise<number> {
  refuseMore(asked, { operands: 1, flags: ["output"] });
  const output = readOutput(asked);
  const nowMs = host.clock.nowMs();
  const nodes = await withKube(config, host, (kube: KubeClient) => listNodes(kube, nowMs));
  host.out(output === "json" ? `${JSON.stringify(nodes, undefined, 2)}\n` : table(nodes, nowMs));
  return 0;
}

function table(nodes: readonly ListedNode[], nowMs: number): string {
  const heading = ["NAME", "STATE", "LAST SEEN", "CERTIFICATE", "EXPIRES", "ISSUED ON", "NOTE"];
  return formatTable(
    heading,
    nodes.map((node) => [
      node.name,
      node.state,
      untilWords(node.lastSeen, nowMs),
      node.certificate?.serial ?? "-",
      untilWords(node.certificate?.notAfter, nowMs),
      node.certificate?.by ?? "-",
      node.note,
    ]),
  );
}

function readNode(asked: Asked): string {
  return readNodeName("node", requireOperand(asked, "the name of a node"));
}
