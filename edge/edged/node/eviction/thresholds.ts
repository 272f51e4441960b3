import { evictionSignals, type EvictionConfig, type EvictionSignal } from "#shared/config";
import { formatQuantity, parseQuantity, quantityNumber } from "#shared/kube";
import type { MachineLoad } from "#edge/edged/node";
import type { FileSystemUsage } from "#edge/runtime";

/** What is left of something, in bytes or pieces. */
export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

export type Observations = ReadonlyMap<EvictionSignal, Observation>;

export interface Threshold {
  readonly signal: EvictionSignal;
  /** "100Mi" or "10%" */
  readonly amount: string;
  /** How much more is freed once it is passed; "0" for no more. */
  readonly minimumReclaim: string;
  /** Since when it has to be passed; 0 for a hard threshold. */
  readonly graceMs: number;
  readonly isHard: boolean;
}

/** What pods are ended for, as kubelet names it in messages. */
export type ReclaimedResource = "memory" | "ephemeral-storage" | "inodes" | "pids";

const resources: Readonly<Record<EvictionSignal, ReclaimedResource>> = {
  "memory.available": "memory",
  "nodefs.available": "ephemeral-storage",
  "nodefs.inodesFree": "inodes",
  "imagefs.available": "ephemeral-storage",
  "imagefs.inodesFree": "inodes",
  "pid.available": "pids",
};

export function resourceOf(signal: EvictionSignal): ReclaimedResource {
  return resources[signal];
}

/** The type of the Node's condition that a signal belongs to. */
export function conditionOf(signal: EvictionSignal): string {
  if (signal === "memory.available") return "MemoryPressure";
  return signal === "pid.available" ? "PIDPressure" : "DiskPressure";
}

/** The thresholds of a configuration, those of memory first. One of 0 % or 100 % is none, as in kubelet. */
export function thresholdsOf({ hard, soft, softGraceMs, minimumReclaim }: EvictionConfig): Threshold[] {
  return evictionSignals.flatMap((signal) =>
    [hard[signal], soft[signal]].flatMap((amount, index): Threshold[] => {
      if (amount === undefined || /^(0|100)(\.0+)?%$/.test(amount) || quantityNumber(amount) === 0) return [];
      const graceMs = index === 0 ? 0 : (softGraceMs[signal] ?? 0);
      return [
        { signal, amount, minimumReclaim: minimumReclaim[signal] ?? "0", graceMs, isHard: index === 0 },
      ];
    }),
  );
}

/** What is left by signal; what this machine does not count is absent. */
export function observe({ memoryBytes, memoryAvailableBytes, ...load }: MachineLoad): Observations {
  const { disk, images = nothing, processes, mostProcesses } = load;
  const all: readonly (readonly [EvictionSignal, Observation])[] = [
    ["memory.available", { available: memoryAvailableBytes, capacity: memoryBytes }],
    ["nodefs.available", { available: disk.availableBytes, capacity: disk.capacityBytes }],
    ["nodefs.inodesFree", inodesOf(disk)],
    ["imagefs.available", { available: images.availableBytes, capacity: images.capacityBytes }],
    ["imagefs.inodesFree", inodesOf(images)],
    ["pid.available", { available: Math.max(0, mostProcesses - processes), capacity: mostProcesses }],
  ];
  return new Map(all.filter(([, { capacity }]) => capacity > 0));
}

const nothing: FileSystemUsage = { capacityBytes: 0, availableBytes: 0 };

/** Whether what is removed from the disk of images is free on the node's own. Two file systems of one size are the same. */
export function sharesDisk({ disk, images }: MachineLoad): boolean {
  return images?.capacityBytes === disk.capacityBytes;
}

function inodesOf({ inodes = 0, freeInodes = 0 }: FileSystemUsage): Observation {
  return { available: freeInodes, capacity: inodes };
}

/** An amount in bytes or pieces: of the capacity if it is a percentage. */
export function sizeOf(amount: string, capacity: number): number {
  return amount.endsWith("%")
    ? Math.floor((capacity * Number(amount.slice(0, -1))) / 100)
    : (quantityNumber(amount) ?? 0);
}

/** What the hard threshold of a signal keeps free of a capacity. */
export function hardBytes({ hard }: EvictionConfig, signal: EvictionSignal, capacity: number): number {
  return sizeOf(hard[signal] ?? "0", capacity);
}

/** Whether too little is left; `isReclaiming`: less than is to be freed once the threshold was passed. */
export function isPassed(threshold: Threshold, observations: Observations, isReclaiming: boolean): boolean {
  const found = observations.get(threshold.signal);
  if (!found) return false;
  const more = isReclaiming ? sizeOf(threshold.minimumReclaim, found.capacity) : 0;
  return found.available < sizeOf(threshold.amount, found.capacity) + more;
}

/** A size as Kubernetes writes it, e.g. "100Mi". */
export function binaryText(bytes: number): string {
  return formatQuantity({ nano: BigInt(Math.round(bytes)) * 1_000_000_000n, format: "binary" });
}

/** What a threshold asks for and what is left, as texts. */
export function shownAmounts(
  { signal, amount }: Threshold,
  { available, capacity }: Observation,
): { readonly quantity: string; readonly available: string } {
  const isCount = signal.endsWith(".inodesFree") || signal === "pid.available";
  const exact = amount.endsWith("%") ? undefined : parseQuantity(amount);
  const left = {
    nano: BigInt(Math.round(available)) * 1_000_000_000n,
    format: isCount ? "decimal" : "binary",
  } as const;
  return {
    quantity: exact ? formatQuantity(exact) : binaryText(sizeOf(amount, capacity)),
    available: formatQuantity(left),
  };
}
