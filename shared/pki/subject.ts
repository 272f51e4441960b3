/** The names in a subject that identify somebody. */
export interface SubjectNames {
  /** "" without one */
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** Dotted object identifiers of everything else in it. */
  readonly others: readonly string[];
}

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

const tags = { sequence: 0x30, set: 0x31, identifier: 0x06, version: 0xa0 } as const;
const names = { commonName: "2.5.4.3", organization: "2.5.4.10" } as const;

/**
 * The subject of a DER certificate. Read from the bytes: in a text of it a value with a line break looks like two values, and one
 * who may choose a name could choose a group. The last common name counts, as in Go's `pkix.Name`.
 * @throws Error when it is damaged, or has text that is neither UTF-8 nor ASCII
 */
export function subjectOfCertificate(der: Uint8Array): SubjectNames {
  const [signed] = elementsOf(contentOf(der, tags.sequence));
  const fields = elementsOf(signed?.content ?? new Uint8Array());
  const first = fields[0]?.tag === tags.version ? 1 : 0;
  // serialNumber, signature, issuer, validity, subject (RFC 5280, 4.1)
  return namesOf(fields[first + 4]);
}

/** The same of a DER certificate request (RFC 2986, 4). @throws Error */
export function subjectOfRequest(der: Uint8Array): SubjectNames {
  const [signed] = elementsOf(contentOf(der, tags.sequence));
  return namesOf(elementsOf(signed?.content ?? new Uint8Array())[1]);
}

function namesOf(subject: Element | undefined): SubjectNames {
  if (subject?.tag !== tags.sequence) throw new Error("the subject is missing");
  const values = elementsOf(subject.content)
    .flatMap((set) => elementsOf(set.content))
    .map((pair) => {
      const [type, value] = elementsOf(pair.content);
      if (type?.tag !== tags.identifier || !value) throw new Error("a name in the subject is damaged");
      return { type: identifierOf(type.content), value };
    });
  const texts = (wanted: string): string[] =>
    values.filter(({ type }) => type === wanted).map(({ value }) => textOf(value));
  const known = new Set<string>(Object.values(names));
  return {
    commonName: texts(names.commonName).at(-1) ?? "",
    organizations: texts(names.organization),
    others: values.map(({ type }) => type).filter((type) => !known.has(type)),
  };
}

function contentOf(der: Uint8Array, tag: number): Uint8Array {
  const [element] = elementsOf(der);
  if (element?.tag !== tag) throw new Error("not the expected structure");
  return element.content;
}

function elementsOf(bytes: Uint8Array): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = bytes[at] ?? 0;
    const { length, size } = lengthAt(bytes, at + 1);
    const start = at + 1 + size;
    if (start + length > bytes.length) throw new Error("an element is longer than what contains it");
    found.push({ tag, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return found;
}

function lengthAt(bytes: Uint8Array, at: number): { readonly length: number; readonly size: number } {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return { length: first, size: 1 };
  const count = first & 0x7f;
  if (count === 0 || count > 4) throw new Error("the length of an element is not definite");
  const length = [...bytes.subarray(at + 1, at + 1 + count)].reduce((sum, byte) => sum * 256 + byte, 0);
  return { length, size: 1 + count };
}

function identifierOf(bytes: Uint8Array): string {
  const numbers: number[] = [];
  let value = 0;
  for (const byte of bytes) {
    value = value * 128 + (byte & 0x7f);
    if ((byte & 0x80) !== 0) continue;
    numbers.push(value);
    value = 0;
  }
  const [first = 0, ...rest] = numbers;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...rest].join(".");
}

/** UTF8String, PrintableString and IA5String; others are spelled in ways that nobody uses for users. */
function textOf({ tag, content }: Element): string {
  if (tag === 0x0c) return new TextDecoder("utf-8", { fatal: true }).decode(content);
  if ((tag === 0x13 || tag === 0x16) && content.every((byte) => byte < 0x80))
    return Buffer.from(content).toString("latin1");
  throw new Error("a name in the subject is neither UTF-8 nor ASCII");
}
