import { expect, test } from "bun:test";
import { encodeControl, encodeData, frameTypes, numbers } from "#internal/shared/spdy/frame.ts";
import { FrameReader } from "#internal/shared/spdy/frame-reader.ts";
import { describe as describeFrame } from "./played-client.ts";

const ping = encodeControl(frameTypes.ping, numbers(1));

function read(reader: FrameReader, bytes: Uint8Array): string[] {
  return [...reader.read(bytes)].map(describeFrame);
}

test("frames are read whole however they are cut", () => {
  const bytes = Buffer.concat([ping, encodeData(3, Buffer.from("hello"), true), ping]);
  const reader = new FrameReader();
  const seen = Array.from(bytes).flatMap((byte) => read(reader, Uint8Array.of(byte)));
  const letters = ["h", "e", "l", "l"].map((letter) => `data 3 "${letter}"`);
  expect(seen).toEqual(["ping 1", ...letters, 'data 3 "o" fin', "ping 1"]);
});

test("a long frame of data is reported piece by piece, its end with the last", () => {
  const reader = new FrameReader();
  const frame = encodeData(1, Buffer.alloc(3_000_000), true);
  const pieces = [...reader.read(frame.subarray(0, 1_000_000)), ...reader.read(frame.subarray(1_000_000))];
  expect(pieces.map((piece) => piece.kind === "data" && [piece.bytes.length, piece.isFin])).toEqual([
    [999_992, false],
    [2_000_008, true],
  ]);
});

test("an empty frame of data that ends a stream is reported", () => {
  expect(read(new FrameReader(), encodeData(5, new Uint8Array(), true))).toEqual(['data 5 "" fin']);
});

test("a control frame that announces more than 16 KiB is refused before it arrives", () => {
  const head = encodeControl(frameTypes.synStream, new Uint8Array()).slice();
  new DataView(head.buffer).setUint32(4, 16 * 1024 + 1);
  expect(() => read(new FrameReader(), head)).toThrow("at most 16384 are taken");
});

test("a frame of another version is refused", () => {
  const frame = ping.slice();
  new DataView(frame.buffer).setUint16(0, 0x80_02);
  expect(() => read(new FrameReader(), frame)).toThrow("expected a frame of SPDY/3.1");
});
