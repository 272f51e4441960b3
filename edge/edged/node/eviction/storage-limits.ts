import type { Clock } from "#shared/clock";
import { formatQuantity, parseQuantity, quantityNumber, type Pod } from "#shared/kube";
import type { ActivePod } from "#edge/edged/pods";
import { totalOf, type PodStorage } from "#edge/edged/node/usage";
import { containerStorageMessage, emptyDirMessage, podStorageMessage } from "./messages.ts";

const resource = "ephemeral-storage";
/** kubelet's interval; a pod whose files take long to count is measured less often, so that it takes a tenth of the time. */
const shortestMs = 10_000;
const longestMs = 600_000;

/** Whether anything of a pod is limited in what it takes of the disk. */
export function hasStorageLimits({ spec }: Pod): boolean {
  const isLimited = (spec.volumes ?? []).some(
    ({ emptyDir }) => emptyDir?.medium !== "Memory" && (quantityNumber(emptyDir?.sizeLimit) ?? 0) > 0,
  );
  return isLimited || spec.containers.some((one) => one.resources?.limits?.[resource] !== undefined);
}

/**
 * Which of its limits a pod exceeds, as a message (localStorageEviction of kubelet): a volume's, those of its containers
 * together, or one container's.
 */
export function exceededLimit({ spec }: Pod, { containers, volumes }: PodStorage): string | undefined {
  // Of what could not be counted nobody knows that it is too much.
  const used = { containers, volumes: new Map([...volumes].filter(([, bytes]) => Number.isFinite(bytes))) };
  for (const { name, emptyDir } of spec.volumes ?? []) {
    const { sizeLimit = "0" } = emptyDir ?? {};
    const limit = quantityNumber(sizeLimit) ?? 0;
    if (limit > 0 && (used.volumes.get(name) ?? 0) > limit) return emptyDirMessage(name, sizeLimit);
  }
  const limits = spec.containers.flatMap(({ name, resources }) => {
    const quantity = parseQuantity(resources?.limits?.[resource] ?? "");
    return quantity ? [{ name, quantity }] : [];
  });
  const [first] = limits;
  if (!first) return undefined;
  const nano = limits.reduce((sum, { quantity }) => sum + quantity.nano, 0n);
  if (nanoOf(totalOf(used)) > nano) return podStorageMessage(formatQuantity({ ...first.quantity, nano }));
  const over = limits.find(({ name, quantity }) => nanoOf(used.containers.get(name) ?? 0) > quantity.nano);
  return over && containerStorageMessage(over.name, formatQuantity(over.quantity));
}

function nanoOf(bytes: number): bigint {
  return BigInt(Math.round(bytes)) * 1_000_000_000n;
}

export interface StorageLimitsOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly measure: (pod: ActivePod) => Promise<PodStorage>;
}

/** Looks which pods exceed what they may take of the disk, each as often as its size allows. */
export class StorageLimits {
  readonly #options: StorageLimitsOptions;
  /** By uid: when it is measured again. */
  #dueAt = new Map<string, number>();

  constructor(options: StorageLimitsOptions) {
    this.#options = options;
  }

  /** The pods that exceed a limit, with the message of that. */
  async find(pods: readonly ActivePod[]): Promise<{ readonly pod: ActivePod; readonly message: string }[]> {
    const { clock, measure } = this.#options;
    const limited = pods.filter(({ pod }) => hasStorageLimits(pod));
    const uids = new Set(limited.map(({ pod }) => pod.metadata.uid ?? ""));
    this.#dueAt = new Map([...this.#dueAt].filter(([uid]) => uids.has(uid)));
    const found = [];
    for (const pod of limited) {
      const uid = pod.pod.metadata.uid ?? "";
      const startMs = clock.monotonicMs();
      if (startMs < (this.#dueAt.get(uid) ?? 0)) continue;
      // The engine may be busy with one of them: the others are looked at all the same.
      const used = await measure(pod).catch(() => undefined);
      const message = used && exceededLimit(pod.pod, used);
      const endMs = clock.monotonicMs();
      const waitMs = Math.min(longestMs, Math.max(shortestMs, (endMs - startMs) * 10));
      this.#dueAt.set(uid, endMs + waitMs);
      if (message !== undefined) found.push({ pod, message });
    }
    return found;
  }
}
