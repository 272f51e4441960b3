/** Resource quantities as Kubernetes reads and writes them: exact, in nano units. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: "decimal" | "binary" | "exponent";
}

const pattern = /^([+-]?)(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$/;
const decimalSteps = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const binarySteps = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const one = 1_000_000_000n;
const largest = (2n ** 63n - 1n) * one;

export const quantityError =
  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

export function parseQuantity(text: string): Quantity | undefined {
  const match = text.length <= 64 ? pattern.exec(text) : null;
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

/** The canonical text: no fraction, the largest suffix that loses nothing. */
export function formatQuantity({ nano, format }: Quantity): string {
  if (nano === 0n) return "0";
  const negative = nano < 0n;
  const size = negative ? -nano : nano;
  const text = format === "binary" && size >= 1024n * one ? binaryText(size) : decimalText(size, format);
  return negative ? `-${text}` : text;
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
  if (Math.abs(exponent) > 60) return undefined;
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
