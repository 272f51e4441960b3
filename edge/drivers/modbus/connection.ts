import type { ConfigFields } from "#edge/drivers/config";

/** How a Modbus device is reached: `configData` of `spec.protocol`, as KubeEdge's Modbus mapper has it. */
export interface ModbusConnection {
  /** Address of the device behind its gateway or on its line; `slaveID`. */
  readonly unit: number;
  /** How long an answer may take, milliseconds. */
  readonly timeoutMs: number;
  readonly line: SerialSettings | TcpSettings;
}

export interface TcpSettings {
  readonly kind: "tcp";
  readonly host: string;
  readonly port: number;
  /** Frames of the serial line, with their checksum, over TCP: many simple gateways do this. */
  readonly isRtu: boolean;
}

export interface SerialSettings {
  readonly kind: "serial";
  readonly path: string;
  readonly baudRate: number;
  readonly dataBits: number;
  readonly parity: "even" | "none" | "odd";
  readonly stopBits: number;
}

export const connectionKeys = [
  "communicateMode",
  "ip",
  "port",
  "slaveID",
  "timeout",
  "serialPort",
  "baudRate",
  "dataBits",
  "parity",
  "stopBits",
];

const slowestMs = 25_000;

export function readConnection(fields: ConfigFields): ModbusConnection | undefined {
  const unit = fields.whole("slaveID", [0, 255]) ?? 1;
  const timeoutMs = fields.whole("timeout", [10, slowestMs]) ?? 1_000;
  const mode = fields.choice("communicateMode", ["TCP", "RTU", "RTU over TCP"]);
  const isSerial = mode === "RTU" || (mode === undefined && fields.has("serialPort"));
  const line = isSerial ? readSerial(fields) : readTcp(fields, mode === "RTU over TCP");
  return line && fields.problems.length === 0 ? { unit, timeoutMs, line } : undefined;
}

function readTcp(fields: ConfigFields, isRtu: boolean): TcpSettings | undefined {
  const host = fields.needed("ip", "192.168.1.50");
  const port = fields.whole("port", [1, 65_535]) ?? 502;
  return host === undefined ? undefined : { kind: "tcp", host, port, isRtu };
}

function readSerial(fields: ConfigFields): SerialSettings | undefined {
  const path = fields.needed("serialPort", "/dev/ttyUSB0");
  if (path !== undefined && !isSerialPort(path))
    return fields.refuse("serialPort", "must be the path of a serial port, such as /dev/ttyUSB0");
  const baudRate = fields.whole("baudRate", [50, 4_000_000]) ?? 9600;
  const dataBits = fields.whole("dataBits", [7, 8]) ?? 8;
  const parity = fields.choice("parity", ["none", "even", "odd"]) ?? "none";
  const stopBits = fields.whole("stopBits", [1, 2]) ?? 1;
  return path === undefined ? undefined : { kind: "serial", path, baudRate, dataBits, parity, stopBits };
}

/** A path in /dev, but no terminal where people type. */
function isSerialPort(path: string): boolean {
  return (
    /^\/dev\/[\w/.:@+-]+$/.test(path) && !/\/\.\.?(\/|$)|^\/dev\/+(pts\/|tty\d*$|console$|ptmx$)/.test(path)
  );
}

/** Devices on one line, or behind one address, are asked one after the other. */
export function lineKey({ line }: ModbusConnection): string {
  return line.kind === "tcp"
    ? `${line.isRtu ? "rtu+" : ""}tcp://${line.host}:${line.port}`
    : `serial:${line.path}`;
}
