import type { KubeObject } from "./meta.ts";

/** devices.kubeedge.io/v1beta1. */
export interface Device extends KubeObject {
  spec?: DeviceSpec;
  status?: DeviceStatus;
}

export interface DeviceSpec {
  deviceModelRef?: { name?: string };
  nodeName?: string;
  properties?: DeviceProperty[];
  protocol?: ProtocolConfig;
}

export interface DeviceProperty {
  name: string;
  desired?: TwinValue;
  visitors?: ProtocolConfig;
  reportCycle?: number;
  collectCycle?: number;
  reportToCloud?: boolean;
}

/** `configData` is free; for protocol "mqtt" see `shared/devices/mapping.ts`. */
export interface ProtocolConfig {
  protocolName?: string;
  configData?: Record<string, unknown>;
}

export interface TwinValue {
  value: string;
  metadata?: Record<string, string>;
}

export interface DeviceStatus {
  twins?: DeviceTwinStatus[];
  state?: string;
  lastOnlineTime?: string;
  /** when the node last reported anything of the device */
  reportedTime?: string;
  /** How long the last report had waited in the cloud when it was written. */
  behindSeconds?: number;
}

export interface DeviceTwinStatus {
  propertyName: string;
  reported?: TwinValue;
  observedDesired?: TwinValue;
}

export interface DeviceModel extends KubeObject {
  spec?: { protocol?: string; properties?: ModelProperty[] };
}

export interface ModelProperty {
  name: string;
  description?: string;
  type?: "INT" | "FLOAT" | "DOUBLE" | "STRING" | "BOOLEAN" | "BYTES";
  accessMode?: "ReadWrite" | "ReadOnly";
  minimum?: string;
  maximum?: string;
  unit?: string;
  /** How every device of the model is read, where the device itself does not define it. */
  visitors?: ProtocolConfig;
}
