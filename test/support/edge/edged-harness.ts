import { readFileSync } from "node:fs";
import {
  leaseRequests,
  mirrorRequests,
  nodeRequests,
  podRequests,
  podTokenRequests,
} from "#edge/edge-hub/codec";
import { startEdged, type Edged, type EdgedDeps, type EdgedSettings } from "#edge/edged";
import type { ContainerRuntime } from "#edge/runtime";
import { Bus } from "#shared/bus";
import type { Clock } from "#shared/clock";
import type { EvictionConfig } from "#shared/config";
import type { Event, KubeObject, Pod, PodStatus } from "#shared/kube";
import type { EdgeCatalog, PodName, PodVerdict } from "#shared/topics";
import { responseTo, type NewMessage, type WireMessage } from "#shared/wire";
import { overTheWire } from "./over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

/** Without thresholds: pods are ended for their own limits only. */
export const noEviction: EvictionConfig = {
  hard: {},
  soft: {},
  softGraceMs: {},
  minimumReclaim: {},
  transitionMs: 300_000,
  maxPodGraceSeconds: 0,
};

type Answer = (message: NewMessage) => unknown;

/** The rest of an edgecore around edged: what is stored, what edged reported, and a cloud that answers requests. */
export class EdgedHarness implements AsyncDisposable {
  readonly bus = new Bus<EdgeCatalog>({
    onFailure: (topic, _module, error) => this.errors.push(`${topic} ${String(error)}`),
  });
  readonly pods = new Map<string, Pod>();
  readonly objects = new Map<string, KubeObject>();
  readonly statuses = new Map<string, PodStatus[]>();
  readonly events: Event[] = [];
  readonly terminated: PodName[] = [];
  readonly requests: NewMessage[] = [];
  readonly confirmed: PodName[] = [];
  /** The verdict of the cloud about pods that are not stored. */
  verdict: PodVerdict = "unknown";
  readonly errors: string[] = [];
  readonly log = silentLog();
  cloud: Answer = () => ({ Object: null, Err: null });
  readonly #rest = this.bus.port<
    "pod.changed" | "config.changed" | "link.changed",
    "volume.remove",
    "pod.status" | "event.recorded",
    | "pod.list"
    | "object.get"
    | "pod.terminated"
    | "pod.confirm"
    | "cloud.pod"
    | "cloud.mirror"
    | "cloud.token"
    | "cloud.node"
    | "cloud.lease"
  >("rest");
  readonly #waiting = new Set<() => void>();
  #edged: Edged | undefined;

  constructor() {
    const stamp = { id: () => "id", nowMs: () => 0 };
    this.#rest.answer("pod.list", async () => [...this.pods.values()]);
    this.#rest.answer("object.get", async ({ type, namespace, name }) =>
      this.objects.get(`${namespace}/${type}/${name}`),
    );
    this.#rest.answer("pod.confirm", async (name) => {
      this.confirmed.push(name);
      this.#changed();
      return this.verdict;
    });
    this.#rest.answer("pod.terminated", async (name) => {
      this.terminated.push(name);
      this.pods.delete(name.uid);
      this.#changed();
      return undefined;
    });
    const answer = (message: NewMessage): WireMessage => {
      this.requests.push(message);
      this.#changed();
      const request = { header: { msg_id: "r", timestamp: 0 }, route: message, content: null };
      return responseTo(stamp, request, this.cloud(message));
    };
    this.#rest.answer("cloud.pod", overTheWire(podRequests, answer));
    this.#rest.answer("cloud.mirror", overTheWire(mirrorRequests, answer));
    this.#rest.answer("cloud.token", overTheWire(podTokenRequests, answer));
    this.#rest.answer("cloud.node", overTheWire(nodeRequests, answer));
    this.#rest.answer("cloud.lease", overTheWire(leaseRequests, answer));
    this.#rest.on("pod.status", ({ uid, status }) => {
      this.statuses.set(uid, [...(this.statuses.get(uid) ?? []), status]);
      this.#changed();
    });
    this.#rest.on("event.recorded", ({ event }) => {
      this.events.push(event);
      this.#changed();
    });
  }

  async start(
    runtime: ContainerRuntime,
    clock: Clock,
    config: Partial<EdgedSettings> & { dataDir: string },
    parts: Pick<EdgedDeps, "readLoad" | "devicePlugins"> = {},
  ): Promise<void> {
    const base: EdgedSettings = {
      nodeName: "edge-1",
      registerNode: true,
      registerSchedulable: true,
      wireNamespace: "default",
      labels: {},
      taints: [],
      version: "v1.26.15-kubeedge-v1.15-bun",
      readOnlyPort: 10350,
      maxPods: 110,
      statusIntervalMs: 10_000,
      nodeIp: "192.0.2.2",
      interfaceName: undefined,
      clusterDns: [],
      clusterDomain: "cluster.local",
      allowedUnsafeSysctls: [],
      // Whatever the machine of the tests runs short of.
      eviction: noEviction,
      reserved: [],
      images: {
        pulls: { parallel: 1, idleMs: 60_000, authFile: undefined, mirrors: {} },
        gc: { highPercent: 100, lowPercent: 80, minimumAgeMs: 120_000, maximumAgeMs: undefined },
        archiveDir: undefined,
      },
      podPidsLimit: undefined,
      staticPodPath: undefined,
      devicePluginPath: undefined,
      shutdown: { graceSeconds: 0, criticalSeconds: 0 },
      relistMs: 1000,
      ...config,
    };
    this.#edged = await startEdged(base, {
      port: this.bus.port("edged"),
      runtime,
      clock,
      log: this.log,
      // At once: a clock that is moved by hand does not wait for threads.
      readMounts: async () => readFileSync("/proc/self/mountinfo", "utf8").split("\n").filter(Boolean),
      ...parts,
    });
  }

  async shutDown(): Promise<void> {
    await this.#edged?.shutDown();
  }

  async stop(): Promise<void> {
    await this.#edged?.[Symbol.asyncDispose]();
    this.#edged = undefined;
  }

  /** Stores a pod and announces it, as metamanager does. */
  async apply(pod: Pod): Promise<void> {
    this.pods.set(pod.metadata.uid ?? "", pod);
    const { namespace = "", name = "" } = pod.metadata;
    await this.#rest.emit("pod.changed", { type: "pod", namespace, name, object: pod });
  }

  /** The row is gone: what a forced deletion looks like. */
  async forget(pod: Pod): Promise<void> {
    this.pods.delete(pod.metadata.uid ?? "");
    const { namespace = "", name = "" } = pod.metadata;
    await this.#rest.emit("pod.changed", { type: "pod", namespace, name, object: undefined });
  }

  async configure(type: string, name: string, object: KubeObject): Promise<void> {
    this.objects.set(`default/${type}/${name}`, object);
    await this.#rest.emit("config.changed", { type, namespace: "default", name, object });
  }

  async link(connected: boolean): Promise<void> {
    await this.#rest.emit("link.changed", { connected, reason: "test" });
  }

  async removeVolume(volume: KubeObject): Promise<void> {
    await this.#rest.ask("volume.remove", { volume });
  }

  status(uid: string): PodStatus | undefined {
    return this.statuses.get(uid)?.at(-1);
  }

  reasons(): string[] {
    return this.events.map((event) => event.reason);
  }

  /** Waits until something that edged reports makes the condition true. */
  async until(what: string, condition: () => boolean, limitMs = 45_000): Promise<void> {
    const done = Promise.withResolvers<void>();
    const check = (): void => {
      if (condition()) done.resolve();
    };
    const timer = setTimeout(() => done.reject(new Error(`not seen: ${what}\n${this.#state()}`)), limitMs);
    this.#waiting.add(check);
    check();
    try {
      await done.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(check);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.bus[Symbol.dispose]();
  }

  #changed(): void {
    for (const check of this.#waiting) check();
  }

  #state(): string {
    const last = [...this.statuses].map(([uid, list]) => `${uid}: ${JSON.stringify(list.at(-1))}`);
    return [
      ...last,
      ...this.events.map((one) => `${one.reason} ${one.message}`),
      ...this.log.lines,
      ...this.errors,
    ].join("\n");
  }
}
