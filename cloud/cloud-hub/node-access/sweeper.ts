import { resources, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { AppError, describeError } from "#shared/errors";
import type { ConfigMap, Node } from "#shared/kube";
import type { Logger } from "#shared/log";
import { JoinTokens } from "./join-tokens.ts";
import { readRecord } from "./node-record.ts";
import { RecordStore } from "./record-store.ts";

/** Tokens last for hours: a few expired ones cost nothing meanwhile. */
const everyMs = 3_600_000;
/** So long an operator can still see that a token has expired. */
const keptMs = 3_600_000;
/**
 * So long a record outlives its certificates: without it, it would be forgotten that the Node was deleted. A clock that is a
 * year ahead makes certificates look expired that are not.
 */
const recordKeptMs = 2 * 365 * 86_400_000;

/** Removes join tokens that have expired and records of names that no certificate can use any more. */
export function startSweeper(parts: {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}): Disposable {
  const { clock, log } = parts;
  let busy = false;
  return clock.every(everyMs, () => {
    if (busy) return;
    busy = true;
    void sweep(parts.kube, clock.nowMs())
      .catch((error: unknown) =>
        log.warn("cannot remove expired join tokens", { error: describeError(error) }),
      )
      .finally(() => (busy = false));
  });
}

export async function sweep(kube: KubeClient, nowMs: number): Promise<void> {
  const tokens = new JoinTokens(kube);
  for (const { id, expires } of await tokens.list())
    if (Date.parse(expires) + keptMs < nowMs) await tokens.revoke(id);
  const records = new RecordStore(kube);
  for (const object of await records.list())
    if (await isOver(kube, object, nowMs)) await records.remove(object);
}

async function isOver(kube: KubeClient, object: ConfigMap, nowMs: number): Promise<boolean> {
  try {
    const { node, certificates, seen, banned, rejoin } = readRecord(object);
    const ends = [...certificates.map(({ notAfter }) => notAfter), seen?.notAfter, rejoin?.until];
    if (banned || ends.some((end) => end !== undefined && Date.parse(end) + recordKeptMs > nowMs))
      return false;
    return (await kube.find<Node>(resources.nodes, { name: node })) === undefined;
  } catch (error) {
    if (error instanceof AppError) return false;
    throw error;
  }
}
