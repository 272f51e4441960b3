export type FieldType =
  | { readonly kind: "string" | "bytes" | "bool" | "number" | "float" | "double" }
  /** An object; each of its entries is a message of a text `key` and a `value`. */
  | { readonly kind: "map"; readonly entry: Message }
  | { readonly kind: "enum"; readonly names: readonly string[] }
  | { readonly kind: "message"; readonly message: Message };

export interface Field {
  /** As it is in objects: "podSandboxId". */
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
  float: { kind: "float" },
  double: { kind: "double" },
};

/** What a text in the language of protobuf defines. */
export interface Definition {
  /** By the name of the method; methods of several services have different names. */
  readonly methods: ReadonlyMap<string, Method>;
  readonly messages: ReadonlyMap<string, Message>;
}

/**
 * Reads a definition that has no nested messages, no options, no maps but of texts as keys, and no values of enums beside 0, 1,
 * 2 and so on.
 */
export function readDefinition(text: string): Definition {
  const code = text.replaceAll(/\/\/.*$/gm, "");
  const [, packageName = ""] = /^package (\S+);/m.exec(code) ?? [];
  const bodies = (keyword: string): [string, string][] =>
    [...code.matchAll(new RegExp(`^${keyword} (\\w+) \\{([^}]*)\\}`, "gm"))].map(
      ([, name = "", body = ""]) => [name, body],
    );
  const enums = new Map(bodies("enum").map(([name, body]) => [name, enumNames(body)]));
  const messages = new Map(bodies("message").map(([name]) => [name, { fields: [] as Field[] }]));
  const typeOf = (name: string): FieldType => {
    const [, valueName] = /^map<string, (\S+)>$/.exec(name) ?? [];
    if (valueName !== undefined) return { kind: "map", entry: entryOf(typeOf(valueName)) };
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
  return { methods: new Map(methods), messages };
}

function entryOf(value: FieldType): Message {
  return {
    fields: [
      { name: "key", number: 1, isRepeated: false, type: { kind: "string" } },
      { name: "value", number: 2, isRepeated: false, type: value },
    ],
  };
}

function enumNames(body: string): string[] {
  return [...body.matchAll(/(\w+) = \d+;/g)].map(([, name = ""]) => name);
}

function fieldsOf(body: string, typeOf: (name: string) => FieldType): Field[] {
  const declared = body.matchAll(/(repeated )?(map<string, \w+>|\w+) (\w+) = (\d+);/g);
  return [...declared].map(([, repeated, type = "", name = "", number]) => ({
    name: name.replaceAll(/_(\w)/g, (_all, letter: string) => letter.toUpperCase()),
    number: Number(number),
    isRepeated: repeated !== undefined,
    type: typeOf(type),
  }));
}
