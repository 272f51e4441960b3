import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { readlinkSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import { AppError, describeError } from "#shared/errors";
import {
  objectKey,
  parseQuantity,
  type Container,
  type KeyToPath,
  type Pod,
  type Volume,
} from "#shared/kube";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import {
  formatResource,
  groups,
  operations,
  resourceTypes,
  sources,
  type NewMessage,
  type WireMessage,
} from "#shared/message";
import type { Mount } from "#edge/runtime";
import { readData, readField, readResource, notFound, type Objects, type PodFacts } from "./env.ts";

/** A file of a configMap, secret, downwardAPI or projected volume. */
export interface VolumeFile {
  readonly path: string;
  readonly data: Buffer;
  readonly mode: number;
}

/** What the files of a volume are made from. */
export interface VolumeSources {
  readonly pod: Pod;
  readonly objects: Objects;
  readonly facts: PodFacts;
  /** Token of the pod's service account by path of the file; a missing one leaves the file as it is. */
  readonly tokens: ReadonlyMap<string, string>;
  /** Where the files are, to keep a token that cannot be had anew now. */
  readonly dir?: string;
}

/** A volume cannot be made now; the text goes into the event. */
export class VolumeError extends AppError {
  readonly volume: string;

  constructor(volume: string, reason: string, options?: ErrorOptions) {
    super("volume", `MountVolume.SetUp failed for volume "${volume}" : ${reason}`, options);
    this.volume = volume;
  }
}

/** Keys of the ConfigMaps and Secrets the volumes of a pod need. */
export function volumeReferences(pod: Pod): string[] {
  const found = new Set<string>();
  for (const volume of pod.spec.volumes ?? []) {
    for (const source of sourcesOf(volume)) {
      if (source.configMap?.name) found.add(`configmap/${source.configMap.name}`);
      if (source.secret?.name) found.add(`secret/${source.secret.name}`);
    }
  }
  return [...found];
}

/** Paths of the service account tokens a pod's volumes ask for. */
export function tokenRequests(pod: Pod): { path: string; audience?: string; expirationSeconds?: number }[] {
  return (pod.spec.volumes ?? []).flatMap((volume) =>
    sourcesOf(volume).flatMap(({ serviceAccountToken: token }) => (token ? [token] : [])),
  );
}

/** One source of files: a volume of its own, or one of several of a projected volume. */
interface FileSource {
  readonly configMap?: { name?: string; items?: KeyToPath[]; optional?: boolean };
  readonly secret?: { name?: string; items?: KeyToPath[]; optional?: boolean };
  readonly downwardAPI?: { items?: DownwardItem[] };
  readonly serviceAccountToken?: { path: string; audience?: string; expirationSeconds?: number };
}

interface DownwardItem {
  readonly path: string;
  readonly mode?: number;
  readonly fieldRef?: { fieldPath: string };
  readonly resourceFieldRef?: { containerName?: string; resource: string; divisor?: string };
}

function sourcesOf(volume: Volume): FileSource[] {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (projected) return projected.sources ?? [];
  if (configMap) return [{ configMap }];
  if (downwardAPI) return [{ downwardAPI }];
  if (!secret) return [];
  const { secretName, ...rest } = secret;
  return [{ secret: { ...rest, ...(secretName === undefined ? {} : { name: secretName }) } }];
}

/** The files of a volume, or undefined when it is not one of files. @throws VolumeError when something is missing */
export function volumeFiles(volume: Volume, sources: VolumeSources): VolumeFile[] | undefined {
  const { configMap, secret, downwardAPI, projected } = volume;
  const kind = configMap ?? secret ?? downwardAPI ?? projected;
  if (!kind) return undefined;
  const mode = kind.defaultMode ?? 0o644;
  const files = sourcesOf(volume).flatMap((source) => filesOf(volume.name, source, mode, sources));
  for (const file of files) checkPath(volume.name, file.path);
  return files;
}

function filesOf(volume: string, source: FileSource, mode: number, sources: VolumeSources): VolumeFile[] {
  const { configMap, secret, downwardAPI, serviceAccountToken: token } = source;
  if (configMap)
    return dataFiles(volume, `configmap/${configMap.name ?? ""}`, { ...configMap, mode }, sources);
  if (secret) return dataFiles(volume, `secret/${secret.name ?? ""}`, { ...secret, mode }, sources);
  if (downwardAPI) return (downwardAPI.items ?? []).map((item) => downwardFile(volume, item, mode, sources));
  return token ? tokenFiles(volume, token, sources) : [];
}

function tokenFiles(volume: string, token: { readonly path: string }, sources: VolumeSources): VolumeFile[] {
  checkPath(volume, token.path);
  const old = join(sources.dir ?? "", "..data", token.path);
  const text =
    sources.tokens.get(token.path) ?? (sources.dir && existsSync(old) ? readFileSync(old) : undefined);
  return text === undefined ? [] : [{ path: token.path, data: Buffer.from(text), mode: 0o600 }];
}

function dataFiles(
  volume: string,
  key: string,
  options: { readonly items?: KeyToPath[]; readonly optional?: boolean; readonly mode: number },
  { objects }: VolumeSources,
): VolumeFile[] {
  const { items, optional, mode } = options;
  const data = readData(key, objects);
  if (!data && !optional) throw new VolumeError(volume, notFound(key));
  if (!items?.length) return [...(data ?? [])].map(([path, value]) => ({ path, data: value, mode }));
  return items.flatMap((item) => {
    const value = data?.get(item.key);
    if (value) return [{ path: item.path, data: value, mode: item.mode ?? mode }];
    if (optional) return [];
    throw new VolumeError(volume, `references non-existent config key: ${item.key}`);
  });
}

function downwardFile(
  volume: string,
  item: DownwardItem,
  mode: number,
  { pod, facts }: VolumeSources,
): VolumeFile {
  const [first] = pod.spec.containers;
  const value = item.fieldRef
    ? readField(pod, item.fieldRef.fieldPath, facts)
    : item.resourceFieldRef && first && readResource(pod, first, item.resourceFieldRef, facts);
  if (typeof value !== "string") throw new VolumeError(volume, `unsupported field of "${item.path}"`);
  return { path: item.path, data: Buffer.from(value), mode: item.mode ?? mode };
}

/** Keys and paths come from the cloud: nothing may leave the volume or collide with the writer's own names. */
function checkPath(volume: string, path: string): void {
  const parts = path.split("/");
  const bad =
    path === "" ||
    path.includes("\0") ||
    path.startsWith("..") ||
    parts.some((part) => /^(|\.|\.\.)$/.test(part));
  if (bad) throw new VolumeError(volume, `invalid path ${JSON.stringify(path)}`);
}

/**
 * Writes files so that readers see either all old or all new ones, as Kubernetes' AtomicWriter does: a new timestamped
 * directory, `..data` swapped to it by rename, and links `<name>` → `..data/<name>`. @returns whether anything changed
 */
export function writeFiles(dir: string, files: readonly VolumeFile[], stamp: string): boolean {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  if (isSame(dir, files)) return false;
  const link = join(dir, "..data");
  const old = existsSync(link) ? readlinkSync(link) : undefined;
  const fresh = `..${stamp}`;
  for (const file of files) {
    const target = join(dir, fresh, file.path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, file.data, { mode: file.mode });
    // The umask took bits away.
    chmodSync(target, file.mode);
  }
  mkdirSync(join(dir, fresh), { recursive: true, mode: 0o755 });
  symlinkSync(fresh, join(dir, "..data_tmp"));
  renameSync(join(dir, "..data_tmp"), link);
  linkNames(dir, files);
  if (old !== undefined && old !== fresh && old.startsWith(".."))
    rmSync(join(dir, old), { recursive: true, force: true });
  return true;
}

function linkNames(dir: string, files: readonly VolumeFile[]): void {
  const names = new Set(files.map((file) => file.path.split("/")[0] ?? ""));
  for (const name of readdirSync(dir))
    if (!name.startsWith("..") && !names.has(name)) rmSync(join(dir, name));
  for (const name of names) {
    const path = join(dir, name);
    if (!lstatSync(path, { throwIfNoEntry: false })) symlinkSync(join("..data", name), path);
  }
}

function isSame(dir: string, files: readonly VolumeFile[]): boolean {
  rmSync(join(dir, "..data_tmp"), { force: true });
  if (!existsSync(join(dir, "..data"))) return false;
  const names = readdirSync(join(dir, "..data"), { recursive: true, withFileTypes: true });
  if (names.filter((entry) => !entry.isDirectory()).length !== files.length) return false;
  return files.every((file) => {
    const path = join(dir, "..data", file.path);
    return (
      lstatSync(path, { throwIfNoEntry: false })?.isFile() === true && readFileSync(path).equals(file.data)
    );
  });
}

/** Checks and makes what a hostPath asks for. @returns the host's path */
export function prepareHostPath(volume: string, path: string, type: string): string {
  if (path.split("/").includes("..")) throw new VolumeError(volume, `invalid path ${JSON.stringify(path)}`);
  const found = lstatSync(existsSync(path) ? realpathSync(path) : path, { throwIfNoEntry: false });
  if (type === "DirectoryOrCreate" && !found) mkdirSync(path, { recursive: true, mode: 0o755 });
  else if (type === "FileOrCreate" && !found) writeFileSync(path, "", { mode: 0o644 });
  else if (type !== "" && !matchesType(found, type)) {
    throw new VolumeError(volume, `hostPath type check failed: ${path} is not a ${hostTypes[type] ?? type}`);
  }
  return path;
}

const hostTypes: Readonly<Record<string, string>> = {
  Directory: "directory",
  DirectoryOrCreate: "directory",
  File: "file",
  FileOrCreate: "file",
  Socket: "socket file",
  CharDevice: "character device",
  BlockDevice: "block device",
};

function matchesType(found: ReturnType<typeof lstatSync> | undefined, type: string): boolean {
  if (!found) return false;
  if (type.startsWith("Directory")) return found.isDirectory();
  if (type.startsWith("File")) return found.isFile();
  if (type === "Socket") return found.isSocket();
  return type === "CharDevice" ? found.isCharacterDevice() : type === "BlockDevice" && found.isBlockDevice();
}

/** A directory that lives as long as the pod; in memory when asked for. */
export function prepareEmptyDir(dir: string, volume: Volume, fsGroup: number | undefined): void {
  mkdirSync(dir, { recursive: true });
  const { medium, sizeLimit } = volume.emptyDir ?? {};
  if (medium === "Memory" && !isMounted(dir)) {
    const size = parseQuantity(sizeLimit);
    const options = `mode=0777${size ? `,size=${Math.ceil(size)}` : ""}`;
    const result = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", options, "tmpfs", dir]);
    if (!result.success)
      throw new VolumeError(volume.name, `mount failed: ${result.stderr.toString().trim()}`);
  }
  if (fsGroup !== undefined) chownSync(dir, lstatSync(dir).uid, fsGroup);
  chmodSync(dir, fsGroup === undefined ? 0o777 : 0o2777);
}

/** `subPath` of a volume, made if missing; it cannot leave the volume, through links neither. */
export function resolveSubPath(volume: string, root: string, subPath: string): string {
  checkPath(volume, subPath);
  const base = realpathSync(root);
  let path = base;
  for (const part of subPath.split("/")) {
    path = join(path, part);
    if (!existsSync(path)) mkdirSync(path);
    path = realpathSync(path);
    if (path !== base && !path.startsWith(base + sep))
      throw new VolumeError(volume, "subPath leaves the volume");
  }
  return path;
}

/** Removes everything of a pod, tmpfs mounts first. */
export function removePodDir(dir: string): void {
  for (const mount of mountPoints().filter((path) => path.startsWith(dir + sep)))
    Bun.spawnSync(["umount", mount]);
  // A mount that could not be taken away must not have its contents deleted as if they were ours.
  if (!mountPoints().some((path) => path.startsWith(dir + sep)))
    rmSync(dir, { recursive: true, force: true });
}

export interface VolumeTools extends VolumeSources {
  readonly podDir: string;
  readonly stamp: string;
}

/** Asks the cloud for tokens, as KubeEdge does. One that cannot be had now is missing in the answer. */
export async function requestTokens(
  pod: Pod,
  ask: (message: NewMessage & { readonly timeoutMs?: number }) => Promise<WireMessage>,
): Promise<ReadonlyMap<string, string>> {
  const { namespace, name, uid } = pod.metadata;
  const account = pod.spec.serviceAccountName || "default";
  const found = new Map<string, string>();
  for (const { path, audience, expirationSeconds } of tokenRequests(pod)) {
    const boundObjectRef = { kind: "Pod", apiVersion: "v1", name, uid };
    const spec = {
      audiences: audience ? [audience] : null,
      expirationSeconds: expirationSeconds ?? 3600,
      boundObjectRef,
    };
    const resource = formatResource(resourceTypes.serviceAccountToken, namespace, account);
    const route = { source: sources.edged, group: groups.meta, operation: operations.query, resource };
    try {
      const { content } = await ask({ ...route, content: { metadata: {}, spec }, timeoutMs: tokenTimeoutMs });
      const token = (content as { status?: { token?: unknown } } | null)?.status?.token;
      if (typeof token === "string" && token !== "") found.set(path, token);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
    }
  }
  return found;
}

/** A pod does not wait longer for a token: it starts without and gets it when the cloud answers. */
const tokenTimeoutMs = 2000;
const tokenRetryMs = 60_000;

export interface PodVolumesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly podDir: string;
  readonly objects: (namespace: string, keys: readonly string[]) => Promise<Objects>;
  readonly tokens: (pod: Pod) => Promise<ReadonlyMap<string, string>>;
  /** A token has to be renewed. */
  readonly onStale: () => void;
}

/** The volumes of one pod: made once, brought up to date after `stale`. */
export class PodVolumes implements Disposable {
  readonly #options: PodVolumesOptions;
  #made: ReadonlyMap<string, string> | undefined;
  #timer: Disposable | undefined;

  constructor(options: PodVolumesOptions) {
    this.#options = options;
  }

  stale(): void {
    this.#made = undefined;
  }

  /** @returns host path by volume name; throws VolumeError */
  async ensure(pod: Pod, facts: PodFacts): Promise<ReadonlyMap<string, string>> {
    if (this.#made) return this.#made;
    const { clock, podDir, objects } = this.#options;
    const keys = volumeReferences(pod);
    const found: Objects =
      keys.length > 0 ? await objects(pod.metadata.namespace ?? "default", keys) : new Map();
    const tokens = await this.#tokens(pod);
    const stamp = `${clock.nowMs()}_${Math.floor(clock.random() * 1e9)}`;
    return (this.#made = prepareVolumes({ pod, objects: found, facts, tokens, podDir, stamp }));
  }

  /** Lets running containers see new contents; what is missing now does not disturb them. */
  async refresh(pod: Pod, facts: PodFacts): Promise<void> {
    try {
      await this.ensure(pod, facts);
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      this.#options.log.debug("volume keeps its old contents", { pod: objectKey(pod), error });
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  async #tokens(pod: Pod): Promise<ReadonlyMap<string, string>> {
    const wanted = tokenRequests(pod);
    if (wanted.length === 0) return new Map();
    const tokens = await this.#options.tokens(pod);
    const shortest = Math.min(...wanted.map((one) => one.expirationSeconds ?? 3600));
    const waitMs = tokens.size < wanted.length ? tokenRetryMs : Math.min(shortest * 800, 86_400_000);
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(waitMs, () => {
      this.stale();
      this.#options.onStale();
    });
    return tokens;
  }
}

/** Makes or brings up to date all volumes of a pod. @returns host path by volume name; throws VolumeError */
export function prepareVolumes(tools: VolumeTools): ReadonlyMap<string, string> {
  const { pod, podDir, stamp } = tools;
  mkdirSync(podDir, { recursive: true, mode: 0o700 });
  return new Map(
    (pod.spec.volumes ?? []).map((volume) => [volume.name, prepareVolume(volume, podDir, stamp, tools)]),
  );
}

function prepareVolume(volume: Volume, podDir: string, stamp: string, sources: VolumeSources): string {
  checkPath(volume.name, volume.name);
  const dir = join(podDir, "volumes", volume.name);
  try {
    if (volume.hostPath)
      return prepareHostPath(volume.name, volume.hostPath.path, volume.hostPath.type ?? "");
    const files = volumeFiles(volume, { ...sources, dir });
    if (files) writeFiles(dir, files, stamp);
    else if (volume.emptyDir) prepareEmptyDir(dir, volume, sources.pod.spec.securityContext?.fsGroup);
    else throw new VolumeError(volume.name, "this kind of volume is not served on this node");
    return dir;
  } catch (error) {
    if (error instanceof VolumeError) throw error;
    throw new VolumeError(volume.name, describeError(error), { cause: error });
  }
}

/** The mounts of a container, its termination log among them. */
export function containerMounts(
  container: Container,
  volumes: ReadonlyMap<string, string>,
  logPath: string,
): readonly Mount[] {
  const mounts = (container.volumeMounts ?? []).map((mount): Mount => {
    const root = volumes.get(mount.name);
    if (root === undefined) throw new VolumeError(mount.name, "there is no such volume in the pod");
    const source = mount.subPath ? resolveSubPath(mount.name, root, mount.subPath) : root;
    return { source, target: mount.mountPath, readOnly: mount.readOnly ?? false };
  });
  mkdirSync(dirname(logPath), { recursive: true, mode: 0o700 });
  writeFileSync(logPath, "", { mode: 0o666 });
  chmodSync(logPath, 0o666);
  const target = container.terminationMessagePath || "/dev/termination-log";
  return [...mounts, { source: logPath, target, readOnly: false }];
}

/** What a container left in its termination log, at most 4 KiB. */
export function readTerminationLog(path: string): string | undefined {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
  const text = readFileSync(path).subarray(0, 4096).toString().trimEnd();
  return text === "" ? undefined : text;
}

function isMounted(dir: string): boolean {
  return mountPoints().includes(realpathSync(dir));
}

function mountPoints(): string[] {
  if (!existsSync("/proc/self/mounts")) return [];
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[1] ?? "").replaceAll("\\040", " "));
}
