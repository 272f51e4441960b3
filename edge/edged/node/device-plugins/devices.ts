import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { AppError, describeError, UnavailableError } from "#shared/errors";
import { isRecord, recordOf, tryJson } from "#shared/json";
import { quantityNumber, type Container, type Pod } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { Refusal } from "#edge/edged/pods";
import type { AllocatedContainer, PluginApi, Registration } from "#edge/runtime/device-plugins";
import { Plugin } from "./plugin.ts";

export interface DevicesDeps {
  /** Where plugins register, `kubelet.sock` in it. */
  readonly path: string;
  readonly api: () => Promise<PluginApi>;
  readonly log: Logger;
  /** Whether a pod has devices: it runs, or is going to. */
  readonly isActive: (uid: string) => boolean;
  /** What was given out, kept over restarts. */
  readonly record: DeviceRecord;
  /** The Node has other resources. */
  readonly onChange: () => void;
}

export interface DeviceRecord {
  read(): string | undefined;
  write(text: string): void;
}

/** What one container was given of one resource. */
interface Grant {
  readonly pod: string;
  readonly container: string;
  readonly resource: string;
  readonly ids: readonly string[];
  readonly given: AllocatedContainer;
}

interface Wanted {
  readonly container: Container;
  readonly isInit: boolean;
  readonly resource: string;
  readonly count: number;
}

const version = "v1beta1";
const socketName = "kubelet.sock";

/**
 * Devices that plugins serve, as kubelet's device manager (pkg/kubelet/cm/devicemanager): given to containers when their pod is
 * admitted, and kept for them over restarts of everything.
 */
export class Devices implements AsyncDisposable {
  readonly #deps: DevicesDeps;
  readonly #plugins = new Map<string, Plugin>();
  #grants: readonly Grant[];
  /** Every resource that a plugin has served: none of them is taken for one that nobody counts. */
  #known: ReadonlySet<string>;
  #api: PluginApi | undefined;
  #isClosed = false;
  #server: AsyncDisposable | undefined;
  /** Admissions one after the other: no device is given twice. */
  #admitting: Promise<unknown> = Promise.resolve();

  constructor(deps: DevicesDeps) {
    this.#deps = deps;
    const { known, grants } = readKept(deps.record.read());
    this.#grants = grants;
    this.#known = new Set(known);
  }

  /** Takes registrations. Sockets of earlier plugins are removed, as kubelet does: plugins see that and register again. */
  async start(): Promise<void> {
    const { path, api } = this.#deps;
    this.#api = await api();
    mkdirSync(path, { recursive: true, mode: 0o750 });
    for (const entry of readdirSync(path, { withFileTypes: true }))
      if (entry.isSocket()) rmSync(join(path, entry.name));
    this.#server = await this.#api.serve(join(path, socketName), (one) => this.#register(one));
  }

  /** Amounts by resource: all devices, and the healthy ones; none while a plugin has not registered again. */
  counts(): { readonly capacity: Record<string, string>; readonly allocatable: Record<string, string> } {
    const count = (of: (plugin: Plugin) => number): Record<string, string> =>
      Object.fromEntries(
        [...this.#known].map((resource) => {
          const plugin = this.#plugins.get(resource);
          return [resource, String(plugin ? of(plugin) : 0)];
        }),
      );
    return { capacity: count((one) => one.count), allocatable: count((one) => one.healthy.length) };
  }

  /** Resources of which every container of a pod has its devices already, from before a restart of edgecore. */
  held(pod: Pod): string[] {
    const wanted = Map.groupBy(this.#wanted(pod), ({ resource }) => resource);
    return [...wanted].filter(([, all]) => all.every((one) => this.#has(pod, one))).map(([name]) => name);
  }

  /** Gives the containers of a new pod their devices, unless they have them. @returns why it cannot */
  async admit(pod: Pod): Promise<Refusal | undefined> {
    // A plugin that hangs, or has not registered again, keeps nobody else waiting.
    if (this.#wanted(pod).every((one) => this.#has(pod, one))) return undefined;
    const next = this.#admitting.then(() => this.#admit(pod));
    this.#admitting = next.catch(() => undefined);
    return next;
  }

  /** What a container was given, and asks plugins to prepare it. */
  async prepare(pod: Pod, container: string): Promise<AllocatedContainer[]> {
    const grants = this.#grants.filter((one) => one.pod === pod.metadata.uid && one.container === container);
    for (const { resource, ids } of grants) await this.#plugins.get(resource)?.preStart(ids);
    return grants.map(({ given }) => given);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await this.#server?.[Symbol.asyncDispose]();
    await Promise.all([...this.#plugins.values()].map((one) => one[Symbol.asyncDispose]()));
  }

  #register({ version: theirs, endpoint, resourceName }: Registration): void {
    const { path, log, onChange } = this.#deps;
    if (theirs !== version)
      throw new AppError("device-plugin", `requested API version "${theirs}" is not supported`);
    if (!isResourceName(resourceName))
      throw new AppError("device-plugin", `the ResourceName ${JSON.stringify(resourceName)} is invalid`);
    if (endpoint !== basename(endpoint) || ["", ".", "..", socketName].includes(endpoint))
      throw new AppError("device-plugin", `the endpoint ${JSON.stringify(endpoint)} is no name of a socket`);
    const client = this.#api?.connect(join(path, endpoint));
    if (!client) return;
    const before = this.#plugins.get(resourceName);
    if (!this.#known.has(resourceName)) this.#keep(this.#grants, [...this.#known, resourceName]);
    this.#plugins.set(resourceName, new Plugin(resourceName, client, { log, onChange }));
    log.info("a device plugin has registered", { resource: resourceName, endpoint });
    void before?.[Symbol.asyncDispose]();
  }

  async #admit(pod: Pod): Promise<Refusal | undefined> {
    const { isActive, log } = this.#deps;
    const { uid = "" } = pod.metadata;
    const kept = this.#grants.filter((one) => one.pod !== uid && isActive(one.pod));
    const made: Grant[] = [];
    /** Of init containers, which have ended when the others run; not of sidecars, and each goes to one container that stays. */
    const reusable = new Map<string, string[]>();
    try {
      for (const { container, isInit, resource, count } of this.#wanted(pod)) {
        const grant = await this.#grant(pod, container, {
          resource,
          count,
          taken: [...kept, ...made],
          reusable,
        });
        made.push(grant);
        const others = (reusable.get(resource) ?? []).filter((id) => !grant.ids.includes(id));
        reusable.set(resource, isInit ? [...others, ...grant.ids] : others);
      }
    } catch (error) {
      if (this.#isClosed) throw new UnavailableError("device-plugin", "edged is shutting down");
      log.warn("cannot give a pod its devices", { pod: pod.metadata.name, error: describeError(error) });
      const message = `Allocate failed due to ${error instanceof Error ? error.message : String(error)}, which is unexpected`;
      return { reason: "UnexpectedAdmissionError", message };
    }
    if (made.length > 0 || kept.length !== this.#grants.length) this.#keep([...kept, ...made]);
    return undefined;
  }

  async #grant(
    pod: Pod,
    container: Container,
    asked: {
      readonly resource: string;
      readonly count: number;
      readonly taken: readonly Grant[];
      readonly reusable: ReadonlyMap<string, readonly string[]>;
    },
  ): Promise<Grant> {
    const { resource, count } = asked;
    const plugin = this.#plugins.get(resource);
    const reusable = asked.reusable.get(resource) ?? [];
    const taken = new Set(asked.taken.filter((one) => one.resource === resource).flatMap(({ ids }) => ids));
    const free = (plugin?.healthy ?? []).filter((id) => !taken.has(id));
    const available = free.length + reusable.length;
    if (!plugin || available < count)
      throw new AppError(
        "device-plugin",
        `requested number of devices unavailable for ${resource}. Requested: ${count}, Available: ${available}`,
      );
    const ids = await plugin.choose(free, reusable, count);
    const given = await plugin.allocate(ids);
    return { pod: pod.metadata.uid ?? "", container: container.name, resource, ids, given };
  }

  #has({ metadata: { uid } }: Pod, { container: { name }, resource, count }: Wanted): boolean {
    return this.#grants.some(
      (one) =>
        one.pod === uid && one.container === name && one.resource === resource && one.ids.length === count,
    );
  }

  /** What the containers of a pod want of the resources that plugins serve. */
  #wanted(pod: Pod): Wanted[] {
    return inOrder(pod).flatMap(([container, isInit]) => {
      const { requests, limits } = container.resources ?? {};
      return Object.entries({ ...requests, ...limits }).flatMap(([resource, text]): Wanted[] => {
        const count = Math.ceil(quantityNumber(text) ?? 0);
        return this.#known.has(resource) && count > 0 ? [{ container, isInit, resource, count }] : [];
      });
    });
  }

  /** On disk before a container gets them. */
  #keep(grants: readonly Grant[], known: readonly string[] = [...this.#known]): void {
    this.#deps.record.write(JSON.stringify({ known, grants }));
    this.#grants = grants;
    this.#known = new Set(known);
  }
}

function inOrder({ spec }: Pod): [Container, boolean][] {
  const inits = (spec.initContainers ?? []).map((one): [Container, boolean] => [
    one,
    one.restartPolicy !== "Always",
  ]);
  return [...inits, ...spec.containers.map((one): [Container, boolean] => [one, false])];
}

/** An extended resource: a domain that is not Kubernetes' own, and a name. */
function isResourceName(name: string): boolean {
  const label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
  return (
    name.length <= 253 &&
    new RegExp(String.raw`^${label}(\.${label})*/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`).test(
      name,
    ) &&
    !/(^|\.)kubernetes\.io\//.test(name)
  );
}

/** What cannot be read counts as none: containers that run keep their devices. */
function readKept(text: string | undefined): { readonly known: string[]; readonly grants: Grant[] } {
  const { known, grants } = recordOf(tryJson(text ?? ""));
  const isGrant = (one: unknown): boolean =>
    isRecord(one) && Array.isArray(one["ids"]) && isRecord(one["given"]);
  return {
    known: Array.isArray(known) ? known.filter((one) => typeof one === "string") : [],
    // Written by `#keep`.
    grants: Array.isArray(grants) && grants.every(isGrant) ? (grants as Grant[]) : [],
  };
}
