import { expect, test } from "bun:test";
import { deflateSync } from "node:zlib";
import { headerDictionary } from "#internal/shared/spdy/dictionary.ts";
import { HeaderReader, HeaderWriter } from "#internal/shared/spdy/header-blocks.ts";

/** RFC 1950, 8.2. */
function adler32(bytes: Uint8Array): number {
  let [low, high] = [1, 0];
  for (const byte of bytes) {
    low = (low + byte) % 65_521;
    high = (high + low) % 65_521;
  }
  return high * 65_536 + low;
}

test("the dictionary has the checksum that every stream of SPDY/3 begins with", () => {
  expect(adler32(headerDictionary()).toString(16)).toBe("e3c6a7c2");
});

test("a header block that client-go 1.26 sends is read", async () => {
  using reader = new HeaderReader();
  const block = Buffer.from("78f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff", "hex");
  expect([...(await reader.read(block))]).toEqual([["streamtype", "error"]]);
});

test("blocks of a session are read in order, each with what the ones before have left", async () => {
  using reader = new HeaderReader();
  using writer = new HeaderWriter();
  const all = ["error", "stdin", "stdout"].map(
    (type) =>
      new Map([
        ["streamtype", type],
        ["port", "80"],
      ]),
  );
  for (const headers of all) expect(await reader.read(await writer.write(headers))).toEqual(headers);
});

test("a block that inflates to more than 16 KiB is refused", async () => {
  using reader = new HeaderReader();
  const bomb = deflateSync(Buffer.alloc(10_000_000), { dictionary: headerDictionary() });
  expect(reader.read(bomb)).rejects.toThrow("headers of more than 16384 bytes");
});

test.each([
  ["is no compressed text", Buffer.from("no compressed text")],
  [
    "ends within a name",
    deflateSync(Buffer.from("00000001000000ff61", "hex"), { dictionary: headerDictionary() }),
  ],
  ["is empty", deflateSync(Buffer.alloc(0), { dictionary: headerDictionary() })],
])("a block that %s is refused", async (_what, block) => {
  using reader = new HeaderReader();
  expect(reader.read(block)).rejects.toThrow("headers that cannot be read");
});

test("a block that announces too many headers is refused", async () => {
  using reader = new HeaderReader();
  const block = deflateSync(Buffer.from("7fffffff", "hex"), { dictionary: headerDictionary() });
  expect(reader.read(block)).rejects.toThrow("more than 64 headers");
});
