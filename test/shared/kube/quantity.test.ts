import { expect, test } from "bun:test";
import { compareQuantities, formatQuantity, parseQuantity, quantityNumber } from "#shared/kube";

test.each([
  ["250m", "250m", 0.25],
  ["0.5", "500m", 0.5],
  ["1000m", "1", 1],
  ["64Mi", "64Mi", 67_108_864],
  ["1024Ki", "1Mi", 1_048_576],
  ["1.5Gi", "1536Mi", 1_610_612_736],
  ["1e3", "1e3", 1000],
  ["2E-3", "2e-3", 0.002],
  ["1E", "1E", 1e18],
  [".5", "500m", 0.5],
  ["5.", "5", 5],
  ["-1.5Ki", "-1536", -1536],
  ["0", "0", 0],
])("quantity %p is written %p and is the number %p", (text, canonical, number) => {
  const quantity = parseQuantity(text);
  expect(quantity && formatQuantity(quantity)).toBe(canonical);
  expect(quantityNumber(text)).toBeCloseTo(number, 9);
});

test.each(["", ".", "x", "1K", "1mm", "1e", "1e99", "1e3Ki", " 1", "1".repeat(65)])(
  "quantity %p is none, exactly and as a number",
  (text) => {
    expect([parseQuantity(text), quantityNumber(text)]).toEqual([undefined, undefined]);
  },
);

test("quantities are compared by their amount, whatever their suffix", () => {
  const compare = (left: string, right: string): number | undefined => {
    const [a, b] = [parseQuantity(left), parseQuantity(right)];
    return a && b && compareQuantities(a, b);
  };
  expect([compare("1000m", "1"), compare("1Ki", "1k"), compare("-1", "0")]).toEqual([0, 1, -1]);
});
