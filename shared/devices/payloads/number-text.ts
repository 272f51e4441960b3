/** How a device writes numbers in texts. */
export interface NumberFormat {
  /** Text after the number, such as "°C"; undefined: none is expected. */
  readonly unit: string | undefined;
  /** With "," the number 1234.5 may be written 1.234,5 or 1 234,5. */
  readonly decimalSeparator: "." | ",";
}

const withPoint = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$/;
const withComma = /^[+-]?(?:\d{1,3}(?:[.\s’']\d{3})+|\d+)?(?:,\d+)?$/;

/**
 * The number in a text such as "21.5 °C" or "1.234,5", with a point for the decimals. Another unit than the expected one is
 * no number: it may be one of another scale.
 * @returns undefined for what is no such number
 */
export function numberText(text: string, { unit, decimalSeparator }: NumberFormat): string | undefined {
  const trimmed = text.trim();
  const number =
    unit !== undefined && unit !== "" && trimmed.endsWith(unit)
      ? trimmed.slice(0, -unit.length).trim()
      : trimmed;
  if (decimalSeparator === ".") return withPoint.test(number) ? number : undefined;
  if (!/\d/.test(number) || !withComma.test(number)) return undefined;
  return number.replaceAll(/[.\s’']/g, "").replace(",", ".");
}
