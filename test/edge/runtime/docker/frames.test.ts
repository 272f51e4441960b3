import { expect, test } from "bun:test";
import { demultiplex } from "#internal/edge/runtime/docker/frames.ts";

const frame = (stream: number, text: string): Buffer => {
  const bytes = Buffer.from(text);
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
};

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

test.each([1, 2, 3, 7, 8, 9, 1000])(
  "demultiplex reads frames that arrive in pieces of %p bytes",
  async (size) => {
    const wire = Buffer.concat([frame(1, "one"), frame(2, "bad news"), frame(1, ""), frame(1, "two")]);
    const texts = { stdout: "", stderr: "" };
    for await (const { stream, bytes } of demultiplex(inPieces(wire, size)))
      texts[stream] += Buffer.from(bytes).toString();
    expect(texts).toEqual({ stdout: "onetwo", stderr: "bad news" });
  },
);

test("demultiplex ends with a frame that was cut off", async () => {
  const wire = frame(1, "whole").subarray(0, 10);
  const read: string[] = [];
  for await (const { bytes } of demultiplex(inPieces(wire, 100))) read.push(Buffer.from(bytes).toString());
  expect(read).toEqual(["wh"]);
});
