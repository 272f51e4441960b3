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

test("protobuf body with a time after the year 9999 is refused", async () => {
  const largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
  await expect(readBody(leaseAt(largest, [0]), { clock: systemClock })).rejects.toThrow("are no time");
});
