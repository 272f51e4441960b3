import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type Answer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const hostile = ["__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "valueOf"];
const stack = new AsyncDisposableStack();
const before = Object.getOwnPropertyNames(Object.prototype).toSorted();
let server: TestServer;
let made = 0;

beforeAll(async () => {
  server = stack.use(await startTestServer(stack.use(tempDir()).path));
});
afterAll(() => stack.disposeAsync());

/** Nothing that was sent may have reached what all objects inherit. */
function expectUnpolluted(): void {
  expect(Object.getOwnPropertyNames(Object.prototype).toSorted()).toEqual(before);
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
}

function entriesOf(value: unknown): [string, unknown][] {
  return Object.entries(value ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

const data = `{${hostile.map((key) => `${JSON.stringify(key)}:"kept"`).join(",")}}`;
const wanted = hostile
  .map((key): [string, unknown] => [key, "kept"])
  .toSorted(([a], [b]) => (a < b ? -1 : 1));

async function plainMap(): Promise<string> {
  made += 1;
  const name = `m${made}`;
  const { status } = await server.call("POST", maps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name },
  });
  expect(status).toBe(201);
  return name;
}

const ways: readonly (readonly [string, () => Promise<[string, Answer]>])[] = [
  [
    "a creation",
    () => create(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"json"},"data":${data}}`, "json"),
  ],
  [
    "a creation in YAML",
    () =>
      create(
        `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: yaml }\ndata:\n${hostile.map((key) => `  ${key}: kept`).join("\n")}\n`,
        "yaml",
        "application/yaml",
      ),
  ],
  ["a merge patch", () => patch("application/merge-patch+json", `{"data":${data}}`)],
  ["a strategic merge patch", () => patch("application/strategic-merge-patch+json", `{"data":${data}}`)],
  [
    "a JSON Patch",
    () => {
      const adds = hostile.map((key) => `{"op":"add","path":"/data/${key}","value":"kept"}`);
      const ops = [`{"op":"add","path":"/data","value":{}}`, ...adds];
      return patch("application/json-patch+json", `[${ops.join(",")}]`);
    },
  ],
  [
    "a JSON Patch that copies and moves",
    () => {
      const ops = hostile.flatMap((key) => [
        `{"op":"copy","from":"/data/source","path":"/data/${key}"}`,
        `{"op":"move","from":"/data/${key}","path":"/data/moved"}`,
        `{"op":"move","from":"/data/moved","path":"/data/${key}"}`,
      ]);
      const start = `{"op":"add","path":"/data","value":{"source":"kept"}}`;
      return patch(
        "application/json-patch+json",
        `[${[start, ...ops].join(",")},{"op":"remove","path":"/data/source"}]`,
      );
    },
  ],
  [
    "a server-side apply",
    async () => {
      const name = await plainMap();
      const body = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"},"data":${data}}`;
      return [
        name,
        await send("PATCH", `${maps}/${name}?fieldManager=me`, body, "application/apply-patch+yaml"),
      ];
    },
  ],
];

function send(method: string, path: string, body: string, type = "application/json"): Promise<Answer> {
  return server.call(method, path, body, { "content-type": type });
}

async function create(body: string, name: string, type?: string): Promise<[string, Answer]> {
  return [name, await send("POST", maps, body, type)];
}

async function patch(type: string, body: string): Promise<[string, Answer]> {
  const name = await plainMap();
  return [name, await send("PATCH", `${maps}/${name}`, body, type)];
}

test.each(ways)("keys that objects inherit are kept when they come by %s", async (_way, run) => {
  const [name, answer] = await run();
  expect([answer.status, entriesOf(answer.body["data"])]).toEqual([
    answer.status === 201 ? 201 : 200,
    wanted,
  ]);
  const stored = await server.call("GET", `${maps}/${name}`);
  expect(entriesOf(stored.body["data"])).toEqual(wanted);
  const changed = await send(
    "PATCH",
    `${maps}/${name}`,
    '{"data":{"other":"1"}}',
    "application/merge-patch+json",
  );
  expect(entriesOf(changed.body["data"])).toEqual(
    [...wanted, ["other", "1"] as [string, unknown]].toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
  expectUnpolluted();
});

test("fields with names of inherited properties can be applied, disowned and removed", async () => {
  const name = await plainMap();
  const path = `${maps}/${name}?fieldManager=me`;
  const body = (inner: string): string =>
    `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"},"data":${inner}}`;
  await send("PATCH", path, body(data), "application/apply-patch+yaml");
  const left = await send("PATCH", path, body('{"__proto__":"kept"}'), "application/apply-patch+yaml");
  expect(entriesOf(left.body["data"])).toEqual([["__proto__", "kept"]]);
  const conflict = await send(
    "PATCH",
    `${maps}/${name}?fieldManager=you`,
    body('{"__proto__":"taken"}'),
    "application/apply-patch+yaml",
  );
  expect([conflict.status, conflict.body["message"]]).toEqual([
    409,
    'Apply failed with 1 conflict: conflict with "me": .data.__proto__',
  ] as unknown[] as [number, never]);
  expectUnpolluted();
});

test("managed fields of any shape pollute nothing", async () => {
  const name = await plainMap();
  const fieldsV1 =
    '{"__proto__":{"polluted":{}},"f:data":{"f:__proto__":{"polluted":{}},"k:{oops":{},"v:[":{}}}';
  const entry = `{"manager":"m","operation":"Apply","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":${fieldsV1}}`;
  await send(
    "PATCH",
    `${maps}/${name}`,
    `{"metadata":{"managedFields":[${entry}]}}`,
    "application/merge-patch+json",
  );
  const body = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"${name}"},"data":{"a":"b"}}`;
  const { status } = await send(
    "PATCH",
    `${maps}/${name}?fieldManager=m&force=true`,
    body,
    "application/apply-patch+yaml",
  );
  expect(status).toBe(200);
  expectUnpolluted();
});

test("a custom kind with a property called __proto__ and a default in it pollutes nothing", async () => {
  const inner = '{"type":"object","properties":{"polluted":{"type":"string","default":"yes"}}}';
  const spec = `{"type":"object","properties":{"__proto__":${inner},"constructor":${inner}}}`;
  const crd = `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"traps.attack.example.com"},
    "spec":{"group":"attack.example.com","scope":"Namespaced","names":{"plural":"traps","singular":"trap","kind":"Trap","listKind":"TrapList"},
    "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":${spec}}}}}]}}`;
  expect((await send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)).status).toBe(
    201,
  );
  const path = "/apis/attack.example.com/v1/namespaces/default/traps";
  const object = (name: string, inside: string): string =>
    `{"apiVersion":"attack.example.com/v1","kind":"Trap","metadata":{"name":"${name}"},"spec":${inside}}`;
  const empty = await send("POST", path, object("empty", "{}"));
  expect([empty.status, JSON.stringify(empty.body["spec"])]).toEqual([201, "{}"]);
  const given = await send("POST", path, object("given", '{"__proto__":{},"constructor":{}}'));
  expect(JSON.stringify(given.body["spec"])).toBe(
    '{"__proto__":{"polluted":"yes"},"constructor":{"polluted":"yes"}}',
  );
  expectUnpolluted();
});

test("a selector by a key that objects inherit selects only what has that label", async () => {
  const metadata = { name: "labelled", labels: { constructor: "a" } };
  await server.call("POST", maps, { apiVersion: "v1", kind: "ConfigMap", metadata });
  for (const [selector, names] of [
    ["constructor", ["labelled"]],
    ["toString", []],
    ["constructor=a", ["labelled"]],
  ] as const) {
    const { body } = await server.call("GET", `${maps}?labelSelector=${selector}`);
    const items = body["items"] as unknown as { metadata: { name: string } }[];
    expect([selector, items.map((item) => item.metadata.name)]).toEqual([selector, [...names]]);
  }
});

test.each([
  [
    "POST",
    "/api/v1/namespaces/default/secrets",
    { kind: "Secret", metadata: { name: "s" }, type: "constructor" },
    201,
  ],
  ["POST", `${maps}?fieldManager=${"x".repeat(129)}`, { kind: "ConfigMap", metadata: { name: "x" } }, 422],
  ["POST", `${maps}?fieldManager=%00`, { kind: "ConfigMap", metadata: { name: "x" } }, 422],
  ["POST", maps, { kind: "ConfigMap", metadata: { name: "a\0b" } }, 422],
  ["POST", maps, { kind: "ConfigMap", metadata: { name: "kept-nul" }, data: { a: "b\0c" } }, 201],
  ["DELETE", `${maps}/labelled`, { kind: "DeleteOptions", gracePeriodSeconds: 1e300 }, 400],
  ["DELETE", `${maps}/labelled`, { kind: "DeleteOptions", propagationPolicy: "constructor" }, 422],
] as const)(
  "%s %s with hostile values is answered by a status, never by 500",
  async (method, path, body, status) => {
    const answer = await server.call(method, path, { apiVersion: "v1", ...body });
    expect(answer.status).toBe(status);
    expectUnpolluted();
  },
);

test("a body that is not UTF-8 is refused, and half a surrogate pair becomes the replacement character", async () => {
  const bytes = Buffer.from(
    `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bytes"},"data":{"a":"?"}}`,
  );
  bytes[bytes.indexOf("?")] = 0xff;
  const refused = await rawPost(bytes);
  expect([refused.status, await refused.text()]).toEqual([
    400,
    expect.stringContaining("the body of the request is not valid UTF-8") as string,
  ]);
  const half = String.raw`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"half"},"data":{"a":"\ud800","b":"\ud83d\ude00"}}`;
  const { body } = await send("POST", maps, half);
  expect(body["data"]).toEqual({ a: "\ufffd", b: "😀" } as never);
});

function rawPost(bytes: Uint8Array): Promise<Response> {
  return server.raw("POST", maps, bytes);
}

test.each([
  ["Strict", 400, ""],
  ["Warn", 201, '299 - "duplicate field \\"data.a\\"", 299 - "duplicate field \\"metadata.labels.x\\""'],
  ["Ignore", 201, ""],
] as const)(
  "fields given twice are answered with %s as upstream does",
  async (validation, status, warning) => {
    const text = `{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"1","b":"{\\"a\\":1,\\"a\\":2}","a":"2"},"metadata":{"name":"twice-${validation.toLowerCase()}","labels":{"x":"1","x":"2"}}}`;
    const answer = await send("POST", `${maps}?fieldValidation=${validation}`, text);
    expect([answer.status, answer.headers.get("warning") ?? ""]).toEqual([status, warning]);
    if (status === 400)
      expect(answer.body["message"] as unknown).toBe(
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "data.a", duplicate field "metadata.labels.x"',
      );
  },
);
