import type { ContainerIdentity, ContainerRuntime, ContainerSpec, SandboxSpec } from "#edge/runtime";
import * as plain from "./plain-specs.ts";

/** Each test has a pod of its own, so that a container of another cannot be meant. */
export class PodUnderTest implements AsyncDisposable {
  readonly runtime: ContainerRuntime;
  readonly uid = crypto.randomUUID();

  readonly #image: string;
  readonly #network: SandboxSpec["network"];

  /** @param network one of its own by default */
  constructor(runtime: ContainerRuntime, image: string, network = plain.sandbox.network) {
    this.runtime = runtime;
    this.#image = image;
    this.#network = network;
  }

  identity(
    container: string,
    role: ContainerIdentity["role"] = "container",
    sandboxId = "s",
  ): ContainerIdentity {
    return {
      podName: "web",
      podNamespace: "default",
      podUid: this.uid,
      container,
      role,
      attempt: 0,
      specHash: role === "sandbox" ? "" : "h",
      sandboxId: role === "sandbox" ? "" : sandboxId,
      graceSeconds: 1,
    };
  }

  sandboxSpec(over: Partial<SandboxSpec> = {}): SandboxSpec {
    return {
      ...plain.sandbox,
      identity: this.identity("POD", "sandbox"),
      network: this.#network,
      ...over,
    };
  }

  async spec(container: string, over: Partial<ContainerSpec> = {}): Promise<ContainerSpec> {
    const sandboxId = await this.#sandbox();
    return {
      ...plain.container,
      identity: this.identity(container, "container", sandboxId),
      sandbox: this.sandboxSpec(),
      image: this.#image,
      command: ["sleep", "1000"],
      ...over,
    };
  }

  /** @returns the id of a container that runs */
  async start(container: string, over: Partial<ContainerSpec> = {}): Promise<string> {
    const id = await this.runtime.create(await this.spec(container, over));
    await this.runtime.start(id);
    return id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id, identity } of await this.runtime.list(this.uid))
      await (identity.role === "sandbox" ? this.runtime.removeSandbox(id) : this.runtime.remove(id));
    await this.runtime[Symbol.asyncDispose]();
  }

  async #sandbox(): Promise<string> {
    const list = await this.runtime.list(this.uid);
    const found = list.find(({ identity }) => identity.role === "sandbox");
    return found?.id ?? (await this.runtime.runSandbox(this.sandboxSpec())).id;
  }
}
