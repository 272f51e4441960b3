import { mkdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { isRecord } from "#shared/json";
import { objectKey, type Pod, type Volume } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { PodTokens } from "#edge/edged/environment/tokens";
import { Directory } from "#edge/edged/volumes/held-paths";
import type { Objects, PodFacts } from "#edge/edged/environment";
import { readKept, writeFiles, type VolumePlace } from "./file-volume.ts";
import { prepareClaim } from "./claim-volume.ts";
import { mountMemory, prepareEmptyDir, prepareHostPath } from "./plain-volumes.ts";
import { claimSourceOf, nfsOf, unservedKind, type NfsSource } from "#shared/volumes";
import { checkNfs, mountNfs } from "#edge/edged/volumes/mounts";
import { ownVolume } from "./volume-owner.ts";
import {
  claimKey,
  volumeTokenRequests,
  volumeFiles,
  VolumeError,
  volumeReferences,
  type VolumeSources,
} from "./volume-files.ts";

export interface PodVolumesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** `<data directory>/pods/<uid>` */
  readonly podDir: string;
  readonly objects: (namespace: string, keys: readonly string[]) => Promise<Objects>;
  readonly tokens: (pod: Pod) => Promise<PodTokens>;
  /** Whether the pod is of programs of the machine: nothing is made on the host for its hostPaths. */
  readonly ofProcesses?: boolean;
  /** A token has to be renewed. */
  readonly onStale: () => void;
  /** Aborted when the pod ends: what waits for a file server is cancelled. */
  readonly signal: AbortSignal;
}

/** The volumes of one pod: set up once, updated after `stale`. */
export class PodVolumes implements Disposable {
  readonly #options: PodVolumesOptions;
  #made: ReadonlyMap<string, string> | undefined;
  /** Counts calls of `stale`: what was read before one of them is not the newest. */
  #changes = 0;
  /** All tokens of the volumes, until the first of them has to be renewed. */
  #valid: ReadonlyMap<string, string> | undefined;
  #timer: Disposable | undefined;
  /** Volumes that the group of the pod has been given. */
  readonly #owned = new Set<string>();
  /** Where directories of file servers are mounted, by volume name. */
  readonly #served = new Map<string, string>();

  constructor(options: PodVolumesOptions) {
    this.#options = options;
  }

  stale(): void {
    this.#changes += 1;
    this.#made = undefined;
  }

  /** Names of the volumes that are on file servers. */
  get served(): ReadonlySet<string> {
    return new Set(this.#served.keys());
  }

  /** For a container that starts. @returns host path by volume name. @throws VolumeError, also where a file server hangs */
  async ensure(pod: Pod, facts: PodFacts): Promise<ReadonlyMap<string, string>> {
    const made = await this.#prepare(pod, facts);
    for (const [name, path] of this.#served) await this.#orVolumeError(name, checkNfs(path, this.#options));
    return made;
  }

  async #prepare(pod: Pod, facts: PodFacts): Promise<ReadonlyMap<string, string>> {
    if (this.#made) return this.#made;
    const { clock, podDir, objects, ofProcesses = false } = this.#options;
    const changes = this.#changes;
    const keys = volumeReferences(pod);
    const found: Objects =
      keys.length > 0 ? await objects(pod.metadata.namespace ?? "default", keys) : new Map();
    const tokens = await this.#tokens(pod);
    const stamp = `${clock.nowMs()}_${Math.floor(clock.random() * 1e9)}`;
    const made = prepareVolumes({ pod, objects: found, facts, tokens, podDir, stamp, mayMake: !ofProcesses });
    await this.#mount(pod, made, found);
    await this.#own(pod, made, found);
    // A change during the requests is written by the next call.
    if (changes === this.#changes) this.#made = made;
    return made;
  }

  /** Updates the files of running containers; a missing object leaves them unchanged. */
  async refresh(pod: Pod, facts: PodFacts): Promise<void> {
    try {
      await this.#prepare(pod, facts);
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      this.#options.log.debug("volume keeps its old contents", { pod: objectKey(pod), error });
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  async #mount(pod: Pod, made: ReadonlyMap<string, string>, objects: Objects): Promise<void> {
    for (const volume of pod.spec.volumes ?? []) {
      const source = nfsSourceOf(volume, objects);
      const path = made.get(volume.name);
      if (path !== undefined && volume.emptyDir?.medium === "Memory")
        await mountMemory(path, { volume, pod }, this.#options.clock);
      if (!source || path === undefined) continue;
      await this.#orVolumeError(volume.name, mountNfs(source, path, this.#options));
      this.#served.set(volume.name, path);
    }
  }

  async #orVolumeError(volume: string, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#options.signal.throwIfAborted();
      throw new VolumeError(volume, describeError(error), { cause: error });
    }
  }

  /** Once for each volume: what the pod makes of its files later stays. */
  async #own(pod: Pod, made: ReadonlyMap<string, string>, objects: Objects): Promise<void> {
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
    if (fsGroup === undefined) return;
    for (const volume of pod.spec.volumes ?? []) {
      const { name } = volume;
      const path = made.get(name);
      if (path === undefined || this.#owned.has(name) || !isOwnable(volume, objects)) continue;
      try {
        await ownVolume(path, fsGroup, fsGroupChangePolicy);
      } catch (error) {
        const message = `applyFSGroup failed for vol ${name}: ${describeError(error)}`;
        throw new VolumeError(name, message, { cause: error });
      }
      this.#owned.add(name);
    }
  }

  async #tokens(pod: Pod): Promise<ReadonlyMap<string, string>> {
    const wanted = volumeTokenRequests(pod).length;
    if (wanted === 0) return new Map();
    if (this.#valid) return this.#valid;
    const { tokens, renewMs } = await this.#options.tokens(pod);
    if (tokens.size === wanted) this.#valid = tokens;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(renewMs, () => {
      this.#valid = undefined;
      this.stale();
      this.#options.onStale();
    });
    return tokens;
  }
}

function isOwnable({ persistentVolumeClaim: claim }: Volume, objects: Objects): boolean {
  const found = claim && claim.readOnly !== true ? objects.get(claimKey(claim)) : undefined;
  return found !== undefined && claimSourceOf(found)?.isOwnable === true;
}

/** The directory of a server that a volume is, of the pod itself or by its claim. */
function nfsSourceOf(volume: Volume, objects: Objects): NfsSource | undefined {
  const { persistentVolumeClaim: claim, nfs } = volume;
  if (!claim) return isRecord(nfs) ? nfsOf(nfs) : undefined;
  const found = objects.get(claimKey(claim));
  const source = found && claimSourceOf(found)?.nfs;
  return source && { ...source, readOnly: source.readOnly || claim.readOnly === true };
}

const nameFile = "name";

/** `<namespace>/<name>` of the pod a directory belongs to: kept in it for when the database does not know. */
export function readPodName(podDir: string): string | undefined {
  using pods = Directory.open(dirname(podDir));
  using root = pods.enter(basename(podDir));
  return root.read(nameFile, 1024)?.toString();
}

interface VolumeTools extends Omit<VolumeSources, "kept"> {
  readonly podDir: string;
  readonly stamp: string;
  /** Whether what a hostPath names is made. */
  readonly mayMake: boolean;
}

/** Sets up or updates all volumes of a pod. @returns host path by volume name. @throws VolumeError */
function prepareVolumes(tools: VolumeTools): ReadonlyMap<string, string> {
  const { pod, podDir } = tools;
  mkdirSync(dirname(podDir), { recursive: true, mode: 0o700 });
  using pods = Directory.open(dirname(podDir));
  using root = pods.ensure(basename(podDir), 0o700);
  if (!root.find(nameFile)) root.write(nameFile, Buffer.from(objectKey(pod)), { mode: 0o600 });
  using volumes = root.ensure("volumes", 0o755);
  using staging = root.ensure("staging", 0o700);
  // What a full disk or a crash left behind.
  for (const name of staging.names()) rmSync(staging.at(name), { recursive: true, force: true });
  return new Map(
    (pod.spec.volumes ?? []).map((volume) => [
      volume.name,
      prepareVolume(volume, { volumes, staging, name: volume.name }, tools),
    ]),
  );
}

function prepareVolume(volume: Volume, place: VolumePlace, tools: VolumeTools): string {
  const { name } = volume;
  // Volume names become directories.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/.test(name))
    throw new VolumeError(name, `invalid name ${JSON.stringify(name)}`);
  const path = join(tools.podDir, "volumes", name);
  try {
    const { persistentVolumeClaim: claim, nfs } = volume;
    if (claim) return prepareClaim(name, claim, tools.objects) ?? path;
    if (isRecord(nfs)) return path;
    if (volume.hostPath)
      return prepareHostPath(name, volume.hostPath.path, volume.hostPath.type ?? "", tools.mayMake);
    const { pod, stamp } = tools;
    const files = volumeFiles(volume, { ...tools, kept: (file) => readKept(place, file) });
    const gid = pod.spec.securityContext?.fsGroup;
    if (files) writeFiles(place, { files, gid, stamp });
    else if (volume.emptyDir) prepareEmptyDir(place, { volume, pod });
    else {
      const { name: _name, ...source } = volume;
      throw new VolumeError(name, `this kind of volume is not served on this node: ${unservedKind(source)}`);
    }
    return path;
  } catch (error) {
    if (error instanceof VolumeError) throw error;
    throw new VolumeError(name, describeError(error), { cause: error });
  }
}
