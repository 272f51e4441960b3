/** A resource quantity as apimachinery's `resource.Quantity` reads and writes it: exact, in nano units. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: "decimal" | "binary" | "exponent";
}

const pattern = /^([+-]?)(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$/;
/** Longer than any that Kubernetes writes; bounds the work of BigInt. */
const maxLength = 64;
/** Beyond 10^60 every amount is capped or rounded up to a nano unit. */
const maxExponent = 60;
const decimalSteps = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const binarySteps = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const factors: ReadonlyMap<string, number> = new Map([
  ...decimalSteps.map((suffix, step): [string, number] => [suffix, Number(`1e${3 * step - 9}`)]),
  ...binarySteps.slice(1).map((suffix, step): [string, number] => [suffix, 1024 ** (step + 1)]),
]);
const one = 1_000_000_000n;
const largest = (2n ** 63n - 1n) * one;

export const quantityError =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** @returns undefined when it is none */
export function parseQuantity(text: string): Quantity | undefined {
  const match = text.length <= maxLength ? pattern.exec(text) : null;
  if (match === null) return undefined;
  const [, sign, digits = "0", suffix = ""] = match;
  const [whole = "0", fraction = ""] = digits.split(".");
  const mantissa = BigInt(`${whole}${fraction}`.replace(/^$/, "0"));
  const scale = scaleOf(suffix);
  if (scale === undefined) return undefined;
  const nano = roundUp(mantissa * scale.factor, 10n ** BigInt(fraction.length) * scale.divisor);
  const capped = nano > largest ? largest : nano;
  return { nano: sign === "-" ? -capped : capped, format: scale.format };
}

/**
 * A quantity ("250m", "64Mi", "1e3") as the nearest number, several times faster than exactly.
 * @returns undefined when it is none
 */
export function quantityNumber(text: string | undefined): number | undefined {
  if (text === undefined || text.length > maxLength) return undefined;
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = "0", suffix = ""] = match;
  const factor = factors.get(suffix);
  if (factor === undefined && Math.abs(Number(suffix.slice(1))) > maxExponent) return undefined;
  const size = factor === undefined ? Number(`${digits}${suffix}`) : Number(digits) * factor;
  return sign === "-" ? -size : size;
}

/** The canonical text: no fraction, the largest suffix that loses nothing. */
export function formatQuantity({ nano, format }: Quantity): string {
  if (nano === 0n) return "0";
  const negative = nano < 0n;
  const size = negative ? -nano : nano;
  const text = format === "binary" && size >= 1024n * one ? binaryText(size) : decimalText(size, format);
  return negative ? `-${text}` : text;
}

/** Whether an amount has no fraction. */
export function isWhole({ nano }: Quantity): boolean {
  return nano % one === 0n;
}

export function compareQuantities(a: Quantity, b: Quantity): number {
  return a.nano < b.nano ? -1 : Number(a.nano > b.nano);
}

interface Scale {
  factor: bigint;
  divisor: bigint;
  format: Quantity["format"];
}

function scaleOf(suffix: string): Scale | undefined {
  const binary = suffix === "" ? -1 : binarySteps.indexOf(suffix);
  if (binary > 0) return { factor: one * 1024n ** BigInt(binary), divisor: 1n, format: "binary" };
  const decimal = decimalSteps.indexOf(suffix);
  if (decimal >= 0) return { factor: 1000n ** BigInt(decimal), divisor: 1n, format: "decimal" };
  const exponent = Number(suffix.slice(1));
  if (Math.abs(exponent) > maxExponent) return undefined;
  return exponent >= 0
    ? { factor: one * 10n ** BigInt(exponent), divisor: 1n, format: "exponent" }
    : { factor: one, divisor: 10n ** BigInt(-exponent), format: "exponent" };
}

function roundUp(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor;
}

function binaryText(size: bigint): string {
  let value = roundUp(size, one);
  let step = 0;
  while (step < binarySteps.length - 1 && value % 1024n === 0n) {
    value /= 1024n;
    step += 1;
  }
  return `${value}${binarySteps[step] ?? ""}`;
}

function decimalText(size: bigint, format: Quantity["format"]): string {
  let value = size;
  let step = 0;
  while (step < decimalSteps.length - 1 && value % 1000n === 0n) {
    value /= 1000n;
    step += 1;
  }
  if (format === "exponent") return step === 3 ? `${value}` : `${value}e${(step - 3) * 3}`;
  return `${value}${decimalSteps[step] ?? ""}`;
}
