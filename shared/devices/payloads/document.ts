/** JSON or plain text. Integers beyond 2^53 keep their digits: counters and serial numbers have 64 bits. */
export function documentOf(text: string): unknown {
  try {
    return JSON.parse(text, manyDigits.test(text) ? keepDigits : undefined) as unknown;
  } catch {
    return text;
  }
}

/** The payload as a value: a JSON number, truth value or text, else the text itself. */
export function scalarOf(text: string, document: () => unknown): unknown {
  const value = digitsOf(document());
  return typeof value === "object" ? text : value;
}

/** A part of a document: long integers as the text of their digits. */
export function digitsOf(part: unknown): unknown {
  return sourceTexts.isRawJSON(part) ? part.rawJSON : part;
}

/** 2^53 has 16 digits; shorter numbers need no reviver. */
const manyDigits = /\d{16}/;

/** The types do not have these members of `JSON` yet, hence the cast. */
const sourceTexts = JSON as unknown as {
  rawJSON(text: string): object;
  isRawJSON(value: unknown): value is { readonly rawJSON: string };
};

function keepDigits(_: string, value: unknown, context?: { readonly source?: string }): unknown {
  const source = context?.source ?? "";
  const large = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return large ? sourceTexts.rawJSON(source) : value;
}
