import { KubeError } from "#cloud/kube-client";
import type { KubeObject } from "#shared/kube";
import type { NodeWarnings } from "./node-warnings.ts";
import type { WriteBudget, WriteKind } from "./write-budget.ts";

/** Checks what a node writes against its limits; what exceeds them is refused and reported on its Node. */
export class WriteGate {
  readonly #budget: WriteBudget;
  readonly #warnings: Pick<NodeWarnings, "warn">;

  constructor(budget: WriteBudget, warnings: Pick<NodeWarnings, "warn">) {
    this.#budget = budget;
    this.#warnings = warnings;
  }

  /** @throws KubeError (429) while the node has written too much: it may come again later */
  open(node: string, kind: WriteKind): void {
    if (this.#budget.allows(node, kind)) return;
    const message = `write rate limit for ${kind} of node "${node}" exceeded`;
    this.#refuse(node, `rate of ${kind}`, "WriteRateExceeded", message);
    throw failure(429, "TooManyRequests", `${message}, try again later`);
  }

  /** Counts what was stored for a node, by its size; a write that changed nothing is free. */
  spend(node: string, kind: WriteKind, written: KubeObject): void {
    this.#budget.spend(node, kind, jsonBytesOf(written));
  }

  /** @throws KubeError (413) when it exceeds the limit of its kind */
  fits(node: string, what: string, sizes: { readonly bytes: number; readonly limit: number }): void {
    if (sizes.bytes <= sizes.limit) return;
    const message = `${what} of node "${node}" is ${sizes.bytes} bytes, the limit is ${sizes.limit}`;
    this.#refuse(node, `size of ${what}`, "WriteTooLarge", message);
    throw failure(413, "RequestEntityTooLarge", message);
  }

  /** @throws KubeError (403) when the node has as many as it may */
  counts(node: string, what: string, counts: { readonly count: number; readonly limit: number }): void {
    if (counts.count < counts.limit) return;
    const message = `node "${node}" has ${counts.count} ${what}, the limit is ${counts.limit}`;
    this.#refuse(node, `count of ${what}`, "WriteLimitReached", message);
    throw failure(403, "Forbidden", message);
  }

  #refuse(node: string, topic: string, reason: string, message: string): void {
    this.#warnings.warn(node, { topic, reason, message });
  }
}

export function jsonBytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? "");
}

function failure(httpStatus: number, reason: string, message: string): KubeError {
  return new KubeError(httpStatus, reason, message, {
    status: "Failure",
    message,
    reason,
    code: httpStatus,
    ...(httpStatus === 429 && { details: { retryAfterSeconds: 10 } }),
  });
}
