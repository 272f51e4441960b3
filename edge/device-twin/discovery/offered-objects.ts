import { createHash } from "node:crypto";
import type { Device, DeviceModel, DeviceProperty, ModelProperty } from "#shared/kube";
import type { StateConfig } from "./availability.ts";

/** A property of a plain device that an announcement describes. */
export interface DiscoveredProperty {
  /** Name of the Device. */
  readonly device: string;
  /** For the Device. */
  readonly property: DeviceProperty;
  /** For the DeviceModel. */
  readonly described: ModelProperty;
  /** `stateTopic` and the like of the Device; empty when it announces none. */
  readonly state: StateConfig;
  /** Seconds after which its value is expired; 0: never. */
  readonly expiry: number;
}

/** The Device and DeviceModel of all properties found of a device. */
export function offeredObjects(
  found: readonly DiscoveredProperty[],
  node: string,
): { readonly device: Device; readonly model: DeviceModel } {
  const name = found[0]?.device ?? "";
  const state = found.find((one) => Object.keys(one.state).length > 0)?.state ?? {};
  // A device is silent when the slowest of its values is expired.
  const expiry = Math.max(0, ...found.map((one) => one.expiry));
  const configData = { ...state, ...(expiry > 0 ? { expireAfter: `${expiry}s` } : {}) };
  const metadata = {
    name,
    namespace: "default",
    labels: { "devices.kubeedge.io/discovered-by": "home-assistant" },
  };
  const apiVersion = "devices.kubeedge.io/v1beta1";
  return {
    model: {
      apiVersion,
      kind: "DeviceModel",
      metadata,
      spec: { protocol: "mqtt", properties: found.map(({ described }) => described) },
    },
    device: {
      apiVersion,
      kind: "Device",
      metadata,
      spec: {
        deviceModelRef: { name },
        nodeName: node,
        properties: found.map(({ property }) => property),
        protocol: { protocolName: "mqtt", configData },
      },
    },
  };
}

/**
 * A name for Kubernetes. A changed one gets a hash, so that two devices do not become one.
 * @returns "" for an empty id
 */
export function objectName(id: string): string {
  const plain = id
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 50);
  if (plain === id || id === "") return plain;
  return `${plain === "" ? "device" : plain}-${createHash("sha256").update(id).digest("hex").slice(0, 6)}`;
}

/** A name for a twin. */
export function propertyName(id: string): string {
  return id.replaceAll(/[^a-zA-Z0-9\-_.]+/g, "-").slice(0, 100);
}
