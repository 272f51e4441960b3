import { decodeMessage, encodeMessage, type Definition } from "#shared/grpc";

/** google.protobuf.Any: a message with its type. */
export interface AnyValue {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

const prefix = "type.googleapis.com/google.protobuf.";

/**
 * Values of `configData` as KubeEdge sends them (`dtcommon.dataToAny`): numbers as 32-bit floats. Mappers read whole numbers of 64
 * bits too, so that those which a float changes are sent as such. KubeEdge sends no lists and objects at all; here they are JSON.
 */
export class AnyValues {
  readonly #wrappers: Definition["messages"];

  /** @param definition that of v1beta1, which has the wrappers */
  constructor({ messages }: Definition) {
    this.#wrappers = messages;
  }

  encode(value: unknown): AnyValue {
    if (typeof value === "boolean") return this.#wrap("BoolValue", value);
    if (typeof value === "number") return this.#wrap(isLong(value) ? "Int64Value" : "FloatValue", value);
    return this.#wrap("StringValue", typeof value === "string" ? value : JSON.stringify(value));
  }

  /** Null is left out. */
  encodeAll(values: Readonly<Record<string, unknown>>): Record<string, AnyValue> {
    const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
    return Object.fromEntries(given.map(([name, value]) => [name, this.encode(value)]));
  }

  /** @returns undefined for a type that nobody sends. @throws ProtocolError when it is damaged */
  decode({ typeUrl, value }: AnyValue): unknown {
    const type = typeUrl.slice(typeUrl.lastIndexOf("/") + 1).replace("google.protobuf.", "");
    const wrapper = type.endsWith("Value") ? this.#wrappers.get(type) : undefined;
    if (!wrapper) return undefined;
    const { value: decoded } = decodeMessage(wrapper, value);
    return type === "FloatValue" && typeof decoded === "number" ? shortest(decoded) : decoded;
  }

  #wrap(type: string, value: unknown): AnyValue {
    const wrapper = this.#wrappers.get(type);
    return { typeUrl: `${prefix}${type}`, value: encodeMessage(wrapper ?? { fields: [] }, { value }) };
  }
}

function isLong(value: number): boolean {
  return Number.isSafeInteger(value) && Math.fround(value) !== value;
}

/** The decimal number that a 32-bit float was made of: 0.1, not 0.10000000149011612. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
