import type { Duplex } from "node:stream";
import { encodeRefusal } from "#edge/mqtt/packet";
import { sessionMarker } from "#edge/mqtt/sessions";

/** What of mqtt-packet's parser is touched beside its interface. */
export interface InnerParser {
  readonly packet: InnerPacket;
  /** bytes not consumed yet */
  readonly _list: {
    readonly length: number;
    readUInt8(at: number): number;
    slice(from: number, to: number): Buffer;
    consume(bytes: number): void;
  };
  /** where in `_list` the next field begins */
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

const unacceptableVersion = 1;
/** of one packet: a client must not fill the memory */
const mostFilters = 10_000;
const dupFlag = 0x08;
/** A protocol has one name: its length, and the levels that go with it. 5 is answered by aedes. */
const levelsByName: Readonly<Record<number, readonly number[]>> = { 4: [4, 5], 6: [3] };
/** How long a packet has to be that says nothing more than what it is and, perhaps, which message it is about. */
const lengths: Readonly<Record<string, number>> = {
  puback: 2,
  pubrec: 2,
  pubrel: 2,
  pubcomp: 2,
  pingreq: 0,
  disconnect: 0,
};
/** Packets that MQTT 3.1 lets a client repeat with the DUP flag: PUBREL, SUBSCRIBE, UNSUBSCRIBE. */
const repeatable: Readonly<Record<number, string>> = { 6: "pubrel", 8: "subscribe", 10: "unsubscribe" };

/**
 * Holds a connection to what MQTT 3.1 and 3.1.1 demand and the parser lets pass: texts that are no UTF-8 or have a NUL,
 * bytes left over, a password without a user, empty SUBSCRIBEs, wills without a topic or with a QoS there is not,
 * wildcards in the wrong place, message ids that are missing or 0, a repetition of what is sent once, a name of the
 * protocol with a level of the other, and packets beyond the limit, before their bytes are kept. Each closes the connection.
 */
export function holdToRules(
  parser: InnerParser,
  conn: Duplex,
  { maxPacketBytes, version }: RuleOptions,
): void {
  const parseLength = parser._parseLength.bind(parser);
  parser._parseLength = () => {
    if (!parseLength()) return false;
    const { cmd = "", length } = parser.packet;
    if (length > maxPacketBytes)
      return fail(parser, `packet of ${length} bytes: at most ${maxPacketBytes} allowed`);
    return length === (lengths[cmd] ?? length) || fail(parser, `${cmd} of ${length} bytes`);
  };
  const parseString = parser._parseString.bind(parser);
  parser._parseString = () => {
    const from = parser._pos + 2;
    const text = parseString();
    if (text === null || isPlain(text) || isText(parser._list.slice(from, parser._pos))) return text;
    return null;
  };
  const parseHeader = parser._parseHeader.bind(parser);
  parser._parseHeader = () => {
    if (version() === 3 && parseRepeated(parser)) return true;
    if (!parseHeader()) return false;
    const { cmd, qos, dup } = parser.packet;
    return !(cmd === "publish" && qos === 0 && dup) || fail(parser, "repetition of a message of QoS 0");
  };
  const parseMessageId = parser._parseMessageId.bind(parser);
  parser._parseMessageId = () => {
    const isThere = parser._pos + 2 <= parser.packet.length;
    return (isThere && parseMessageId() && parser.packet.messageId !== 0) || fail(parser, "no message id");
  };
  checkConnect(parser, conn);
  checkFilters(parser);
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
      return fail(parser, "protocol that is not spoken here");
    }
    if (flags !== undefined && (flags & 0xc0) === 0x40) return fail(parser, "password without a user name");
    if (!parseConnect()) return undefined;
    const problem = problemOf(parser.packet.will);
    if (problem !== undefined) return fail(parser, problem);
    return parser._pos === parser.packet.length || fail(parser, "bytes left over in CONNECT");
  };
}

function problemOf(will: InnerPacket["will"]): string | undefined {
  if (!will) return undefined;
  if (will.topic === "" || /[+#]/.test(will.topic)) return "will without a topic";
  return (will.qos ?? 0) > 2 ? "will with a QoS of 3" : undefined;
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
  if (bad !== undefined) fail(parser, `wildcard in the wrong place: ${JSON.stringify(bad.slice(0, 200))}`);
}

function isFilter(filter: string): boolean {
  if (filter === "" || filter === sessionMarker) return false;
  if (!/[+#]/.test(filter)) return true;
  const levels = filter.split("/");
  return levels.every((level, at) =>
    level === "#" ? at === levels.length - 1 : level === "+" || !/[+#]/.test(level),
  );
}

/** The parser knows 3.1.1's header flags alone. @returns whether it was one of 3.1's repetitions */
function parseRepeated(parser: InnerParser): boolean {
  const first = parser._list.readUInt8(0);
  const cmd = repeatable[first >> 4];
  if (cmd === undefined || (first & dupFlag) === 0) return false;
  Object.assign(parser.packet, { cmd, retain: false, qos: 1, dup: true });
  parser._list.consume(1);
  return true;
}

function byteAt(parser: InnerParser, at: number): number | undefined {
  return at < parser._list.length && at < parser.packet.length ? parser._list.readUInt8(at) : undefined;
}

function isPlain(text: string): boolean {
  return !text.includes("\0") && !text.includes("\uFFFD");
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A replacement character may be in the bytes themselves. */
function isText(bytes: Buffer): boolean {
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
