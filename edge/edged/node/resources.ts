import { formatQuantity, parseQuantity, type Quantity } from "#shared/kube";
import type { Machine, MachineLoad } from "./machine.ts";

/** Quantities by resource. */
export interface NodeResources {
  readonly capacity: Readonly<Record<string, string>>;
  /** What pods may use of it. */
  readonly allocatable: Readonly<Record<string, string>>;
}

export interface ResourceOptions {
  readonly machine: Machine;
  readonly load: MachineLoad;
  readonly maxPods: number;
  /** What is kept for others than pods: quantities by resource. */
  readonly reserved: readonly Readonly<Record<string, string>>[];
  /** What the thresholds of hard eviction keep free, bytes. */
  readonly kept: { readonly memoryBytes: number; readonly diskBytes: number };
}

/** Capacity, and that without what is reserved and what eviction keeps free (kubelet's node allocatable). */
export function nodeResources({ machine, load, maxPods, reserved, kept }: ResourceOptions): NodeResources {
  const kib = (bytes: number): string => `${Math.floor(bytes / 1024)}Ki`;
  const capacity = {
    cpu: String(machine.cpus),
    pods: String(maxPods),
    memory: kib(machine.memoryBytes),
    "ephemeral-storage": kib(load.disk.capacityBytes),
  };
  const without = (resource: keyof typeof capacity, ...others: readonly string[]): Quantity => {
    const all = [...reserved.map((amounts) => amounts[resource] ?? "0"), ...others];
    const nano = all.reduce((left, text) => left - nanoOf(text), nanoOf(capacity[resource]));
    return { nano: nano < 0n ? 0n : nano, format: "decimal" };
  };
  const memory = without("memory", String(Math.round(kept.memoryBytes)));
  return {
    capacity,
    allocatable: {
      cpu: formatQuantity(without("cpu")),
      pods: capacity.pods,
      memory: kib(Number(memory.nano / 1_000_000_000n)),
      "ephemeral-storage": String(
        without("ephemeral-storage", String(Math.round(kept.diskBytes))).nano / 1_000_000_000n,
      ),
    },
  };
}

function nanoOf(text: string): bigint {
  return parseQuantity(text)?.nano ?? 0n;
}
