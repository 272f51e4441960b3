import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { AllocatedContainer, PluginClient } from "#edge/runtime/device-plugins";

/** More of one resource are a mistake, or meant to exhaust the node. */
const mostDevices = 10_000;

/** One plugin that has registered, and its devices. */
export class Plugin implements AsyncDisposable {
  readonly resource: string;
  readonly #client: PluginClient;
  readonly #log: Logger;
  readonly #onChange: () => void;
  readonly #closed = new AbortController();
  readonly #watching: Promise<void>;
  /** By id, whether it is healthy. */
  #devices: ReadonlyMap<string, boolean> = new Map();
  #isConnected = true;

  constructor(
    resource: string,
    client: PluginClient,
    { log, onChange }: { readonly log: Logger; readonly onChange: () => void },
  ) {
    this.resource = resource;
    this.#client = client;
    this.#log = log;
    this.#onChange = onChange;
    this.#watching = this.#watch();
  }

  get count(): number {
    return this.#devices.size;
  }

  /** Ids of devices that may be given out. */
  get healthy(): string[] {
    return this.#isConnected ? [...this.#devices].flatMap(([id, healthy]) => (healthy ? [id] : [])) : [];
  }

  /** `count` of the available ones: those the plugin prefers, else the first. */
  async choose(available: readonly string[], reusable: readonly string[], count: number): Promise<string[]> {
    const first = [...reusable, ...available.filter((id) => !reusable.includes(id))];
    const { getPreferredAllocationAvailable } = await this.#client.options();
    if (!getPreferredAllocationAvailable) return first.slice(0, count);
    const must = reusable.slice(0, count);
    const preferred = new Set(await this.#client.prefer(first, must, count));
    const isSound = preferred.size === count && [...preferred].every((id) => first.includes(id));
    if (isSound && must.every((id) => preferred.has(id))) return [...preferred];
    this.#log.warn("a device plugin prefers devices that it was not offered", { resource: this.resource });
    return first.slice(0, count);
  }

  allocate(ids: readonly string[]): Promise<AllocatedContainer> {
    return this.#client.allocate(ids);
  }

  async preStart(ids: readonly string[]): Promise<void> {
    const { preStartRequired } = await this.#client.options();
    if (preStartRequired) await this.#client.preStart(ids);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#client[Symbol.dispose]();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { resource } = this;
    try {
      for await (const devices of this.#client.watch(this.#closed.signal)) {
        if (devices.length > mostDevices)
          this.#log.warn("a device plugin has too many devices", { resource, devices: devices.length });
        const kept = devices.slice(0, mostDevices);
        this.#devices = new Map(kept.map(({ ID, health }) => [ID, health === "Healthy"]));
        this.#onChange();
      }
    } catch (error) {
      if (!this.#closed.signal.aborted)
        this.#log.info("a device plugin has ended", { resource, error: describeError(error) });
    }
    this.#isConnected = false;
    if (!this.#closed.signal.aborted) this.#onChange();
  }
}
