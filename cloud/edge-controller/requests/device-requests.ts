import { recordEvent, type EventDeps } from "#cloud/controllers/framework";
import {
  jsonBytesOf,
  largest,
  readDesiredValues,
  type EventSubject,
  type WriteGate,
} from "#cloud/edge-controller/node-authorization";
import { quote } from "#shared/errors";
import type { Device } from "#shared/kube";
import type { CloudCatalog, Desired, DesiredConflict, NodeAnswer, NodeRequest } from "#shared/topics";
import { nodeBadRequest, nodeForbidden, objectAnswer } from "./answers.ts";
import type { NodeRequestHandlers } from "./queues.ts";

type Desire = CloudCatalog["device.desire"];

export interface DeviceRequestsOptions extends EventDeps {
  readonly gate: WriteGate;
  /** Whether a Device is of the node, or a DeviceModel of one of its Devices. */
  readonly ownsDevice: (node: string, about: Omit<EventSubject, "uid">) => Promise<boolean>;
  readonly desire: (request: Desire["body"]) => Promise<Desire["reply"]>;
}

const devicesType = {
  group: "devices.kubeedge.io",
  version: "v1beta1",
  plural: "devices",
  kind: "Device",
  namespaced: true,
} as const;

/** Desired values that were set on a node: of Devices, a node may change nothing else, and of its own ones only. */
export class DeviceRequests {
  readonly #options: DeviceRequestsOptions;

  constructor(options: DeviceRequestsOptions) {
    this.#options = options;
  }

  handlers(): NodeRequestHandlers {
    return [["Device/desired patch", (request, receivedMs) => this.#desire(request, receivedMs)]];
  }

  async #desire({ node, namespace, name, content }: NodeRequest, receivedMs: number): Promise<NodeAnswer> {
    const { gate, ownsDevice, desire } = this.#options;
    gate.open(node, "desired values");
    gate.fits(node, "desired values of a Device", {
      bytes: jsonBytesOf(content),
      limit: largest.desiredValues,
    });
    const local = readDesiredValues(content);
    if (!local) throw nodeBadRequest("desired values of a Device were expected");
    if (!(await ownsDevice(node, { kind: "Device", namespace, name })))
      throw nodeForbidden("devices", name, `it is not of node "${node}"`);
    const { device, isWritten, conflicts } = await desire({ node, namespace, name, receivedMs, ...local });
    if (isWritten) gate.spend(node, "desired values", device);
    for (const conflict of conflicts) await this.#record(node, device, conflict);
    return objectAnswer(device);
  }

  /** The user who set the value that is not in effect finds on the Device what became of it. */
  #record(node: string, device: Device, conflict: DesiredConflict): Promise<void> {
    const { property, winner, nodeValue, apiValue, why } = conflict;
    const [ofNode, ofApi] = [`${shown(nodeValue)} set on node ${node}`, `${shown(apiValue)} set in the API`];
    const message =
      winner === "node"
        ? `${property}: ${ofApi} was replaced by ${ofNode}: ${why}`
        : `${property}: ${ofNode} was dropped, ${ofApi} stays: ${why}`;
    const reason = winner === "node" ? "DesiredValueReplaced" : "DesiredValueDropped";
    return recordEvent(this.#options, devicesType, device, {
      type: "Warning",
      reason,
      message,
      component: "cloudcore",
    });
  }
}

function shown(value: Desired): string {
  return value === null ? "no value" : quote(value.slice(0, 100));
}
