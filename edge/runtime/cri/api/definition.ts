import definitionText from "./api.proto.txt" with { type: "text" };

/** A type of `api.proto.txt`. */
export type FieldType =
  | { readonly kind: "string" | "bytes" | "bool" | "number" | "texts" }
  | { readonly kind: "enum"; readonly names: readonly string[] }
  | { readonly kind: "message"; readonly message: Message };

export interface Field {
  /** As in `messages.ts`: "podSandboxId". */
  readonly name: string;
  readonly number: number;
  readonly isRepeated: boolean;
  readonly type: FieldType;
}

export interface Message {
  readonly fields: readonly Field[];
}

export interface Method {
  /** As in the request of HTTP/2. */
  readonly path: string;
  readonly request: Message;
  readonly answer: Message;
}

const scalars: Readonly<Record<string, FieldType>> = {
  string: { kind: "string" },
  bytes: { kind: "bytes" },
  bool: { kind: "bool" },
  int32: { kind: "number" },
  int64: { kind: "number" },
  uint32: { kind: "number" },
  uint64: { kind: "number" },
  "map<string, string>": { kind: "texts" },
};

/** The methods of `api.proto.txt`, which has no nested messages, no options and no values of enums beside 0, 1, 2 and so on. */
export function readDefinition(text = definitionText): ReadonlyMap<string, Method> {
  const code = text.replaceAll(/\/\/.*$/gm, "");
  const [, packageName = ""] = /^package (\S+);/m.exec(code) ?? [];
  const bodies = (keyword: string): [string, string][] =>
    [...code.matchAll(new RegExp(`^${keyword} (\\w+) \\{([^}]*)\\}`, "gm"))].map(
      ([, name = "", body = ""]) => [name, body],
    );
  const enums = new Map(bodies("enum").map(([name, body]) => [name, enumNames(body)]));
  const messages = new Map(bodies("message").map(([name]) => [name, { fields: [] as Field[] }]));
  const typeOf = (name: string): FieldType => {
    const names = enums.get(name);
    if (names) return { kind: "enum", names };
    const message = messages.get(name);
    return scalars[name] ?? { kind: "message", message: message ?? { fields: [] } };
  };
  for (const [name, body] of bodies("message")) messages.get(name)?.fields.push(...fieldsOf(body, typeOf));
  const methods = bodies("service").flatMap(([service, body]) =>
    [...body.matchAll(/rpc (\w+)\((\w+)\) returns \((?:stream )?(\w+)\)/g)].map(
      ([, name = "", request = "", answer = ""]): [string, Method] => [
        name,
        {
          path: `/${packageName}.${service}/${name}`,
          request: messages.get(request) ?? { fields: [] },
          answer: messages.get(answer) ?? { fields: [] },
        },
      ],
    ),
  );
  return new Map(methods);
}

function enumNames(body: string): string[] {
  return [...body.matchAll(/(\w+) = \d+;/g)].map(([, name = ""]) => name);
}

function fieldsOf(body: string, typeOf: (name: string) => FieldType): Field[] {
  const declared = body.matchAll(/(repeated )?(map<string, string>|\w+) (\w+) = (\d+);/g);
  return [...declared].map(([, repeated, type = "", name = "", number]) => ({
    name: name.replaceAll(/_(\w)/g, (_all, letter: string) => letter.toUpperCase()),
    number: Number(number),
    isRepeated: repeated !== undefined,
    type: typeOf(type),
  }));
}
