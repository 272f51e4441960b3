import { randomUUID } from "node:crypto";
import { objectKey } from "#shared/kube";
import type { NodeMessage } from "#shared/topics";
import { responseTo } from "#shared/wire";
import { type Bindings } from "./bindings.ts";
import { readDiscovered, type DiscoveredDevices } from "./discovered.ts";
import { member } from "./downstream.ts";
import type { DeviceControllerParts } from "./index.ts";
import { readStateReport, readTwinReport, type Report } from "./reports.ts";
import type { StatusWriter } from "./status-writer.ts";

export interface UpstreamUses {
  readonly bindings: Bindings;
  readonly writer: StatusWriter;
  /** undefined: what nodes find does not become objects */
  readonly discovered: DiscoveredDevices | undefined;
}

/** What nodes say of their devices. */
export class Upstream {
  readonly #parts: DeviceControllerParts;
  readonly #bindings: Bindings;
  readonly #writer: StatusWriter;
  readonly #discovered: DiscoveredDevices | undefined;

  constructor(parts: DeviceControllerParts, { bindings, writer, discovered }: UpstreamUses) {
    this.#parts = parts;
    this.#bindings = bindings;
    this.#writer = writer;
    this.#discovered = discovered;
  }

  receive(message: NodeMessage): void {
    const resource = (message.message.route.resource ?? "").replace(`node/${message.node}/`, "");
    const { content } = message.message;
    if (resource === "membership/detail") return this.#tellMembers(message);
    if (/^device\/[^/]+\/discovered$/.test(resource)) return this.#offer(message);
    const about = /^device\/(.+?)\/(twin\/edge_updated|state\/update|state)$/.exec(resource);
    if (!about) return this.#reply(message);
    const report = about[2] === "twin/edge_updated" ? readTwinReport(content) : readStateReport(content);
    this.#take(message, about[1] ?? "", report);
  }

  #take(message: NodeMessage, id: string, report: Report | undefined): void {
    const device = report && this.#bindings.find(message.node, id, report.deviceUid);
    if (!device) {
      this.#parts.log.debug("node reported a device it does not have, or nothing readable", {
        node: message.node,
        device: id,
      });
      return this.#reply(message);
    }
    this.#writer.submit(objectKey(device), report, () => this.#reply(message));
  }

  #offer(message: NodeMessage): void {
    const found = this.#discovered && readDiscovered(message.message.content, message.node);
    if (found) this.#discovered?.submit(found, () => this.#reply(message));
    else this.#reply(message);
  }

  /** A second answer to a message that was answered is ignored by the node: reports may come again. */
  #reply({ node, message }: NodeMessage, content: unknown = "OK", resource = "twin"): void {
    const { port, clock, log } = this.#parts;
    const stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
    const answer = responseTo(stamp, message, content, { source: "devicecontroller", group: "twin" });
    port
      .ask("node.send", { node, message: { ...answer, route: { ...answer.route, resource } } })
      .catch((error: unknown) => log.debug("cannot answer a node", { node, error }));
  }

  #tellMembers(message: NodeMessage): void {
    const devices = this.#bindings
      .devicesOf(message.node)
      .map((device) => member(this.#bindings.idOf(device), device));
    const content = { event_id: randomUUID(), timestamp: this.#parts.clock.nowMs(), devices };
    this.#reply(message, content, "membership/detail");
  }
}
