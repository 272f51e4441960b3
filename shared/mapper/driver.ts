/** Settings of a device or a property: `configData` of its Device, or of its model. */
export type Settings = Readonly<Record<string, unknown>>;

/** What is read or written: by the type of the property in the model a number, a boolean, a text, or bytes. */
export type Value = number | bigint | boolean | string | Uint8Array;

/** INT, FLOAT, DOUBLE, BOOLEAN, STRING or BYTES. */
export type ValueType = "BOOLEAN" | "BYTES" | "DOUBLE" | "FLOAT" | "INT" | "STRING";

export interface MapperProperty<Visitor = Settings> {
  readonly name: string;
  readonly type: ValueType;
  readonly accessMode: "ReadOnly" | "ReadWrite";
  readonly unit: string;
  /** How it is read: `visitors.configData`. */
  readonly visitor: Visitor;
}

export interface MapperDevice<Config = Settings, Visitor = Settings> {
  readonly namespace: string;
  readonly name: string;
  /** `protocol.configData`. */
  readonly config: Config;
  readonly properties: readonly MapperProperty<Visitor>[];
}

/**
 * The driver of one device. Calls of a device come one after the other. What a method throws is logged, the device is `offline`, and
 * it is stopped and initialized again after a pause.
 */
export interface Driver<Visitor = Settings> {
  /** Connects to the device. */
  init(): Promise<void> | void;
  /** @returns the present value, as the type of the property wants it; undefined: there is none now */
  read(property: MapperProperty<Visitor>): Promise<Value | undefined> | Value | undefined;
  /** Sets a value. @param value of the type of the property */
  write(property: MapperProperty<Visitor>, value: Value): Promise<void> | void;
  /** Ends the connection; also after an `init` that failed. */
  stop(): Promise<void> | void;
}

/** Makes the driver of a device; called again when the Device changes. */
export type DriverFactory<Config = Settings, Visitor = Settings> = (
  device: MapperDevice<Config, Visitor>,
) => Driver<Visitor>;

export interface MapperOptions<Config = Settings, Visitor = Settings> {
  /** Of the mapper on its node, for instance "modbus-mapper". */
  readonly name: string;
  /** `protocolName` of its Devices. */
  readonly protocol: string;
  readonly driver: DriverFactory<Config, Visitor>;
  /** Of edgecore: /etc/kubeedge/dmi.sock unless given. */
  readonly edgeSocket?: string;
  /** Where edgecore calls the mapper: `<name>.sock` beside edgecore's unless given. */
  readonly socket?: string;
  /** Takes lines of the log; standard error unless given. */
  readonly onLog?: (line: string) => void;
}

/** A mapper that runs, until it is disposed: then it stops its devices. */
export interface Mapper extends AsyncDisposable {
  /** Devices it has, as `<namespace>/<name>`. */
  devices(): string[];
}
