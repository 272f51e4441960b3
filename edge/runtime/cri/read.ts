import { recordOf, tryJson } from "#shared/json";
import {
  fromLabels,
  isOwnerOf,
  labelNames,
  type ContainerDetails,
  type ContainerPhase,
  type ContainerSummary,
  type ContainerUsage,
  type Image,
  type StrayContainer,
} from "#edge/runtime";
import type {
  ContainerItem,
  ContainerState,
  ContainerStats,
  CriAnswer,
  CriImage,
  SandboxItem,
} from "#edge/runtime/cri/api";

/** Of `ListPodSandbox` and `ListContainers`, as one list. */
export interface Listed {
  readonly sandboxes: readonly SandboxItem[];
  readonly containers: readonly ContainerItem[];
}

export function readSummaries({ sandboxes, containers }: Listed): ContainerSummary[] {
  return [
    ...sandboxes.map(({ id, labels, state }) => ({
      id,
      identity: fromLabels(labels),
      phase: sandboxPhase(state),
    })),
    ...containers.map(({ id, labels, state }) => ({
      id,
      identity: fromLabels(labels),
      phase: containerPhase(state),
    })),
  ];
}

/** Those of other data directories of a node. */
export function readStrays(
  { sandboxes, containers }: Listed,
  { node, owner }: { readonly node: string; readonly owner: string },
): StrayContainer[] {
  const isStray = ({ labels }: { readonly labels: Readonly<Record<string, string>> }): boolean => {
    const label = labels[labelNames.owner] ?? "";
    return label !== owner && isOwnerOf(node, label);
  };
  const dirs = new Map(
    [...sandboxes, ...containers].map(({ id, labels }) => [id, labels[labelNames.dataDir]]),
  );
  const found = readSummaries({
    sandboxes: sandboxes.filter(isStray),
    containers: containers.filter(isStray),
  });
  return found.flatMap((one) => {
    const dataDir = dirs.get(one.id);
    return dataDir === undefined ? [] : [{ ...one, dataDir }];
  });
}

/** @param engine its name, e.g. "containerd" */
export function readContainer(
  { status, info }: CriAnswer<"ContainerStatus">,
  engine: string,
): ContainerDetails | undefined {
  if (!status) return undefined;
  const { id, state, reason, message, exitCode } = status;
  const phase = containerPhase(state);
  const wasStarted = status.startedAt > 0;
  return {
    id,
    identity: fromLabels(status.labels),
    phase,
    uri: `${engine}://${id}`,
    image: status.image?.image ?? "",
    imageId: status.imageId || status.imageRef,
    imageRef: status.imageRef,
    pid: pidOf(info),
    startedAtMs: timeOf(status.startedAt),
    finishedAtMs: timeOf(status.finishedAt),
    exitCode: phase === "exited" ? exitCode : 0,
    oomKilled: reason === "OOMKilled",
    error: phase === "exited" && !wasStarted ? message : "",
    ips: [],
  };
}

/** @param image its name and id */
export function readSandbox(
  { status, info }: CriAnswer<"PodSandboxStatus">,
  engine: string,
  image: { readonly name: string; readonly id: string },
): ContainerDetails | undefined {
  if (!status) return undefined;
  const { id, state, network } = status;
  return {
    id,
    identity: fromLabels(status.labels),
    phase: sandboxPhase(state),
    uri: `${engine}://${id}`,
    image: image.name,
    imageId: image.id,
    imageRef: image.id,
    pid: pidOf(info),
    startedAtMs: timeOf(status.createdAt),
    finishedAtMs: undefined,
    exitCode: 0,
    oomKilled: false,
    error: "",
    ips: [network?.ip ?? "", ...(network?.additionalIps ?? []).map(({ ip }) => ip)].filter((ip) => ip !== ""),
  };
}

/** `USER` is in the image's own specification; `uid` and `username` are what the CRI leaves of it. */
export function readImage(image: CriImage, info: Readonly<Record<string, string>> = {}): Image {
  const { id, repoTags, repoDigests, size, uid, username, pinned } = image;
  const { User } = recordOf(recordOf(parseInfo(info)["imageSpec"])["config"]);
  return {
    id,
    names: [...repoTags, ...repoDigests],
    sizeBytes: size,
    pinned,
    user: typeof User === "string" ? User : uid ? String(uid.value) : username,
  };
}

export function readStats(stats: ContainerStats | null): ContainerUsage | undefined {
  const { cpu, memory } = stats ?? {};
  if (!cpu?.usageCoreNanoSeconds || !memory?.workingSetBytes) return undefined;
  const { value: cpuNanoseconds } = cpu.usageCoreNanoSeconds;
  const { value: workingSetBytes } = memory.workingSetBytes;
  const usageBytes = memory.usageBytes?.value ?? workingSetBytes;
  const rssBytes = memory.rssBytes?.value ?? 0;
  return {
    cpuNanoseconds,
    workingSetBytes,
    usageBytes,
    rssBytes,
    cacheBytes: Math.max(0, usageBytes - rssBytes),
  };
}

/** The engine's own words about one thing; containerd and CRI-O put them as JSON under one name. */
export function parseInfo(info: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  return recordOf(tryJson(info["info"] ?? ""));
}

function pidOf(info: Readonly<Record<string, string>>): number {
  const { pid } = parseInfo(info);
  return typeof pid === "number" ? pid : 0;
}

function sandboxPhase(state: SandboxItem["state"]): ContainerPhase {
  return state === "SANDBOX_READY" ? "running" : "exited";
}

/** A container of which the engine knows nothing any more does not run as far as a pod is concerned; it is killed when it is looked at. */
function containerPhase(state: ContainerState): ContainerPhase {
  if (state === "CONTAINER_CREATED") return "created";
  return state === "CONTAINER_RUNNING" ? "running" : "exited";
}

function timeOf(nanoseconds: number): number | undefined {
  return nanoseconds > 0 ? Math.floor(nanoseconds / 1e6) : undefined;
}
