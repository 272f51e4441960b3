import { expect, test } from "bun:test";
import { decode, encode } from "#shared/wire";

function frame(content: string): string {
  return `{"header":{"msg_id":"a","timestamp":1},"route":{"operation":"update"},"content":${content}}`;
}

const nested = (depth: number): string => `${"[".repeat(depth)}${"]".repeat(depth)}`;

test.each([600, 50_000, 500_000])("a frame nested %d deep is refused before it is parsed", (depth) => {
  expect(decode(frame(nested(depth)))).toEqual({ ok: false, reason: "nested too deep" });
});

test.each([
  ["500 deep", nested(500)],
  ["brackets in a text", JSON.stringify("[{".repeat(5000))],
  ["quotes and backslashes in a text", JSON.stringify(String.raw`\"[[\\"`.repeat(2000))],
  ["many lists side by side", `[${"[],".repeat(5000)}0]`],
])("a frame with %s goes through", (_what, content) => {
  const decoded = decode(frame(content));
  expect(decoded.ok && JSON.parse(encode(decoded.message))).toMatchObject({
    content: JSON.parse(content) as unknown,
  });
});

test("content with names of inherited properties stays as it is", () => {
  const decoded = decode(frame('{"__proto__":{"polluted":1},"constructor":"a"}'));
  expect(decoded.ok && JSON.stringify(decoded.message.content)).toBe(
    '{"__proto__":{"polluted":1},"constructor":"a"}',
  );
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});

test("half a million backslashes in a text cost no more than their number", () => {
  const since = performance.now();
  expect(decode(frame(JSON.stringify(`${"\\".repeat(250_000)}"`.repeat(2)))).ok).toBe(true);
  expect(performance.now() - since).toBeLessThan(500);
});
