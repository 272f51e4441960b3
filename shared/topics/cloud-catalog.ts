import type { ByteStream, StreamHead } from "#shared/streams";
import type { Device } from "#shared/kube";
import type { DesiredConflict, LocalDesiredValues } from "./desired-values.ts";
import type { AckedObject, DeliveredObject, ObjectDelivery } from "./deliveries.ts";
import type {
  DeviceMember,
  DevicePlace,
  DeviceStatusReport,
  DiscoveredDevice,
  RuleStatusReport,
  HistoryAnswer,
  HistoryQuestion,
  MembershipDelivery,
} from "./device-reports.ts";
import type { NodeAnswer, NodeRequest } from "./node-requests.ts";
import type { RuleCommand, ServiceCall, ServiceReply, TargetRequest } from "./service-calls.ts";
import type { DeviceUpload } from "./uploads.ts";

/**
 * The topics of cloudcore's bus; see `EdgeCatalog`. Bodies say what is meant, in words of Kubernetes and
 * KubeEdge; how that looks on the link to a node is known to `cloud/cloud-hub/codec` alone. A section a subject: what is to
 * come gets its own.
 */
export interface CloudCatalog {
  // Sessions of nodes. Emitted by cloudhub, but for `node.close`.

  /**
   * `database`: the name of the database of the node, where it sends that. `streams`: it is our edgecore, which has byte
   * streams and confirms commands of rules; others are KubeEdge's.
   */
  "node.connected": {
    event: { readonly node: string; readonly database?: string | undefined; readonly streams?: boolean };
  };
  "node.disconnected": { event: { readonly node: string; readonly reason: string } };
  /** Close the session of a node, e.g. of one that was deleted. */
  "node.close": { event: { readonly node: string; readonly reason: string } };
  /** Compare what a connected node has with what it should have, and repair. Emitted by synccontroller, slowly, in turn. */
  "node.resync": { event: { readonly node: string } };
  /**
   * Ask a node whose objects came from another database to accept this one, by name. Rejects like `device.history`.
   * Answered by cloudhub once the node answered.
   */
  "database.adopt": {
    body: { readonly node: string; readonly database: string; readonly timeoutMs: number };
    reply: undefined;
  };

  // Objects of the API, from and to nodes.

  /** Answered by edgecontroller, the requests of a node in order. */
  "node.request": { body: NodeRequest; reply: NodeAnswer };
  /**
   * Deliver an object until the node acknowledges it. Answered by cloudhub once queued; a node that is not connected
   * gets nothing: it is compared when it connects.
   */
  "object.deliver": { body: ObjectDelivery; reply: undefined };
  /**
   * An object is about to be sent to a node: from now on it is recorded (version "0" until acknowledged), so that its
   * deletion reaches the node whatever happens. The reply is the version acknowledged so far. Answered by synccontroller.
   */
  "object.sending": { body: { readonly node: string; readonly object: DeliveredObject }; reply: string };
  /** The node acknowledged an object. */
  "object.acked": { event: AckedObject };
  /** Everything recorded as delivered to a node. Answered by synccontroller. */
  "object.delivered": { body: { readonly node: string }; reply: readonly DeliveredObject[] };

  // Devices and their twins. Answered by devicecontroller unless another is named; it may be disabled.

  /** Answered once the report is in the API, or when the API will never take it. */
  "device.report": { body: DeviceStatusReport; reply: undefined };
  /** Answered once Device and DeviceModel are in the API, or can never be. */
  "device.discovered": { body: DiscoveredDevice; reply: undefined };
  /** Answered when it is in the API, or never will be. */
  "device.rule-status": { body: RuleStatusReport; reply: undefined };
  /**
   * Desired values that were set on the node of a Device go into the API where they are newer than what that has. The reply is
   * the Device as it is then. Rejects KubeError, 404 when there is no such Device of the node. `receivedMs`: when the values
   * arrived, milliseconds since 1970.
   */
  "device.desire": {
    body: LocalDesiredValues & {
      readonly node: string;
      readonly namespace: string;
      readonly name: string;
      readonly receivedMs: number;
    };
    reply: {
      readonly device: Device;
      readonly isWritten: boolean;
      readonly conflicts: readonly DesiredConflict[];
    };
  };
  /** The devices of a node. */
  "membership.list": { body: { readonly node: string }; reply: readonly DeviceMember[] };
  /** Answered by cloudhub once sent. */
  "membership.deliver": { body: MembershipDelivery; reply: undefined };
  /** Where a Device is; undefined when there is no such Device. */
  "device.find": {
    body: { readonly namespace: string; readonly name: string };
    reply: DevicePlace | undefined;
  };
  /** Whether a Device is bound to the node, or a DeviceModel used by one that is. */
  "device.concerns": {
    body: {
      readonly node: string;
      readonly kind: "Device" | "DeviceModel";
      readonly namespace: string;
      readonly name: string;
    };
    reply: boolean;
  };
  /**
   * Ask the node for the history of a property. Rejects UnavailableError when the node is not connected, disconnects, or
   * does not answer in time. Answered by cloudhub.
   */
  "device.history": { body: HistoryQuestion; reply: HistoryAnswer };

  // Byte streams on the links of nodes, for services named in their heads.

  /**
   * Open a stream to a node. Rejects UnavailableError when the node is not connected, its edgecore has no streams (that of
   * KubeEdge), or too many are open; RangeError when the head is too long. Answered by cloudhub.
   */
  "stream.open": { body: { readonly node: string; readonly head: StreamHead }; reply: ByteStream };
  /**
   * A node opened a stream of service "kube-api". Answered once it is taken over, to be ended there. A rejection resets it
   * with the reason.
   */
  "api.stream": { body: { readonly node: string; readonly stream: ByteStream }; reply: undefined };

  // Rules.

  /**
   * Send a command of a rule to a node, once. The reply is whether the node confirmed that it carried it out: nodes of
   * KubeEdge do not. Rejects UnavailableError when the node is not connected, disconnects, cannot carry it out, or does not
   * confirm in time, and when 64 questions to the node wait already. Answered by cloudhub.
   */
  "rule.command": {
    body: { readonly node: string; readonly command: RuleCommand; readonly timeoutMs: number };
    reply: boolean;
  };
  /**
   * Call a server on a node with a JSON message, as KubeEdge does: for nodes without streams. Rejects as `rule.command`, and
   * ProtocolError when the reply of the node is none. Answered by cloudhub.
   */
  "service.call": {
    body: { readonly node: string; readonly call: ServiceCall; readonly timeoutMs: number };
    reply: ServiceReply;
  };
  /**
   * A device published something, and telemetry has it. The node keeps it until this is answered with true: the router has
   * it on disk as well, or no rule wants it. Answered by the router.
   */
  "rule.upload": { body: DeviceUpload; reply: boolean };
  /**
   * A program on a node calls a target of a rule. The reply is the text of the target's answer; a rejection reaches the program
   * with its message. Answered by the router.
   */
  "rule.request": { body: TargetRequest; reply: string };

  // What devices send to the cloud.

  /** Answered by telemetry once it is on disk; false: it is not, and the node has to keep it. */
  "device.upload": { body: DeviceUpload; reply: boolean };
}
