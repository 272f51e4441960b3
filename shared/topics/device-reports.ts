import type { Device, DeviceModel, DeviceRuleStatus, TwinValue } from "#shared/kube";

/** What a node reports of one of its devices. */
export type DeviceStatusReport = TwinsReport | StateReport;

interface ReportedDevice {
  readonly node: string;
  /** As the node calls it: its name, or `<namespace>/<name>` where another device has the name. */
  readonly device: string;
  /** Of the Device object the node knew. Nodes of KubeEdge do not send it. */
  readonly deviceUid: string | undefined;
  /** When the node made the report, by its clock, milliseconds since 1970; absent where it does not send that. */
  readonly madeMs: number | undefined;
}

export interface TwinsReport extends ReportedDevice {
  readonly kind: "twins";
  /** property → its values; null: the twin was deleted */
  readonly twins: ReadonlyMap<string, ReportedTwin | null>;
}

export interface StateReport extends ReportedDevice {
  readonly kind: "state";
  readonly state: string;
}

/** Absent: the node has no such value, or (of KubeEdge) it did not change. */
export interface ReportedTwin {
  readonly reported?: TwinValue;
  readonly observedDesired?: TwinValue;
}

/** A device that announced itself to a node (Home Assistant's discovery), described as far as it announced. */
export interface DiscoveredDevice {
  readonly node: string;
  readonly device: Device;
  readonly model: DeviceModel;
}

/** What a node counts of a DeviceRule that it runs. */
export interface RuleStatusReport {
  readonly node: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly status: DeviceRuleStatus;
}

/** A device of a node as the node's list of members has it. */
export interface DeviceMember {
  /** what the node is to call it */
  readonly id: string;
  readonly name: string;
  readonly description?: string;
  /** With the uid it identifies one of several devices of a name. KubeEdge has neither. */
  readonly namespace: string;
  readonly uid: string;
}

/** Devices that were bound to a node, or are no longer. */
export interface MembershipDelivery {
  readonly node: string;
  readonly change: "added" | "removed";
  readonly devices: readonly DeviceMember[];
}

export interface DevicePlace {
  /** undefined: the Device is bound to no node */
  readonly node: string | undefined;
}

/** A question to a node for the history of a property. */
export interface HistoryQuestion {
  readonly node: string;
  readonly namespace: string;
  readonly device: string;
  readonly property: string;
  /** milliseconds since 1970, inclusive */
  readonly since: number;
  readonly until: number;
  /** most values wanted */
  readonly limit: number;
  readonly timeoutMs: number;
}

export type HistoryAnswer =
  /** The node's document, `history` in it. */
  | { readonly kind: "values"; readonly document: Readonly<Record<string, unknown>> }
  /** The node refuses the question, with an HTTP status code where it has one. */
  | { readonly kind: "refused"; readonly code: number | undefined; readonly reason: string }
  /** The node cannot answer now. */
  | { readonly kind: "failed"; readonly reason: string }
  /** It answered something else, as a KubeEdge that does not know the question. */
  | { readonly kind: "unreadable" };
