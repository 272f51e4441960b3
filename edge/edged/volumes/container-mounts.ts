import { AppError, asError, describeError } from "#shared/errors";
import type { Container, Pod, Volume } from "#shared/kube";
import type { Mount } from "#edge/runtime";
import { expand } from "#edge/edged/environment";
import type { Clock } from "#shared/clock";
import { pinReadOnly, pinServedSubPath, pinSubPath, subPathParts } from "#edge/edged/volumes/held-paths";
import { writeHostsFile, type HostsFileFacts } from "./hosts-file.ts";
import { makeTerminationLog } from "./termination-log.ts";
import { isOfFiles, VolumeError } from "./volume-files.ts";

export interface MountsInput {
  readonly pod: Pod;
  readonly container: Container;
  /** Host path by volume name. */
  readonly volumes: ReadonlyMap<string, string>;
  readonly env: ReadonlyMap<string, string>;
  readonly terminationLog: string;
  readonly podDir: string;
  readonly hosts: HostsFileFacts;
  readonly pinsDir: string;
  /** Names of the volumes that are on file servers. */
  readonly served: ReadonlySet<string>;
  /** Whether the containers are programs of the machine. */
  readonly ofProcesses?: boolean;
  readonly clock: Clock;
  /** Aborted when the pod ends. */
  readonly signal: AbortSignal;
}

/** The mounts of a container. Disposed once the container runs: the pins of its start are released. */
export interface ContainerMounts extends AsyncDisposable {
  readonly mounts: readonly Mount[];
}

const hostsPath = "/etc/hosts";

type VolumeMount = NonNullable<Container["volumeMounts"]>[number];

/** The mounts of a container, its termination log among them. @throws VolumeError, or AppError with kubelet's reason */
export async function containerMounts(input: MountsInput): Promise<ContainerMounts> {
  const { container, terminationLog } = input;
  await using stack = new AsyncDisposableStack();
  const mounts: Mount[] = [];
  for (const mount of container.volumeMounts ?? []) mounts.push(await mountOf(input, mount, stack));
  makeTerminationLog(terminationLog);
  const target = absolute(container.terminationMessagePath || "/dev/termination-log");
  mounts.push({ source: terminationLog, target, readOnly: false }, ...hostsMount(input, mounts));
  const pins = stack.move();
  return { mounts, [Symbol.asyncDispose]: () => pins.disposeAsync() };
}

/** A container may bring a file of its own. */
function hostsMount({ pod, podDir, hosts }: MountsInput, others: readonly Mount[]): Mount[] {
  const hasAddress = pod.spec.hostNetwork === true || hosts.podIps.length > 0;
  if (!hasAddress || others.some(({ target }) => target === hostsPath)) return [];
  return [{ source: writeHostsFile(podDir, pod, hosts), target: hostsPath, readOnly: false }];
}

async function mountOf(input: MountsInput, mount: VolumeMount, stack: AsyncDisposableStack): Promise<Mount> {
  const { pod, container, volumes } = input;
  const root = volumes.get(mount.name);
  const volume = pod.spec.volumes?.find(({ name }) => name === mount.name);
  if (root === undefined || !volume) throw new VolumeError(mount.name, "there is no such volume in the pod");
  const subPath = subPathOf(mount, input.env);
  const readOnly = isReadOnly(mount, volume);
  const mayHoldMounts = subPath === "" && !isOfFiles(volume) && !input.served.has(mount.name);
  const isWhole = isReadOnlyBelow(mount) && mayHoldMounts;
  refuseUnreached(input, volume, { subPath: subPath !== "", recursiveReadOnly: isWhole });
  const source = isWhole
    ? readOnlyBelow(input, mount, root, stack)
    : subPath === ""
      ? root
      : await pinned(input, { mount, root, subPath }, stack);
  const hostPath = volume.hostPath && { hostPath: volume.hostPath.path };
  return {
    source,
    target: absolute(mount.mountPath),
    readOnly,
    ...propagationOf(mount, container),
    ...hostPath,
  };
}

/** Root would find what it names, or make it, past directories that the user of a program may not enter. @throws AppError */
function refuseUnreached(
  { ofProcesses = false }: MountsInput,
  { name, hostPath }: Volume,
  given: Readonly<Record<"subPath" | "recursiveReadOnly", boolean>>,
): void {
  const field = Object.entries(given).find(([, isGiven]) => isGiven)?.[0];
  if (!ofProcesses || !hostPath || field === undefined) return;
  throw configError(
    `${field} of volumeMount "${name}" is not supported for processes: the volume is a hostPath, name the whole path there`,
  );
}

function isReadOnly(mount: VolumeMount, volume: Volume): boolean {
  return mount.readOnly === true || volume.persistentVolumeClaim?.readOnly === true || isOfFiles(volume);
}

/** Whether what is mounted below is to be read-only too. @throws AppError, as the API does where its fields do not fit */
function isReadOnlyBelow({
  name,
  readOnly,
  mountPropagation = "None",
  recursiveReadOnly,
}: VolumeMount): boolean {
  if (recursiveReadOnly === undefined || recursiveReadOnly === "Disabled") return false;
  const field = `recursiveReadOnly of volumeMount "${name}"`;
  if (recursiveReadOnly !== "Enabled" && recursiveReadOnly !== "IfPossible")
    throw configError(`${field}: expected Disabled, IfPossible or Enabled`);
  if (readOnly !== true) throw configError(`${field} needs readOnly: true`);
  if (mountPropagation !== "None") throw configError(`${field} needs mountPropagation None`);
  return true;
}

function readOnlyBelow(
  { pinsDir, clock }: MountsInput,
  { name, recursiveReadOnly }: VolumeMount,
  root: string,
  stack: AsyncDisposableStack,
): string {
  try {
    return stack.use(pinReadOnly(root, pinsDir, clock)).path;
  } catch (error) {
    if (recursiveReadOnly === "IfPossible") return root;
    throw configError(
      `recursiveReadOnly of volumeMount "${name}" is not possible on this node: ${describeError(error)}`,
    );
  }
}

async function pinned(
  { container, pinsDir, served, clock, signal }: MountsInput,
  { mount, root, subPath }: { readonly mount: VolumeMount; readonly root: string; readonly subPath: string },
  stack: AsyncDisposableStack,
): Promise<string> {
  try {
    const options = { root, subPath, pinsDir, clock };
    const pin = served.has(mount.name) ? pinServedSubPath({ ...options, signal }) : pinSubPath(options);
    return stack.use(await pin).path;
  } catch (error) {
    signal.throwIfAborted();
    // As kubelet: the cause is only logged on the node, it could reveal the host to the pod.
    const message = `failed to prepare subPath for volumeMount "${mount.name}" of container "${container.name}"`;
    throw new AppError("CreateContainerConfigError", message, { cause: asError(error) });
  }
}

/** The path below the volume, empty for the volume itself. */
function subPathOf({ subPath, subPathExpr }: VolumeMount, env: ReadonlyMap<string, string>): string {
  const path = subPath || expandAll(subPathExpr ?? "", env);
  try {
    return subPathParts(path).join("/");
  } catch (error) {
    throw configError(asError(error).message);
  }
}

/** Kubernetes: a variable without a value would mount too much. */
function expandAll(text: string, env: ReadonlyMap<string, string>): string {
  const missing = new Set<string>();
  for (const [, name = ""] of text.replaceAll("$$", "").matchAll(/\$\(([^()]*)\)/g))
    if (!env.get(name)) missing.add(name);
  if (missing.size > 0) throw configError(`missing value for ${[...missing].sort().join(", ")}`);
  return expand(text, env);
}

function propagationOf(mount: VolumeMount, container: Container): Pick<Mount, "propagation"> {
  const { mountPropagation = "None" } = mount;
  if (mountPropagation === "None") return { propagation: "rprivate" };
  if (mountPropagation === "HostToContainer") return { propagation: "rslave" };
  if (mountPropagation === "Bidirectional" && container.securityContext?.privileged === true)
    return { propagation: "rshared" };
  throw configError(
    mountPropagation === "Bidirectional"
      ? "Bidirectional mount propagation is available only to privileged containers"
      : `mountPropagation ${JSON.stringify(mountPropagation)} is not supported`,
  );
}

/** Kubernetes takes a path without a slash as one from the root. */
function absolute(path: string): string {
  if (path.includes("\0")) throw configError(`invalid mount path ${JSON.stringify(path)}`);
  return path.startsWith("/") ? path : `/${path}`;
}

function configError(message: string): AppError {
  return new AppError("CreateContainerConfigError", message);
}
