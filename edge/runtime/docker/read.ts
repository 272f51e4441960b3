import { asText, recordOf } from "#shared/json";
import type { ContainerInfo, ContainerInspectInfo, ImageInfo } from "dockerode";
import {
  fromLabels,
  isOwnerOf,
  labelNames,
  ownerOf,
  type ContainerDetails,
  type ContainerPhase,
  type ContainerSummary,
  type Image,
  type PullProgress,
  type RuntimeHint,
  type StrayContainer,
} from "#edge/runtime";

/** A container of `GET /containers/json`. */
export function readSummary(info: ContainerInfo): ContainerSummary {
  return { id: info.Id, identity: fromLabels(info.Labels ?? {}), phase: readPhase(info.State) };
}

/** Containers of other data directories of a node; those whose directory cannot be found out are left out. */
export function readStrays(
  infos: readonly ContainerInfo[],
  { node, owner }: { readonly node: string; readonly owner: string },
): StrayContainer[] {
  const dirs = new Map<string, string>();
  const strays = infos.filter(({ Labels }) => {
    const label = Labels?.[labelNames.owner] ?? "";
    return label !== owner && isOwnerOf(node, label);
  });
  for (const info of strays) {
    const label = info.Labels[labelNames.owner] ?? "";
    const dir = dataDirsOf(info).find((one) => ownerOf(node, one) === label);
    if (dir !== undefined) dirs.set(label, dir);
  }
  return strays.flatMap((info) => {
    const dataDir = dirs.get(info.Labels[labelNames.owner] ?? "");
    return dataDir === undefined ? [] : [{ ...readSummary(info), dataDir }];
  });
}

/** The label, and for containers made before there was one the places their files are mounted from. */
function dataDirsOf(info: ContainerInfo): string[] {
  const sources = (info.Mounts ?? []).map(({ Source }) => /^(.+)\/pods\/[^/]+\//.exec(Source)?.[1]);
  return [info.Labels[labelNames.dataDir], ...sources].filter((dir) => dir !== undefined);
}

/** A container of `GET /containers/<id>/json`. */
export function readDetails(info: ContainerInspectInfo): ContainerDetails {
  const { State: state } = info;
  return {
    id: info.Id,
    identity: fromLabels(info.Config.Labels ?? {}),
    phase: readPhase(state.Status),
    uri: `docker://${info.Id}`,
    image: info.Config.Image,
    imageId: info.Image,
    imageRef: `docker://${info.Image}`,
    pid: state.Pid,
    startedAtMs: readTime(state.StartedAt),
    finishedAtMs: readTime(state.FinishedAt),
    exitCode: state.ExitCode,
    oomKilled: state.OOMKilled,
    error: state.Error,
    ips: readIps(info),
  };
}

/** An image of `GET /images/json`; dangling ones have no names. */
export function readImage(info: ImageInfo): Image {
  const names = [...(info.RepoTags ?? []), ...(info.RepoDigests ?? [])];
  return {
    id: info.Id,
    names: names.filter((name) => !name.startsWith("<none>") && !name.endsWith("<none>")),
    sizeBytes: info.Size,
  };
}

/** One line of Docker's event stream; undefined for what does not concern us. */
export function readEvent(line: string): RuntimeHint | undefined {
  const event = parseLine(line);
  const actor = recordOf(event["Actor"]);
  const id = asText(actor["ID"]);
  const podUid = asText(recordOf(actor["Attributes"])[labelNames.podUid]);
  if (id === "" || podUid === "") return undefined;
  return { kind: "container", id, podUid, action: String(event["Action"]) };
}

/** A line of a pull: what it says of one layer, or of the whole when `id` is empty. */
export interface PullLine {
  readonly id: string;
  readonly status: string;
  readonly current: number;
  readonly total: number;
}

export function readPullLine(line: string): PullLine {
  const { id, status, progressDetail } = parseLine(line);
  const { current, total } = recordOf(progressDetail);
  const bytes = (value: unknown): number => (typeof value === "number" && value > 0 ? value : 0);
  return { id: asText(id), status: asText(status), current: bytes(current), total: bytes(total) };
}

/** What the lines of one pull add up to. */
export class PullMeter {
  readonly #layers = new Map<string, { done: number; total: number }>();
  /** Most bytes seen, by layer and status. */
  readonly #most = new Map<string, number>();

  /**
   * Takes the next line.
   * @returns whether the pull went on: the engine's own attempts to begin again do not count
   */
  take({ id, status, current, total }: PullLine): boolean {
    if (status.startsWith("Retrying in ")) return false;
    this.#count(id, status, { current, total });
    const key = `${id} ${status}`;
    const before = this.#most.get(key);
    if (before !== undefined && current <= before) return false;
    this.#most.set(key, current);
    return true;
  }

  get progress(): PullProgress {
    const layers = [...this.#layers.values()];
    const sum = (pick: (layer: { done: number; total: number }) => number): number =>
      layers.reduce((bytes, layer) => bytes + pick(layer), 0);
    return { doneBytes: sum((one) => one.done), totalBytes: sum((one) => one.total) };
  }

  #count(id: string, status: string, { current, total }: Pick<PullLine, "current" | "total">): void {
    const layer = this.#layers.get(id);
    if (status === "Downloading" && current > 0) {
      const done = Math.max(current, layer?.done ?? 0);
      // Not every registry says how long a layer is.
      this.#layers.set(id, { done, total: Math.max(total, done) });
      return;
    }
    if (layer && /^(Verifying|Download complete|Extracting|Pull complete)/.test(status))
      layer.done = layer.total;
  }
}

/** The name, or the id, in a line of a load that says which image was loaded. */
export function readLoaded(line: string): string | undefined {
  return /^Loaded image(?: ID)?: (\S+)/.exec(asText(parseLine(line)["stream"]))?.[1];
}

/** Why a pull or an import fails, in a line of its progress; undefined when it goes on. */
export function readProgressError(line: string): string | undefined {
  const error = asText(parseLine(line)["error"]);
  return error === "" ? undefined : error;
}

function parseLine(line: string): Readonly<Record<string, unknown>> {
  try {
    return recordOf(JSON.parse(line));
  } catch {
    return {};
  }
}

/** "paused" and "restarting" hold their processes: running, as far as a pod is concerned. */
function readPhase(state: string): ContainerPhase {
  if (state === "created") return "created";
  return state === "running" || state === "paused" || state === "restarting" ? "running" : "exited";
}

/** Docker writes year 1 for "never". */
function readTime(text: string | undefined): number | undefined {
  if (text === undefined || text.startsWith("0001-")) return undefined;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/** Addresses of a container's own network; none in that of the host. */
export function readIps(info: ContainerInspectInfo): string[] {
  const found: string[] = [];
  for (const network of Object.values(info.NetworkSettings.Networks ?? {})) {
    if (network.IPAddress) found.push(network.IPAddress);
    if (network.GlobalIPv6Address) found.push(network.GlobalIPv6Address);
  }
  return found;
}
