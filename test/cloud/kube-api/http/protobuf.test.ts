import { expect, test } from "bun:test";
import { readBody } from "#cloud/kube-api/http";
import { systemClock } from "#shared/clock";

/** A Lease in protobuf whose `renewTime` has these seconds and nanoseconds. */
function leaseAt(seconds: number[], nanos: number[]): Request {
  const field = (tag: number, bytes: number[]): number[] => [tag, bytes.length, ...bytes];
  const text = (value: string): number[] => [...Buffer.from(value)];
  const time = [0x08, ...seconds, 0x10, ...nanos];
  const meta = [...field(0x0a, text("coordination.k8s.io/v1")), ...field(0x12, text("Lease"))];
  const lease = field(0x12, field(0x22, time));
  const body = new Uint8Array([0x6b, 0x38, 0x73, 0, ...field(0x0a, meta), ...field(0x12, lease)]);
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  return new Request("https://127.0.0.1/", { method: "PUT", headers, body });
}

test("protobuf body carries nanoseconds beyond a second over to the seconds", async () => {
  // 1,500,000,000 ns
  const body = await readBody(leaseAt([1], [0x80, 0xde, 0xa0, 0xcb, 0x05]), { clock: systemClock });
  expect(body).toMatchObject({ spec: { renewTime: "1970-01-01T00:00:02.500000Z" } });
});

test("protobuf body keeps a time of the first year, whose first second stands for none", async () => {
  const secondsOf = (seconds: bigint): number[] => {
    const bytes: number[] = [];
    for (let rest = BigInt.asUintN(64, seconds); bytes.length < 10; rest >>= 7n)
      bytes.push(Number(rest & 0x7fn) | (bytes.length < 9 ? 0x80 : 0));
    return bytes;
  };
  const body = await readBody(leaseAt(secondsOf(-62_135_596_798n), [0]), { clock: systemClock });
  expect(body).toMatchObject({ spec: { renewTime: "0001-01-01T00:00:02.000000Z" } });
  const none = await readBody(leaseAt(secondsOf(-62_135_596_800n), [0]), { clock: systemClock });
  expect(none).toMatchObject({ spec: {} });
  expect(none).not.toHaveProperty("spec.renewTime");
});

test("protobuf body with a time after the year 9999 is refused", async () => {
  const largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
  await expect(readBody(leaseAt(largest, [0]), { clock: systemClock })).rejects.toThrow("are no time");
});

/** A body in protobuf: fields as pairs of their number and a number, a text or fields again. */
type Fields = readonly (readonly [number, number | string | Fields])[];

function encode(fields: Fields): number[] {
  return fields.flatMap(([number, value]) => {
    if (typeof value === "number") return [number << 3, value];
    const bytes = typeof value === "string" ? [...Buffer.from(value)] : encode(value);
    return [
      ...(number > 15 ? [((number << 3) & 127) | 130, number >> 4] : [(number << 3) | 2]),
      bytes.length,
      ...bytes,
    ];
  });
}

function requestOf(type: Fields, object: Fields): Request {
  const body = new Uint8Array([
    0x6b,
    0x38,
    0x73,
    0,
    ...encode([
      [1, type],
      [2, object],
    ]),
  ]);
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  return new Request("https://127.0.0.1/", { method: "PUT", headers, body });
}

test("protobuf body keeps a zero behind a pointer, and leaves out others that are empty", async () => {
  const type: Fields = [
    [1, "policy/v1"],
    [2, "PodDisruptionBudget"],
  ];
  // metadata.name, spec.minAvailable = { type: 0, intVal: 0, strVal: "" }, status.disruptionsAllowed = 0
  const object: Fields = [
    [
      1,
      [
        [1, "b"],
        [2, ""],
      ],
    ],
    [
      2,
      [
        [
          1,
          [
            [1, 0],
            [2, 0],
            [3, ""],
          ],
        ],
      ],
    ],
    [3, [[3, 0]]],
  ];
  expect(await readBody(requestOf(type, object), { clock: systemClock })).toEqual({
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "b" },
    spec: { minAvailable: 0 },
    status: { disruptionsAllowed: 0 },
  });
});

test("protobuf body without a type has the one of its path", async () => {
  const expected = { apiVersion: "v1", kind: "ConfigMap" };
  const read = readBody(requestOf([], [[1, [[1, "m"]]]]), { clock: systemClock, type: expected });
  expect(await read).toEqual({ ...expected, metadata: { name: "m" } });
});

test("protobuf body of a definition has its schema as JSON", async () => {
  const schema: Fields = [
    [5, "object"],
    [8, [[1, '{"a":1}']]],
    [30, [[1, 1]]],
  ];
  const version: Fields = [
    [1, "v1"],
    [4, [[1, schema]]],
  ];
  const type: Fields = [
    [1, "apiextensions.k8s.io/v1"],
    [2, "CustomResourceDefinition"],
  ];
  const body = await readBody(requestOf(type, [[2, [[7, version]]]]), { clock: systemClock });
  expect(body).toMatchObject({
    spec: {
      versions: [
        {
          name: "v1",
          schema: { openAPIV3Schema: { type: "object", default: { a: 1 }, additionalProperties: true } },
        },
      ],
    },
  });
});
