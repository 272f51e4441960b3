import { expect, test } from "bun:test";
import { assert, boolean, constantFrom, integer, property, record } from "fast-check";
import { decodeValue, encodeValue, sizeOf, type BinaryType, type Layout } from "#edge/drivers/codec";

const plain: Omit<Layout, "type"> = {
  swapBytes: false,
  swapWords: false,
  bit: undefined,
  scale: 1,
  shift: 0,
};

function layout(type: BinaryType, change: Partial<Layout> = {}): Layout {
  return { ...plain, type, ...change };
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

test("the bytes of common devices have the values that their manuals give", () => {
  expect(decodeValue(layout("uint16"), hex("00d7"))).toBe("215");
  expect(decodeValue(layout("int16"), hex("ffce"))).toBe("-50");
  expect(decodeValue(layout("int16", { scale: 0.1 }), hex("ffce"))).toBe("-5");
  expect(decodeValue(layout("uint16", { scale: 0.1 }), hex("00d7"))).toBe("21.5");
  expect(decodeValue(layout("uint16", { scale: 0.01, shift: -40 }), hex("1964"))).toBe("25");
  expect(decodeValue(layout("uint16", { swapBytes: true }), hex("1e00"))).toBe("30");
  expect(decodeValue(layout("uint32"), hex("0001 86a0"))).toBe("100000");
  expect(decodeValue(layout("uint32", { swapWords: true }), hex("86a0 0001"))).toBe("100000");
  expect(decodeValue(layout("uint32", { swapWords: true, swapBytes: true }), hex("a086 0100"))).toBe(
    "100000",
  );
  expect(decodeValue(layout("float32"), hex("41aa6666"))).toBe("21.3");
  expect(decodeValue(layout("float32", { swapWords: true }), hex("6666 41aa"))).toBe("21.3");
  expect(decodeValue(layout("uint64"), hex("ffffffffffffffff"))).toBe("18446744073709551615");
  expect(decodeValue(layout("string"), hex("4142 4320 0000"))).toBe("ABC");
  expect(decodeValue(layout("bytes"), hex("0102ff00"))).toBe("AQL/AA==");
  expect(decodeValue(layout("boolean", { bit: 9 }), hex("0200"))).toBe("true");
  expect(decodeValue(layout("boolean", { bit: 1 }), hex("0200"))).toBe("false");
});

test("what is no number is no value", () => {
  expect(decodeValue(layout("float32"), hex("7fc00000"))).toBeUndefined();
  expect(decodeValue(layout("float64"), hex("7ff0000000000000"))).toBeUndefined();
});

test("a desired value that the device cannot hold has no bytes", () => {
  expect(encodeValue(layout("uint16"), "65536", 2)).toBeUndefined();
  expect(encodeValue(layout("uint16"), "-1", 2)).toBeUndefined();
  expect(encodeValue(layout("int16"), "40000", 2)).toBeUndefined();
  expect(encodeValue(layout("uint16"), "warm", 2)).toBeUndefined();
  expect(encodeValue(layout("uint16"), "", 2)).toBeUndefined();
  expect(encodeValue(layout("float32"), "1e300", 4)).toBeUndefined();
  expect(encodeValue(layout("string"), "too long", 4)).toBeUndefined();
});

const numbers: readonly BinaryType[] = ["int16", "uint16", "int32", "uint32", "int64", "float32", "float64"];

test("each value that a device can hold comes back as it was written, in every order of bytes", () => {
  const cases = record({
    type: constantFrom(...numbers),
    swapBytes: boolean(),
    swapWords: boolean(),
    value: integer({ min: -32_768, max: 65_535 }),
  });
  assert(
    property(cases, ({ type, swapBytes, swapWords, value }) => {
      const size = sizeOf(type) ?? 0;
      const one = layout(type, { swapBytes, swapWords });
      const bytes = encodeValue(one, String(value), size);
      if (bytes) expect(decodeValue(one, bytes)).toBe(String(value));
      else expect(type === "uint16" || type === "int16" || type === "uint32").toBe(true);
    }),
  );
});

test("a value with a scale comes back as it was written", () => {
  const tenths = integer({ min: -3000, max: 3000 });
  assert(
    property(tenths, (value) => {
      const one = layout("int16", { scale: 0.1 });
      const text = String(value / 10);
      const bytes = encodeValue(one, text, 2);
      expect(bytes && decodeValue(one, bytes)).toBe(text === "0" ? "0" : String(Number(text)));
    }),
  );
});
