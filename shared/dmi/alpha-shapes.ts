import { isRecord, recordOf } from "#shared/json";

export type Settings = Readonly<Record<string, unknown>>;

/** Settings of a protocol in the places that they had in Devices of v1alpha2. */
export interface AlphaProtocol {
  /** "modbus", "opcua" or "bluetooth"; undefined: any other, which is customized. */
  readonly known: string | undefined;
  /** Those of the protocol; of a customized one all. */
  readonly own: Settings;
  /** Those that all protocols share, without the customized ones: `com`, `tcp`, `commType` and so on. */
  readonly common: Settings;
  /** `customizedValues` of the common ones: what has no other place. */
  readonly customized: Settings;
}

/** Protocols with fields of their own. */
const ownFields: Readonly<Record<string, readonly string[]>> = {
  modbus: ["slaveID"],
  bluetooth: ["macAddress"],
  opcua: [
    "url",
    "userName",
    "password",
    "securityPolicy",
    "securityMode",
    "certificate",
    "privateKey",
    "timeout",
  ],
};
const commonFields = [
  "commType",
  "reconnTimeout",
  "reconnRetryTimes",
  "collectTimeout",
  "collectRetryTimes",
  "collectType",
];
const comFields = ["serialPort", "baudRate", "dataBits", "parity", "stopBits"];
const tcpFields = ["ip", "port"];

/** Whether v1alpha2 had fields of its own for a protocol. */
export function isKnownInAlpha(protocol: string): boolean {
  return Object.hasOwn(ownFields, protocol);
}

/** @param data `configData` of v1beta1; `com`, `tcp` and `customizedValues` may be objects in it */
export function alphaProtocol(name: string, data: Settings): AlphaProtocol {
  const known = isKnownInAlpha(name) ? name : undefined;
  const own = known === undefined ? data : picked(data, ownFields[known] ?? []);
  const com = { ...picked(data, comFields), ...recordOf(data["com"]) };
  const tcp = { ...picked(data, tcpFields), ...recordOf(data["tcp"]) };
  const common = {
    ...picked(data, commonFields),
    ...(Object.keys(com).length > 0 && { com }),
    ...(Object.keys(tcp).length > 0 && { tcp }),
  };
  const placed = new Set([...Object.keys(own), ...commonFields, ...comFields, ...tcpFields, "com", "tcp"]);
  const rest = Object.entries(data).filter(([key]) => !placed.has(key) && key !== "customizedValues");
  const given = data["customizedValues"];
  return {
    known,
    own,
    common,
    customized: { ...Object.fromEntries(rest), ...(isRecord(given) ? given : {}) },
  };
}

function picked(data: Settings, fields: readonly string[]): Settings {
  return Object.fromEntries(fields.filter((name) => name in data).map((name) => [name, data[name]]));
}
