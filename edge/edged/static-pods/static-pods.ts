import { isMirrorPod, isStaticPod, objectKey, type Pod, type PodStatus } from "#shared/kube";
import type { ObjectChange, PodName } from "#shared/topics";
import { PodFolder } from "./folder.ts";
import { isStaticUid } from "./read-pod.ts";
import { Mirrors, type MirrorsDeps } from "./mirrors.ts";

export interface StaticPodsDeps extends Omit<MirrorsDeps, "onMirror"> {
  /** The folder; undefined: there are no static pods. */
  readonly path: string | undefined;
  /** Where what the files last said is kept. */
  readonly keptDir: string;
  /** Runs a pod. */
  readonly run: (pod: Pod) => void;
  /** Ends a pod with its grace period; `removed` is called when nothing of it is left. */
  readonly end: (uid: string) => void;
  readonly statusOf: (uid: string) => PodStatus | undefined;
  /** The status of a pod of the API. */
  readonly report: (pod: PodName, status: PodStatus) => Promise<void>;
}

/**
 * Pods that files on this node describe. They run without the cloud, and are shown to it as mirror pods, which take their status and
 * nothing else: what the cloud makes of those changes nothing here.
 */
export class StaticPods implements AsyncDisposable {
  readonly #deps: StaticPodsDeps;
  readonly #mirrors: Mirrors;
  readonly #folder: PodFolder | undefined;
  /** By key, what the files say. */
  #wanted: ReadonlyMap<string, Pod> = new Map();
  /** By key: uid of the pod that runs, or still ends. One follows another of its name when that is gone. */
  readonly #running = new Map<string, string>();

  constructor(deps: StaticPodsDeps) {
    const { path, keptDir, nodeName, clock, log } = deps;
    this.#deps = deps;
    this.#mirrors = new Mirrors({ ...deps, onMirror: (mirror) => this.#show(mirror) });
    this.#folder =
      path === undefined
        ? undefined
        : new PodFolder({ path, keptDir, nodeName, clock, log, onPods: (pods) => this.#take(pods) });
  }

  /** `stored`: pods that the cloud gave to this node earlier; returns those that are no mirrors. */
  async start(stored: readonly Pod[]): Promise<Pod[]> {
    for (const pod of stored) if (isMirrorPod(pod)) this.#mirrors.found(objectKey(pod), pod);
    await this.#folder?.start();
    return stored.filter((pod) => !isMirrorPod(pod) && !this.#wanted.has(objectKey(pod)));
  }

  /** Whether a change in the cloud is about a mirror, or about a pod with the name of a static one, which does not run here. */
  takes({ namespace, name, object }: ObjectChange): boolean {
    const key = `${namespace}/${name}`;
    // Objects of `pod.changed` are pods.
    const pod = object as Pod | undefined;
    const isMirror = pod ? isMirrorPod(pod) : this.#mirrors.has(key);
    if (isMirror) this.#mirrors.found(key, pod);
    else if (!this.#wanted.has(key)) return false;
    else if (pod) this.#deps.log.warn("not running a pod with the name of a static pod", { pod: key });
    return true;
  }

  /** The status of a pod of a file goes to its mirror. @returns false for other pods */
  reports(pod: Pod, status: PodStatus): Promise<void> | undefined {
    if (!isStaticPod(pod)) return undefined;
    const mirror = this.#mirrors.find(pod);
    const { namespace = "default", name = "", uid = "" } = mirror?.metadata ?? {};
    return mirror ? this.#deps.report({ namespace, name, uid }, status) : Promise.resolve();
  }

  /** The uid of the mirror of a static pod. */
  mirrorOf(pod: Pod): string | undefined {
    return isStaticPod(pod) ? this.#mirrors.find(pod)?.metadata.uid : undefined;
  }

  /** Whether a uid is that of a pod of a file that is no longer there. */
  isOrphan(uid: string): boolean {
    return isStaticUid(uid) && this.#folder?.isRead !== false && !this.#runs(uid);
  }

  /** Whether a uid may be that of a pod of a file that cannot be used, or of a folder that cannot be read: what is there of it stays. */
  mayHave(uid: string): boolean {
    return isStaticUid(uid) && this.#folder?.isRead === false && !this.#runs(uid);
  }

  /** Nothing is left of a pod. */
  removed(pod: Pod): void {
    if (!isStaticPod(pod)) return;
    const key = objectKey(pod);
    if (this.#running.get(key) === pod.metadata.uid) this.#running.delete(key);
    this.#step(key);
  }

  linkChanged(connected: boolean): void {
    this.#mirrors.linkChanged(connected);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder?.[Symbol.asyncDispose]();
    await this.#mirrors[Symbol.asyncDispose]();
  }

  #runs(uid: string): boolean {
    return [...this.#running.values()].includes(uid);
  }

  #take(pods: readonly Pod[]): void {
    this.#wanted = new Map(pods.map((pod) => [objectKey(pod), pod]));
    for (const key of new Set([...this.#running.keys(), ...this.#wanted.keys()])) this.#step(key);
    this.#mirrors.want(pods);
  }

  #step(key: string): void {
    const wanted = this.#wanted.get(key);
    const running = this.#running.get(key);
    if (running !== undefined) {
      if (running !== wanted?.metadata.uid) this.#deps.end(running);
      return;
    }
    if (!wanted) return;
    this.#running.set(key, wanted.metadata.uid ?? "");
    const { status } = this.#mirrors.find(wanted) ?? {};
    this.#deps.run(status ? { ...wanted, status } : wanted);
  }

  #show(mirror: PodName): void {
    const pod = this.#wanted.get(`${mirror.namespace}/${mirror.name}`);
    const status = pod && this.#deps.statusOf(pod.metadata.uid ?? "");
    if (status) void this.#deps.report(mirror, status);
  }
}
