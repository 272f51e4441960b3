import { describe, expect, test } from "bun:test";
import { AuthorityRewriter } from "#internal/shared/grpc/authority.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const settings = Buffer.from("000000040000000000", "hex");
/** Headers as grpc-go sends them for a socket: POST, http, the path of the method, and the path of the socket as authority. */
const block =
  "838645a063b8632a4615ef97b9885d03a87316cdc5b3b98856340ebacb66d2cc6424b67f" +
  "41966134d6c4949964d9e98eb6c652c9315892932e8393af" +
  "5f8b1d75d0620d263d4c4d65647a8b9acac8b4c7602bb6e2ecff40027465864d833505b11f40899acac8b24d494f6a7f867df7df6456ff";
const changed = block.replace("41966134d6c4949964d9e98eb6c652c9315892932e8393af", "410168");

function headers(hex: string): Buffer {
  const head = Buffer.from("000000010400000001", "hex");
  head.writeUIntBE(hex.length / 2, 0, 3);
  return Buffer.concat([head, Buffer.from(hex, "hex")]);
}

const data = Buffer.concat([Buffer.from("00000a000100000001", "hex"), Buffer.alloc(10, 0x41)]);
const sent = Buffer.concat([preface, settings, headers(block), data, headers(block), data]);
const wanted = Buffer.concat([preface, settings, headers(changed), data, headers(changed), data]);

describe("the authority of requests", () => {
  test.each([1, 2, 7, 64, 10_000])("is replaced, nothing else, when bytes come %d at a time", (size) => {
    const rewriter = new AuthorityRewriter();
    const out: Uint8Array[] = [];
    for (let at = 0; at < sent.length; at += size) out.push(rewriter.take(sent.subarray(at, at + size)));
    expect(Buffer.concat(out).toString("hex")).toBe(wanted.toString("hex"));
  });

  test.each(["41", "41ff", "41ffffffffff", "7f", "4000", "40ff", "ff"])(
    "stays as it is when headers end early: %s",
    (hex) => {
      const bytes = Buffer.concat([preface, headers(hex)]);
      expect(Buffer.from(new AuthorityRewriter().take(bytes)).toString("hex")).toBe(bytes.toString("hex"));
    },
  );
});
