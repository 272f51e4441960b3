import { tokenKey, type TokenRequest } from "#edge/edged/environment/tokens";
import { AppError } from "#shared/errors";
import type { KeyToPath, Pod, Volume } from "#shared/kube";
import {
  notFoundText,
  readData,
  readField,
  readResource,
  type Objects,
  type PodFacts,
} from "#edge/edged/environment";

/** A file of a configMap, secret, downwardAPI or projected volume. */
export interface VolumeFile {
  readonly path: string;
  readonly data: Buffer;
  readonly mode: number;
  /** Owner, where it is not root. */
  readonly uid?: number | undefined;
}

/** What the files of a volume are made from. */
export interface VolumeSources {
  readonly pod: Pod;
  readonly objects: Objects;
  readonly facts: PodFacts;
  /** Tokens of the pod's service account by `tokenKey`; a missing one leaves the file as it is. */
  readonly tokens: ReadonlyMap<string, string>;
  /** The present contents of a file, to keep a token that cannot be renewed. */
  readonly kept?: (path: string) => Buffer | undefined;
}

/** A volume cannot be set up now; the text is that of the Event. */
export class VolumeError extends AppError {
  readonly volume: string;

  constructor(volume: string, reason: string, options?: ErrorOptions) {
    super("volume", `MountVolume.SetUp failed for volume "${volume}" : ${reason}`, options);
    this.volume = volume;
  }
}

export function claimKey({ claimName }: NonNullable<Volume["persistentVolumeClaim"]>): string {
  return `persistentvolumeclaim/${claimName}`;
}

/** Keys of the ConfigMaps, Secrets and claims the volumes of a pod need. */
export function volumeReferences(pod: Pod): string[] {
  const found = new Set<string>();
  for (const volume of pod.spec.volumes ?? []) {
    for (const source of sourcesOf(volume)) {
      if (source.configMap?.name) found.add(`configmap/${source.configMap.name}`);
      if (source.secret?.name) found.add(`secret/${source.secret.name}`);
    }
    if (volume.persistentVolumeClaim) found.add(claimKey(volume.persistentVolumeClaim));
  }
  return [...found];
}

/** The service account tokens a pod's volumes ask for. */
export function volumeTokenRequests(pod: Pod): TokenRequest[] {
  return (pod.spec.volumes ?? []).flatMap((volume) =>
    sourcesOf(volume).flatMap(({ serviceAccountToken: token }) =>
      token ? [{ ...token, volume: volume.name }] : [],
    ),
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

/** Whether a volume is made of files that only edgecore writes. */
export function isOfFiles({ configMap, secret, downwardAPI, projected }: Volume): boolean {
  return (configMap ?? secret ?? downwardAPI ?? projected) !== undefined;
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
  if (token) return tokenFiles(volume, token, mode, sources);
  const [unknown] = Object.keys(source);
  if (unknown === undefined) return [];
  throw new VolumeError(volume, `its source ${unknown} is not supported on this node`);
}

/** As kubelet: a token is readable by the one user of all containers, by the group of `fsGroup`, or else by all users. */
function tokenFiles(
  volume: string,
  token: { readonly path: string },
  mode: number,
  { tokens, kept, pod }: VolumeSources,
): VolumeFile[] {
  checkPath(volume, token.path);
  const text = tokens.get(tokenKey(volume, token.path)) ?? kept?.(token.path);
  if (text === undefined) return [];
  const uid = onlyUser(pod);
  const isNarrow = uid !== undefined || pod.spec.securityContext?.fsGroup !== undefined;
  return [{ path: token.path, data: Buffer.from(text), mode: isNarrow ? 0o600 : mode, uid }];
}

/** The user all containers of a pod run as, when the pod names it. */
function onlyUser({ spec }: Pod): number | undefined {
  const users = [...spec.containers, ...(spec.initContainers ?? [])].map(
    ({ securityContext }) => securityContext?.runAsUser ?? spec.securityContext?.runAsUser,
  );
  return new Set(users).size === 1 ? users[0] : undefined;
}

function dataFiles(
  volume: string,
  key: string,
  options: { readonly items?: KeyToPath[]; readonly optional?: boolean; readonly mode: number },
  { objects, facts }: VolumeSources,
): VolumeFile[] {
  const { items, optional, mode } = options;
  const data = withNodeCa(key, readData(key, objects), facts);
  if (!data && !optional) throw new VolumeError(volume, notFoundText(key));
  if (!items?.length) return [...(data ?? [])].map(([path, value]) => ({ path, data: value, mode }));
  return items.flatMap((item) => {
    const value = data?.get(item.key);
    if (value) return [{ path: item.path, data: value, mode: item.mode ?? mode }];
    if (optional) return [];
    throw new VolumeError(volume, `references non-existent config key: ${item.key}`);
  });
}

/** Holds the CA of the API in every namespace (RootCAConfigMap). */
const rootCaKey = "configmap/kube-root-ca.crt";
const caFile = "ca.crt";

/** The CA of the API on this node is trusted beside that of the API itself, so that pods may use either. */
function withNodeCa(
  key: string,
  data: ReadonlyMap<string, Buffer> | undefined,
  { nodeApi }: PodFacts,
): ReadonlyMap<string, Buffer> | undefined {
  const known = key === rootCaKey && nodeApi ? data?.get(caFile) : undefined;
  if (!data || !known || !nodeApi) return data;
  const bundle = `${known.toString().trimEnd()}\n${nodeApi.caPem}`;
  return new Map([...data, [caFile, Buffer.from(bundle)]]);
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
export function checkPath(volume: string, path: string): void {
  const parts = path.split("/");
  const bad =
    path === "" ||
    path.includes("\0") ||
    path.startsWith("..") ||
    parts.some((part) => /^(|\.|\.\.)$/.test(part));
  if (bad) throw new VolumeError(volume, `invalid path ${JSON.stringify(path)}`);
}
