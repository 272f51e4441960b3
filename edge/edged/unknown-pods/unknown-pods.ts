import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { PodName, PodVerdict } from "#shared/topics";
import { readPodName, removePodDir, type ReadMounts } from "#edge/edged/volumes";
import type { ContainerRuntime, ContainerSummary, StrayContainer } from "#edge/runtime";
import { isInUse } from "./in-use.ts";

export interface UnknownPodsOptions {
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly dataDir: string;
  readonly readMounts?: ReadMounts | undefined;
  /** Asks the cloud about one pod; "unknown" without a certain answer. */
  readonly confirm: (pod: PodName) => Promise<PodVerdict>;
  readonly isKnown: (uid: string) => boolean;
  /** Whether a pod that is not known came from a file of this node: the cloud is not asked then. */
  readonly isOrphan: (uid: string) => boolean;
  /** Containers of a pod were removed, and why. */
  readonly onRemoved: (pod: PodName, containers: number, why: string) => void;
}

/** An answer can change only with the pod; a minute keeps a node with many unknown pods from loading the cloud. */
const askAgainMs = 60_000;

/**
 * Containers and directories of pods that the database does not know: an older database was restored, edgecore was
 * killed while it removed a pod, or the node had another data directory before. They are kept until the cloud confirms
 * that this very pod does not exist; without a link nothing is removed.
 */
export class UnknownPods implements AsyncDisposable {
  readonly #options: UnknownPodsOptions;
  readonly #busy = new Map<string, Promise<void>>();
  /** By uid: when to ask again. */
  readonly #askedAt = new Map<string, number>();
  #connected = false;
  #closed = false;
  #timer: Disposable | undefined;

  constructor(options: UnknownPodsOptions) {
    this.#options = options;
  }

  linkChanged(connected: boolean): void {
    this.#connected = connected;
    this.#askedAt.clear();
    this.#timer?.[Symbol.dispose]();
    if (connected) this.#lookForStrays();
  }

  /** Searches the engine's list and the directories of pods for unknown ones. */
  look(list: readonly ContainerSummary[]): void {
    const { isKnown, isOrphan, dataDir } = this.#options;
    const uids = new Set(list.map(({ identity }) => identity.podUid));
    for (const uid of readdirSync(join(dataDir, "pods"))) uids.add(uid);
    for (const uid of uids) {
      if (isKnown(uid) || !(this.#connected || isOrphan(uid)) || !this.#isDue(uid)) continue;
      const containers = list.filter(({ identity }) => identity.podUid === uid);
      this.#run(uid, () => this.#settle(uid, containers));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await Promise.all(this.#busy.values());
  }

  #isDue(key: string): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const askedAt = this.#askedAt.get(key);
    if (this.#busy.has(key) || (askedAt !== undefined && nowMs - askedAt < askAgainMs)) return false;
    this.#askedAt.set(key, nowMs);
    return true;
  }

  #run(key: string, work: () => Promise<void>): void {
    const done = work()
      .catch((error: unknown) => {
        if (!this.#closed)
          this.#options.log.warn("cannot check an unknown pod", { key, error: describeError(error) });
      })
      .finally(() => this.#busy.delete(key));
    this.#busy.set(key, done);
  }

  async #settle(uid: string, containers: readonly ContainerSummary[]): Promise<void> {
    const { confirm, isKnown, log, dataDir } = this.#options;
    const podDir = join(dataDir, "pods", uid);
    const pod = nameOf(uid, containers) ?? nameFromDir(uid, podDir);
    if (!pod) return log.debug("keeping a directory that is not named for a pod", { uid });
    const isOrphan = this.#options.isOrphan(uid);
    const verdict = isOrphan ? "gone" : await confirm(pod);
    if (verdict !== "gone" || isKnown(uid) || this.#closed) return;
    const why = isOrphan ? "its file is gone" : "the cluster does not know this pod";
    await this.#remove(pod, containers, why);
    if (existsSync(podDir)) await removePodDir(podDir, this.#options);
  }

  async #remove(pod: PodName, containers: readonly ContainerSummary[], why: string): Promise<void> {
    const { runtime, log, onRemoved } = this.#options;
    const { namespace, name, uid } = pod;
    log.warn("removing an unknown pod", {
      pod: `${namespace}/${name}`,
      uid,
      containers: containers.length,
      why,
    });
    const found = Map.groupBy(containers, ({ identity }) => identity.role === "sandbox");
    // An engine may end containers at once with their sandbox: they have time to end first.
    for (const targets of [found.get(false) ?? [], found.get(true) ?? []])
      await Promise.all(targets.map((one) => stopAndRemove(runtime, one)));
    onRemoved(pod, containers.length, why);
  }

  #lookForStrays(): void {
    this.#run("strays", () => this.#settleStrays());
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(askAgainMs, () => {
      if (this.#connected && !this.#closed) this.#lookForStrays();
    });
  }

  async #settleStrays(): Promise<void> {
    const strays = await this.#options.runtime.listStrays();
    const dirs = new Set(strays.map(({ dataDir }) => dataDir).filter((dir) => this.#isAbandoned(dir)));
    const pods = Map.groupBy(
      strays.filter(({ dataDir }) => dirs.has(dataDir)),
      ({ identity }) => identity.podUid,
    );
    for (const [uid, containers] of pods) await this.#settleStray(uid, containers);
  }

  /** A pod that is still desired is created again from here: its name and its ports have to be free for that. */
  async #settleStray(uid: string, containers: readonly StrayContainer[]): Promise<void> {
    const pod = nameOf(uid, containers);
    if (!pod || this.#closed || (await this.#options.confirm(pod)) === "unknown") return;
    const dirs = [...new Set(containers.map(({ dataDir }) => dataDir))].join(", ");
    await this.#remove(pod, containers, `it belongs to the abandoned data directory ${dirs} of this node`);
  }

  /** No edgecore runs there, and it is not of another cluster. */
  #isAbandoned(dir: string): boolean {
    if (!existsSync(dir)) return true;
    const real = realpathSync(dir);
    const { dataDir, log } = this.#options;
    if (isInUse(real)) return false;
    const [ours, theirs] = [readCa(dataDir), readCa(real)];
    const isForeign = ours !== undefined && theirs !== undefined && ours !== theirs;
    if (isForeign)
      log.info("keeping containers of a node of this name in another cluster", { "data-dir": dir });
    return !isForeign;
  }
}

async function stopAndRemove(
  runtime: ContainerRuntime,
  { id, identity, phase }: ContainerSummary,
): Promise<void> {
  const isRunning = phase === "running";
  if (identity.role === "sandbox") {
    if (isRunning) await runtime.stopSandbox(id);
    await runtime.removeSandbox(id);
  } else {
    if (isRunning) await runtime.stop(id, identity.graceSeconds);
    await runtime.remove(id);
  }
}

function nameOf(uid: string, [first]: readonly ContainerSummary[]): PodName | undefined {
  if (!first) return undefined;
  const { podNamespace: namespace, podName: name } = first.identity;
  return namespace === "" || name === "" ? undefined : { namespace, name, uid };
}

function nameFromDir(uid: string, podDir: string): PodName | undefined {
  if (!existsSync(podDir)) return undefined;
  const [namespace = "", name = ""] = readPodName(podDir)?.split("/") ?? [];
  return namespace === "" || name === "" ? undefined : { namespace, name, uid };
}

function readCa(dataDir: string): string | undefined {
  const file = join(dataDir, "certs/rootCA.crt");
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}
