import type { Clock } from "#shared/clock";
import { AppError, describeError, UnavailableError } from "#shared/errors";
import { isMirrorPod, mirrorAnnotation, objectKey, type Pod } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { ApiAnswer, PodName } from "#shared/topics";

export interface MirrorsDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  /** Of the Node in the cloud; undefined while it is not registered. */
  readonly nodeUid: () => string | undefined;
  readonly create: (mirror: Pod) => Promise<ApiAnswer<Pod>>;
  /** A pod as the cloud has it. */
  readonly read: (namespace: string, name: string) => Promise<ApiAnswer<Pod>>;
  /** Removes a pod from the cloud. */
  readonly remove: (pod: PodName) => Promise<unknown>;
  /** A mirror is there, with its uid. */
  readonly onMirror: (pod: PodName) => void;
}

const firstRetryMs = 2000;
const longestRetryMs = 300_000;

/**
 * The mirrors of static pods in the cloud (kubelet's pkg/kubelet/pod/mirror_client.go): each is made, replaced when its pod changes,
 * made again when somebody deletes it, and removed with its pod.
 */
export class Mirrors implements AsyncDisposable {
  readonly #deps: MirrorsDeps;
  /** By key, what they should be. */
  #wanted: ReadonlyMap<string, Pod> = new Map();
  /** By key, as the cloud delivered them. */
  readonly #found = new Map<string, Pod>();
  #connected = false;
  #closed = false;
  #isDirty = false;
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #failures = 0;
  #said = "";

  constructor(deps: MirrorsDeps) {
    this.#deps = deps;
  }

  /** The mirror of a static pod, if the cloud has it and it is of these very contents. */
  find(pod: Pod): Pod | undefined {
    const found = this.#found.get(objectKey(pod));
    return found && hashOf(found) === pod.metadata.uid && isAlive(found) ? found : undefined;
  }

  want(pods: readonly Pod[]): void {
    this.#wanted = new Map(pods.map((pod) => [objectKey(pod), pod]));
    this.#wake();
  }

  /** The cloud delivered a mirror, or removed what had this name. */
  found(key: string, mirror: Pod | undefined): void {
    if (mirror) this.#found.set(key, mirror);
    else this.#found.delete(key);
    const wanted = this.#wanted.get(key);
    if (mirror && wanted && this.find(wanted)) this.#deps.onMirror(nameOf(mirror));
    this.#wake();
  }

  /** Whether a mirror has this name. */
  has(key: string): boolean {
    return this.#found.has(key);
  }

  linkChanged(connected: boolean): void {
    this.#connected = connected;
    this.#failures = 0;
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  #wake(): void {
    this.#isDirty = true;
    if (this.#connected && !this.#closed) this.#running ??= this.#loop();
  }

  async #loop(): Promise<void> {
    await Promise.resolve();
    while (this.#isDirty && this.#connected && !this.#closed) {
      this.#isDirty = false;
      this.#timer?.[Symbol.dispose]();
      try {
        await this.#reconcile();
        this.#failures = 0;
      } catch (error) {
        this.#retry(error);
      }
    }
    this.#running = undefined;
  }

  #retry(error: unknown): void {
    const text = describeError(error);
    const level = error instanceof UnavailableError || text === this.#said ? "debug" : "warn";
    this.#deps.log[level]("cannot show static pods to the cloud", { error: text });
    this.#said = text;
    const ms = Math.min(longestRetryMs, firstRetryMs * 2 ** Math.min(20, this.#failures));
    this.#failures += 1;
    this.#timer = this.#deps.clock.after(ms, () => this.#wake());
  }

  async #reconcile(): Promise<void> {
    for (const [key, mirror] of this.#found) {
      const wanted = this.#wanted.get(key);
      if (wanted && isAlive(mirror) && hashOf(mirror) === wanted.metadata.uid) continue;
      await this.#deps.remove(nameOf(mirror));
      this.#found.delete(key);
    }
    const failures: unknown[] = [];
    for (const [key, pod] of this.#wanted) {
      if (this.#closed || !this.#connected) return;
      if (this.#found.has(key)) continue;
      // One that the cloud refuses does not keep the others from it.
      await this.#create(pod).catch((error: unknown) => {
        if (error instanceof UnavailableError) throw error;
        failures.push(error);
      });
    }
    if (failures.length > 0) throw failures[0];
  }

  async #create(pod: Pod): Promise<void> {
    const { create, nodeName, nodeUid } = this.#deps;
    const uid = nodeUid();
    if (uid === undefined) throw new UnavailableError("node-unknown", "the Node is not registered yet");
    const { object, failure } = await create(mirrorOf(pod, { name: nodeName, uid }));
    const key = objectKey(pod);
    // Its status is reported once it is stored here: with its delivery.
    if (object && isMirrorPod(object)) this.#found.set(key, object);
    else if (failure?.reason === "AlreadyExists") await this.#replace(pod, key);
    else throw new AppError("mirror-refused", `${key}: ${failure?.message ?? failure?.reason ?? "refused"}`);
  }

  /** Something of this name is there already: this very mirror, an earlier one, or another pod. */
  async #replace(pod: Pod, key: string): Promise<void> {
    const { nodeName, read, remove, log } = this.#deps;
    const { namespace = "default", name = "", uid } = pod.metadata;
    const { object: other } = await read(namespace, name);
    if (!other) throw new UnavailableError("mirror-unknown", `${key} exists, and cannot be read`);
    if (!isMirrorPod(other) || other.spec.nodeName !== nodeName) {
      log.warn("a static pod has the name of another pod in the cloud", { pod: key });
      throw new UnavailableError("mirror-taken", `${key} is another pod`);
    }
    if (isAlive(other) && hashOf(other) === uid) return void this.#found.set(key, other);
    await remove(nameOf(other));
    throw new UnavailableError("mirror-old", `${key} is an earlier mirror, which is being removed`);
  }
}

/** The copy of a static pod for the API. */
function mirrorOf(pod: Pod, node: { readonly name: string; readonly uid: string }): Pod {
  const { uid = "", ...metadata } = pod.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...metadata,
      annotations: { ...metadata.annotations, [mirrorAnnotation]: uid },
      ownerReferences: [{ apiVersion: "v1", kind: "Node", ...node, controller: true }],
    },
    spec: pod.spec,
  };
}

function hashOf({ metadata }: Pod): string | undefined {
  return metadata.annotations?.[mirrorAnnotation];
}

function isAlive({ metadata }: Pod): boolean {
  return metadata.deletionTimestamp === undefined;
}

function nameOf({ metadata: { namespace = "default", name = "", uid = "" } }: Pod): PodName {
  return { namespace, name, uid };
}
