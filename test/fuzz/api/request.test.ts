import * as fc from "fast-check";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Refusal } from "#cloud/kube-api/status";
import { systemClock } from "#shared/clock";
import { parseTarget, readBody, readContinue, verbOf, writeContinue } from "#cloud/kube-api/http";
import type { Json } from "#shared/json";
import { checkTime, fuzz, within } from "#internal/test/fuzz/fuzzing.ts";
import { json, textOf } from "#internal/test/fuzz/json-values.ts";

const server = "https://127.0.0.1/";
const types = ["application/json", "application/yaml", "application/merge-patch+json", "text/plain", ""];

/** The body, unless it is refused; anything else that is thrown is a fault. */
async function bodyOf(bytes: Uint8Array, type: string): Promise<Json | undefined> {
  const headers = type === "" ? {} : { "content-type": type };
  const request = new Request(server, { method: "PATCH", headers, body: new Uint8Array(bytes) });
  const before = process.cpuUsage();
  try {
    return await readBody(request, { clock: systemClock });
  } catch (error) {
    checkTime(3000, before);
    if (!(error instanceof Refusal)) throw error;
    return undefined;
  }
}

const yaml = textOf(
  "a",
  ":",
  " ",
  "\n",
  "- ",
  "&x ",
  "*x",
  "<<: ",
  "[",
  "]",
  "{",
  "}",
  ", ",
  "|",
  ">",
  "'",
  '"',
  "!!str ",
  "?",
  "~",
  "---\n",
  "  ",
);

fuzz("request bodies", () =>
  fc.asyncProperty(
    fc.oneof(
      json.map((value) => Buffer.from(JSON.stringify(value))),
      fc.tuple(json, fc.nat(), fc.uint8Array({ maxLength: 3 })).map(([value, at, noise]) => {
        const bytes = Buffer.from(JSON.stringify(value));
        return Buffer.concat([
          bytes.subarray(0, at % bytes.length),
          noise,
          bytes.subarray(at % bytes.length),
        ]);
      }),
      yaml.map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
      fc
        .tuple(fc.constantFrom("[", '{"a":', "- ", "? "), fc.nat(20_000))
        .map(([piece, times]) => Buffer.from(piece.repeat(times))),
    ),
    fc.constantFrom(...types),
    async (bytes, type) => {
      const body = await bodyOf(bytes, type);
      if (body !== undefined && !JSON.stringify(body).isWellFormed())
        throw new Error("holds half a character");
    },
  ),
);

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return [...bytes, Number(rest)];
}

interface WireField {
  readonly number: number;
  /** as in `wire-types.txt`: a scalar, a message, `*` a list of it, `%` a map to it */
  readonly type: string;
}

const wireTypes = new Map(
  readFileSync(join(import.meta.dir, "../../../cloud/kube-api/http/wire-types.txt"), "utf8")
    .trim()
    .split("\n")
    .map((line): [string, WireField[]] => {
      const [name = "", ...fields] = line.split(" ");
      const read = fields.map((field) => /=(\d+):([^!^]+)/.exec(field));
      return [name, read.map((match) => ({ number: Number(match?.[1]), type: match?.[2] ?? "" }))];
    }),
);

const anyNumber = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 1n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n),
);
const garbage = fc
  .tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7), fc.uint8Array({ maxLength: 10 }))
  .map(([wire, bytes]) => [wire, ...bytes]);

/** The wire type and the bytes of a value, mostly of one that fits. */
function valueOf(type: string, depth: number): fc.Arbitrary<number[]> {
  const fitting = (): fc.Arbitrary<number[]> => {
    if (/^[*%]/.test(type)) return valueOf(type.slice(1), depth);
    if (type === "i" || type === "B") return anyNumber.map((value) => [0, ...varint(value)]);
    if (type === "d") return fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => [1, ...bytes]);
    if (!wireTypes.has(type))
      return fc.uint8Array({ maxLength: 12 }).map((bytes) => [2, bytes.length, ...bytes]);
    return messageOf(type, depth - 1).map((inner) => [2, ...varint(BigInt(inner.length)), ...inner]);
  };
  return fc.oneof({ weight: 15, arbitrary: fitting() }, { weight: 1, arbitrary: garbage });
}

function messageOf(type: string, depth: number): fc.Arbitrary<number[]> {
  const fields = wireTypes.get(type) ?? [];
  if (fields.length === 0 || depth === 0) return fc.constant([]);
  const field = fc
    .constantFrom(...fields)
    .chain(({ number, type }) =>
      valueOf(type, depth).map(([wire = 0, ...bytes]) => [
        ...varint((BigInt(number) << 3n) | BigInt(wire)),
        ...bytes,
      ]),
    );
  return fc.array(field, { maxLength: 4 }).map((all) => all.flat());
}

const lengthed = (number: number, bytes: readonly number[]): number[] => [
  (number << 3) | 2,
  ...varint(BigInt(bytes.length)),
  ...bytes,
];
const kinds = [
  ["v1", "Pod", "core.v1.Pod"],
  ["apps/v1", "Deployment", "apps.v1.Deployment"],
  ["v1", "Event", "core.v1.Event"],
  ["coordination.k8s.io/v1", "Lease", "coordination.v1.Lease"],
  ["v1", "DeleteOptions", "meta.v1.DeleteOptions"],
  ["v1", "Node", "core.v1.Node"],
  ["v1", "Nothing", "core.v1.Nothing"],
] as const;

fuzz("request bodies in protobuf", () =>
  fc.asyncProperty(
    fc.oneof(
      fc.constantFrom(...kinds).chain(([apiVersion, name, type]) =>
        messageOf(type, 6).map((message) => {
          const meta = [...lengthed(1, [...Buffer.from(apiVersion)]), ...lengthed(2, [...Buffer.from(name)])];
          return Buffer.from([0x6b, 0x38, 0x73, 0, ...lengthed(1, meta), ...lengthed(2, message)]);
        }),
      ),
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from([0x6b, 0x38, 0x73, 0, ...bytes])),
    ),
    async (bytes) => {
      const body = await bodyOf(bytes, "application/vnd.kubernetes.protobuf");
      if (body !== undefined) JSON.stringify(body);
    },
  ),
);

fuzz("request targets", () =>
  fc.property(
    textOf(
      "/",
      "api",
      "apis",
      "v1",
      "apps",
      "namespaces",
      "default",
      "pods",
      "%2F",
      "%",
      "%zz",
      "%00",
      "..",
      ".",
      "?",
      "status",
      "__proto__",
    ),
    fc.constantFrom("GET", "POST", "PUT", "PATCH", "DELETE", "X"),
    (path, method) => {
      const target = parseTarget(path);
      if (target) verbOf(method, target, false);
    },
  ),
);

const scope = fc.record({
  resource: fc.constantFrom("/pods", "apps/deployments"),
  prefix: fc.constantFrom("", "default/", "a/"),
});
const kept = { oldest: 10, newest: 1000 };

const listed = fc.record({
  own: scope,
  other: scope,
  revision: fc.integer({ min: 1, max: 2000 }),
  name: fc
    .string({ unit: "binary", minLength: 1, maxLength: 20 })
    .filter((text) => text.isWellFormed() && !text.endsWith("\0")),
});
const notToken = fc.oneof(
  fc.string({ maxLength: 100 }),
  json.map((value) => Buffer.from(JSON.stringify(value)).toString("base64url")),
);

fuzz("continue tokens", () =>
  fc.property(listed, notToken, ({ own, other, revision, name }, garbage) => {
    const after = own.prefix + name;
    const token = writeContinue(own, { revision, after });
    const isKept = revision >= kept.oldest && revision <= kept.newest;
    const place = unlessRefused(() => readContinue(token, own, kept));
    const wanted = isKept ? { revision, after } : undefined;
    if (JSON.stringify(place) !== JSON.stringify(wanted))
      throw new Error(`${after} at ${revision} came out as ${JSON.stringify(place)}`);
    const elsewhere = unlessRefused(() => readContinue(token, other, kept));
    if (elsewhere !== undefined && own.resource + own.prefix !== other.resource + other.prefix)
      throw new Error("took the token of another list");
    const made = unlessRefused(() => readContinue(garbage, own, kept));
    if (made && !made.after.startsWith(own.prefix)) throw new Error(`leads to ${made.after}`);
  }),
);

function unlessRefused<T>(read: () => T): T | undefined {
  try {
    return within(1000, read);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return undefined;
  }
}
