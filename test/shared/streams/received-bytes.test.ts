import { expect, test } from "bun:test";
import { ReceivedBytes } from "#internal/shared/streams/received-bytes.ts";

test("pieces of a frame are copied, and joined as they are, also when the frame is a Buffer", () => {
  const frame = Buffer.from("header-one-two-three");
  const received = new ReceivedBytes();
  received.add(frame.subarray(7, 11));
  received.add(frame.subarray(11, 15));
  received.add(frame.subarray(15));
  frame.fill(0);
  expect(Buffer.from(received.take() ?? []).toString()).toBe("one-two-three");
  expect(received.isEmpty).toBe(true);
});
