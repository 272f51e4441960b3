import type { ContainerDetails, ContainerRuntime } from "#edge/runtime";

/**
 * The containers of one pod as the engine last described them. The engine's list is the truth, as in kubelet's PLEG: a
 * container is inspected when its phase changed or a hint made it stale, and the last details are kept until then. A
 * stale container is never missing: otherwise a pod would lose its sandbox when a hint arrives while another of its
 * containers is being inspected.
 */
export class PodContainers {
  readonly #runtime: ContainerRuntime;
  readonly #podUid: string;
  readonly #known = new Map<string, ContainerDetails>();
  readonly #stale = new Set<string>();
  #all: readonly ContainerDetails[] = [];

  constructor(runtime: ContainerRuntime, podUid: string) {
    this.#runtime = runtime;
    this.#podUid = podUid;
  }

  /** As of the last observation. */
  get all(): readonly ContainerDetails[] {
    return this.#all;
  }

  find(id: string): ContainerDetails | undefined {
    return this.#known.get(id);
  }

  /** Lists the pod's containers. An inspection that fails is repeated by the next observation. */
  async observe(): Promise<void> {
    const list = await this.#runtime.list(this.#podUid);
    const ids = new Set(list.map(({ id }) => id));
    for (const id of [...this.#known.keys(), ...this.#stale]) if (!ids.has(id)) this.#forget(id);
    const changed = list.filter(
      ({ id, phase }) => this.#stale.has(id) || this.#known.get(id)?.phase !== phase,
    );
    await Promise.all(changed.map(({ id }) => this.#inspect(id)));
    this.#all = [...this.#known.values()];
  }

  /** A container that was created just now. */
  add(details: ContainerDetails): void {
    this.#known.set(details.id, details);
    this.#all = [...this.#known.values()];
  }

  /** Removes it from the engine, running or not. */
  async remove({ id, identity }: ContainerDetails): Promise<void> {
    await (identity.role === "sandbox" ? this.#runtime.removeSandbox(id) : this.#runtime.remove(id));
  }

  /** The same with several, sandboxes last: an engine may remove the containers of a sandbox with it. */
  async removeAll(targets: readonly ContainerDetails[]): Promise<void> {
    const isSandbox = ({ identity }: ContainerDetails): boolean => identity.role === "sandbox";
    await Promise.all(targets.filter((one) => !isSandbox(one)).map((one) => this.remove(one)));
    await Promise.all(targets.filter(isSandbox).map((one) => this.remove(one)));
  }

  /** Something happened to a container: the next observation inspects it. */
  invalidate(id: string): void {
    this.#stale.add(id);
  }

  async #inspect(id: string): Promise<void> {
    // Before the call: a hint that arrives meanwhile asks for another inspection.
    this.#stale.delete(id);
    try {
      const details = await this.#runtime.inspect(id);
      if (details) this.#known.set(id, details);
      else this.#forget(id);
    } catch (error) {
      this.#stale.add(id);
      throw error;
    }
  }

  #forget(id: string): void {
    this.#known.delete(id);
    this.#stale.delete(id);
  }
}
