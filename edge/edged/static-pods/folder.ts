import { watch, type FSWatcher } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { objectKey, type Pod } from "#shared/kube";
import type { Logger } from "#shared/log";
import { KeptPods } from "./kept-pods.ts";
import { readPod } from "./read-pod.ts";

export interface PodFolderOptions {
  readonly path: string;
  readonly nodeName: string;
  /** Where the last usable contents of files are kept. */
  readonly keptDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** All pods of the folder, after something changed. */
  readonly onPods: (pods: readonly Pod[]) => void;
}

/** kubelet: fileCheckFrequency; where the kernel tells of changes they are seen at once. */
const lookEveryMs = 20_000;
/** So that a file that is being written is read once. */
const settleMs = 500;
/** etcd takes no larger object. */
const largestBytes = 1_048_576;

interface KnownFile {
  /** Tells whether it changed. */
  readonly mark: string;
  /** Of its last contents that were a pod. */
  readonly pod: Pod | undefined;
}

/**
 * A folder of pods, one a file, as kubelet's staticPodPath. A file that cannot be used is reported once, and leaves the pod that it
 * was before, also when edgecore was restarted since; names that begin with a dot are left out.
 */
export class PodFolder implements AsyncDisposable {
  readonly #options: PodFolderOptions;
  readonly #kept: KeptPods;
  #files: ReadonlyMap<string, KnownFile> = new Map();
  #watcher: FSWatcher | undefined;
  #timer: Disposable | undefined;
  #reading: Promise<void> | undefined;
  #isDirty = false;
  #closed = false;
  #problem: string | undefined;
  #doubles = "";
  #isRead = false;

  constructor(options: PodFolderOptions) {
    this.#options = options;
    this.#kept = new KeptPods(options.keptDir);
  }

  /** Whether it is known of every file of the folder which pod it is. */
  get isRead(): boolean {
    return this.#isRead && [...this.#files.values()].every(({ pod }) => pod !== undefined);
  }

  /** Reads the folder; from then on whenever it changes. */
  async start(): Promise<void> {
    await this.#read();
    this.#next();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#watcher?.close();
    await this.#reading;
  }

  #next(): void {
    if (this.#closed) return;
    this.#watch();
    this.#after(this.#isDirty ? settleMs : lookEveryMs);
  }

  #after(ms: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(ms, () => {
      this.#isDirty = false;
      this.#reading = this.#read().finally(() => {
        this.#reading = undefined;
        this.#next();
      });
    });
  }

  /** The folder may be made later, or be replaced: a watcher that fails is made again with the next look. */
  #watch(): void {
    if (this.#watcher) return;
    try {
      const watcher = watch(this.#options.path, () => this.#touch());
      watcher.on("error", () => this.#unwatch(watcher));
      this.#watcher = watcher;
    } catch {
      // No folder, or no inotify: it is looked at in intervals.
    }
  }

  #unwatch(watcher: FSWatcher): void {
    watcher.close();
    if (this.#watcher === watcher) this.#watcher = undefined;
  }

  #touch(): void {
    if (this.#closed || this.#isDirty) return;
    this.#isDirty = true;
    if (!this.#reading) this.#after(settleMs);
  }

  async #read(): Promise<void> {
    const names = await this.#names();
    if (!names || this.#closed) return;
    const files = new Map<string, KnownFile>();
    for (const name of names) {
      const found = await this.#readFile(name);
      if (found) files.set(name, found);
    }
    if (this.#closed) return;
    const isSame =
      files.size === this.#files.size &&
      [...files].every(([name, { pod }]) => this.#files.get(name)?.pod === pod);
    this.#files = files;
    if (!isSame || !this.#isRead) this.#keep();
    this.#isRead = true;
    if (!isSame) this.#options.onPods(this.#pods());
  }

  /** A disk that is full, or read-only, must not keep pods from running. */
  #keep(): void {
    const { path, log } = this.#options;
    const files = [...this.#files].map(([name, { pod }]) => ({ file: join(path, name), pod }));
    try {
      this.#kept.retain(files.map(({ file }) => file));
      for (const { file, pod } of files) if (pod) this.#kept.keep(file, pod);
    } catch (error) {
      log.debug("cannot keep the contents of static pods", { error });
    }
  }

  /** None without a folder; undefined when it cannot be read: then everything stays. */
  async #names(): Promise<readonly string[] | undefined> {
    const { path, log } = this.#options;
    try {
      const names = await readdir(path);
      this.#problem = undefined;
      return names.filter((name) => !name.startsWith(".")).toSorted();
    } catch (error) {
      this.#watcher?.close();
      this.#watcher = undefined;
      const problem = describeError(error);
      if (/ENOENT/.test(problem)) return [];
      if (problem !== this.#problem) log.warn("cannot read the folder of static pods", { path, error });
      this.#problem = problem;
      return undefined;
    }
  }

  async #readFile(name: string): Promise<KnownFile | undefined> {
    const { path, nodeName } = this.#options;
    const file = join(path, name);
    const before = this.#files.get(name);
    try {
      const found = await stat(file, { bigint: true });
      if (!found.isFile()) return undefined;
      const mark = `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
      if (before?.mark === mark) return before;
      if (found.size > largestBytes)
        return this.#refuse(file, before, mark, `larger than ${largestBytes} bytes`);
      const { pod, fault } = readPod(await readFile(file, "utf8"), file, nodeName);
      if (!pod) return this.#refuse(file, before, mark, fault);
      const isSame = pod.metadata.uid === before?.pod?.metadata.uid;
      return { mark, pod: isSame ? before?.pod : pod };
    } catch (error) {
      // Removed meanwhile, as when it is replaced; or a link that leads nowhere.
      const text = describeError(error);
      return /ENOENT/.test(text) ? undefined : this.#refuse(file, before, text, text);
    }
  }

  #refuse(file: string, before: KnownFile | undefined, mark: string, reason: string): KnownFile {
    const pod = before ? before.pod : this.#kept.find(file);
    if (before?.mark !== mark)
      this.#options.log.warn("a static pod cannot be used", { file, reason, keeps: pod !== undefined });
    return { mark, pod };
  }

  /** Of files that name the same pod the first counts, as in kubelet. */
  #pods(): Pod[] {
    const pods = new Map<string, Pod>();
    const doubles: string[] = [];
    for (const [name, { pod }] of this.#files) {
      if (!pod) continue;
      const key = objectKey(pod);
      if (pods.has(key)) doubles.push(name);
      else pods.set(key, pod);
    }
    const text = doubles.join(" ");
    if (text !== "" && text !== this.#doubles)
      this.#options.log.warn("files name a static pod that another file names", { files: doubles });
    this.#doubles = text;
    return [...pods.values()];
  }
}
