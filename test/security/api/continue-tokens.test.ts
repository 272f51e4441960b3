import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, textAt, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const stack = new AsyncDisposableStack();
let server: TestServer;
let token = "";

beforeAll(async () => {
  [server, token] = await startServer();
});
afterAll(() => stack.disposeAsync());

/** A server with maps in two namespaces, and a token for the rest of the first list. */
async function startServer(): Promise<[TestServer, string]> {
  const started = stack.use(await startTestServer(stack.use(tempDir()).path, { historyRevisions: 5 }));
  for (const path of [maps, "/api/v1/namespaces/kube-system/configmaps"])
    for (const name of ["a", "b", "c"])
      await started.call("POST", path, { apiVersion: "v1", kind: "ConfigMap", metadata: { name } });
  const { body } = await started.call("GET", `${maps}?limit=1`);
  return [started, textAt(body, "metadata", "continue")];
}

function forged(change: object): string {
  const fields = JSON.parse(Buffer.from(token, "base64url").toString()) as object;
  return Buffer.from(JSON.stringify({ ...fields, ...change })).toString("base64url");
}

async function list(path: string, given: string, at = server): Promise<[number, string, string]> {
  const { status, body } = await at.call("GET", `${path}?continue=${encodeURIComponent(given)}`);
  const items = (body["items"] ?? []) as unknown as { metadata: { namespace: string; name: string } }[];
  const names = items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(" ");
  return [
    status,
    status === 200 ? "ok" : textAt(body, "reason"),
    status === 200 ? names : textAt(body, "message"),
  ];
}

test("a list continues where its token points", async () => {
  expect(await list(maps, token)).toEqual([200, "ok", "default/b default/c"]);
});

test.each([
  ["no base64", "%%%", "illegal base64 data"],
  ["no JSON", "aGVsbG8", "it holds no JSON object"],
  ["a list", Buffer.from("[1]").toString("base64url"), 'server does not recognize this encoded version ""'],
  ["of megabytes", "a".repeat(5000), "illegal base64 data"],
])("a token that is %s is refused", async (_what, given, why) => {
  expect(await list(maps, given)).toEqual([
    400,
    "BadRequest",
    `invalid continue token: continue key is not valid: ${why}`,
  ]);
});

test.each([
  [{ rv: 0 }, 400],
  [{ rv: -1 }, 400],
  [{ rv: 1.5 }, 400],
  [{ rv: 1e300 }, 400],
  [{ rv: "1" }, 400],
  [{ start: "" }, 400],
  [{ start: 5 }, 400],
  [{ v: "v2" }, 400],
  [{ rv: 900_000 }, 410],
])("a token forged with %p is refused", async (change, status) => {
  const [given, reason] = await list(maps, forged(change));
  expect([given, reason]).toEqual([status, status === 410 ? "Expired" : "BadRequest"]);
});

test.each([
  "/api/v1/namespaces/default/secrets",
  "/api/v1/namespaces/kube-system/configmaps",
  "/api/v1/configmaps",
])("a token is expired when it is used for %s", async (path) => {
  expect(await list(path, token)).toEqual([
    410,
    "Expired",
    "The provided continue parameter is of another list. You must start a new list without the continue parameter.",
  ]);
});

test.each(["../kube-system/", "\0", "kube-system/a", "/", "￿"])(
  "a key forged as %p leads to nothing outside of the namespace",
  async (start) => {
    const [status, , names] = await list(maps, forged({ start }));
    expect(status).toBe(200);
    expect(names.split(" ").filter((name) => name !== "" && !name.startsWith("default/"))).toEqual([]);
  },
);

test("a token is expired when its revision is compacted", async () => {
  const [own] = await startServer();
  const old = forged({ rv: 1 });
  for (let index = 0; index < 20; index += 1)
    await own.call(
      "PATCH",
      `${maps}/c`,
      { data: { a: String(index) } },
      { "content-type": "application/merge-patch+json" },
    );
  await own.api.compact();
  expect(await list(maps, old, own)).toEqual([
    410,
    "Expired",
    "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
  ]);
});
