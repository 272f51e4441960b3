import type { Duplex } from "node:stream";
import { encodeRefusal } from "#edge/mqtt/packet";
import { sessionMarker } from "#edge/mqtt/sessions";

/** The private fields and methods of mqtt-packet's parser that we replace or read. */
export interface InnerParser {
  readonly packet: InnerPacket;
  /** bytes not consumed yet */
  readonly _list: {
    readonly length: number;
    readUInt8(index: number): number;
    slice(start: number, end: number): Buffer;
    consume(bytes: number): void;
  };
  /** index in `_list` of the next field */
  _pos: number;
  _parseHeader(): boolean | undefined;
  _parseLength(): boolean;
  _parseString(): string | null;
  _parseMessageId(): boolean;
  _parseConnect(): unknown;
  _parseSubscribe(): void;
  _parseUnsubscribe(): void;
  _emitError(error: Error): void;
}

interface InnerPacket {
  cmd?: string;
  length: number;
  messageId?: number | null;
  retain?: boolean;
  qos?: number;
  dup?: boolean;
  protocolVersion?: number;
  subscriptions?: readonly { readonly topic: string }[];
  unsubscriptions?: readonly string[];
  will?: { readonly topic: string; readonly qos?: number };
}

export interface RuleOptions {
  readonly maxPacketBytes: number;
  /** 3 for MQTT 3.1, 4 for 3.1.1; undefined before the CONNECT */
  readonly version: () => number | undefined;
}

/** CONNACK return code (section 3.2.2.3) */
const unacceptableVersion = 1;
/** Filters in one SUBSCRIBE or UNSUBSCRIBE: as many as a client may have subscriptions (see routing/subscribing.ts). */
const mostFilters = 10_000;
const dupFlag = 0x08;
/** Protocol levels by the length of the protocol name: `MQTT` is 3.1.1 or 5, which aedes refuses; `MQIsdp` is 3.1. */
const levelsByName: Readonly<Record<number, readonly number[]>> = { 4: [4, 5], 6: [3] };
/** Remaining length of the packets that have no payload. */
const lengths: Readonly<Record<string, number>> = {
  puback: 2,
  pubrec: 2,
  pubrel: 2,
  pubcomp: 2,
  pingreq: 0,
  disconnect: 0,
};
/** Packets by type that may have the DUP flag in MQTT 3.1. 3.1.1 reserves the flag (section 2.2.2). */
const repeatable: Readonly<Record<number, string>> = { 6: "pubrel", 8: "subscribe", 10: "unsubscribe" };

/**
 * Closes the connection of a client that violates MQTT 3.1 or 3.1.1 where the parser does not notice:
 * - strings that are not UTF-8 or contain U+0000 (section 1.5.3);
 * - reserved lengths and flags, a DUP flag at QoS 0 (2.2, 3.3.1.1), missing message ids or id 0 (2.3.1);
 * - in CONNECT: a protocol name with a level of the other version, a password without a user name, a will without a topic
 *   or with QoS 3, bytes behind the payload (3.1);
 * - SUBSCRIBE and UNSUBSCRIBE without filters (3.8.3, 3.10.3), wildcards that do not fill a level (4.7.1);
 * - packets larger than `maxPacketBytes`, as soon as their length is known.
 */
export function enforceProtocol(
  parser: InnerParser,
  conn: Duplex,
  { maxPacketBytes, version }: RuleOptions,
): void {
  checkLength(parser, maxPacketBytes);
  checkStrings(parser);
  checkHeader(parser, version);
  checkMessageId(parser);
  checkConnect(parser, conn);
  checkFilters(parser);
}

function checkLength(parser: InnerParser, maxPacketBytes: number): void {
  const parseLength = parser._parseLength.bind(parser);
  parser._parseLength = () => {
    if (!parseLength()) return false;
    const { cmd = "", length } = parser.packet;
    if (length > maxPacketBytes)
      return fail(parser, `packet of ${length} bytes: at most ${maxPacketBytes} allowed`);
    return length === (lengths[cmd] ?? length) || fail(parser, `${cmd} of ${length} bytes`);
  };
}

function checkStrings(parser: InnerParser): void {
  const parseString = parser._parseString.bind(parser);
  parser._parseString = () => {
    const start = parser._pos + 2;
    const text = parseString();
    if (text === null || isPlain(text) || isUtf8(parser._list.slice(start, parser._pos))) return text;
    return null;
  };
}

function checkHeader(parser: InnerParser, version: RuleOptions["version"]): void {
  const parseHeader = parser._parseHeader.bind(parser);
  parser._parseHeader = () => {
    if (version() === 3 && parseRepeated(parser)) return true;
    if (!parseHeader()) return false;
    const { cmd, qos, dup } = parser.packet;
    return !(cmd === "publish" && qos === 0 && dup) || fail(parser, "PUBLISH of QoS 0 with the DUP flag");
  };
}

function checkMessageId(parser: InnerParser): void {
  const parseMessageId = parser._parseMessageId.bind(parser);
  parser._parseMessageId = () => {
    const isThere = parser._pos + 2 <= parser.packet.length;
    return (isThere && parseMessageId() && parser.packet.messageId !== 0) || fail(parser, "no message id");
  };
}

function checkConnect(parser: InnerParser, conn: Duplex): void {
  const parseConnect = parser._parseConnect.bind(parser);
  parser._parseConnect = () => {
    const nameBytes = parser._list.length < 2 ? 0 : parser._list.slice(0, 2).readUInt16BE(0);
    const level = byteAt(parser, 2 + nameBytes);
    const flags = byteAt(parser, 3 + nameBytes);
    const levels = levelsByName[nameBytes];
    if (levels && level !== undefined && !levels.includes(level & 0x7f)) {
      conn.write(encodeRefusal(unacceptableVersion));
      return fail(parser, "unsupported protocol version");
    }
    if (flags !== undefined && (flags & 0xc0) === 0x40) return fail(parser, "password without a user name");
    if (!parseConnect()) return undefined;
    const problem = willProblem(parser.packet.will);
    if (problem !== undefined) return fail(parser, problem);
    return parser._pos === parser.packet.length || fail(parser, "bytes behind the payload of CONNECT");
  };
}

function willProblem(will: InnerPacket["will"]): string | undefined {
  if (!will) return undefined;
  if (will.topic === "" || /[+#]/.test(will.topic)) return "will without a topic";
  return (will.qos ?? 0) > 2 ? "will with QoS 3" : undefined;
}

function checkFilters(parser: InnerParser): void {
  const parseSubscribe = parser._parseSubscribe.bind(parser);
  const parseUnsubscribe = parser._parseUnsubscribe.bind(parser);
  parser._parseSubscribe = () => {
    parseSubscribe();
    checkAll(
      parser,
      (parser.packet.subscriptions ?? []).map(({ topic }) => topic),
    );
  };
  parser._parseUnsubscribe = () => {
    parseUnsubscribe();
    checkAll(parser, parser.packet.unsubscriptions ?? []);
  };
}

function checkAll(parser: InnerParser, filters: readonly string[]): void {
  if (filters.length === 0 || filters.length > mostFilters) fail(parser, `${filters.length} topic filters`);
  const bad = filters.find((filter) => !isFilter(filter));
  if (bad !== undefined) fail(parser, `misplaced wildcard: ${JSON.stringify(bad.slice(0, 200))}`);
}

function isFilter(filter: string): boolean {
  if (filter === "" || filter === sessionMarker) return false;
  if (!/[+#]/.test(filter)) return true;
  const levels = filter.split("/");
  return levels.every((level, index) =>
    level === "#" ? index === levels.length - 1 : level === "+" || !/[+#]/.test(level),
  );
}

/** The parser accepts only 3.1.1's header flags. @returns whether the packet was one that 3.1 lets a client repeat */
function parseRepeated(parser: InnerParser): boolean {
  const first = parser._list.readUInt8(0);
  const cmd = repeatable[first >> 4];
  if (cmd === undefined || (first & dupFlag) === 0) return false;
  Object.assign(parser.packet, { cmd, retain: false, qos: 1, dup: true });
  parser._list.consume(1);
  return true;
}

function byteAt(parser: InnerParser, index: number): number | undefined {
  const isThere = index < parser._list.length && index < parser.packet.length;
  return isThere ? parser._list.readUInt8(index) : undefined;
}

function isPlain(text: string): boolean {
  return !text.includes("\0") && !text.includes("\uFFFD");
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Looks at the bytes, since U+FFFD may be sent as such. */
function isUtf8(bytes: Buffer): boolean {
  if (bytes.includes(0)) return false;
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function fail(parser: InnerParser, problem: string): false {
  parser._emitError(new Error(problem));
  return false;
}
