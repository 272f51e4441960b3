import { expect, test } from "bun:test";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { AccessSync, KnownAccess } from "#edge/meta-server/access";
import { CloudApi } from "#edge/meta-server/cloud";
import type { KubeObject } from "#shared/kube";
import type { ByteStream } from "#shared/streams";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";

/** The API on a node, whose cloud is the test. */
function apiOf(
  ends: Linked,
  clock: FakeClock,
): { readonly api: CloudApi; readonly asked: Promise<ByteStream> } {
  const api = new CloudApi(async (head) => ends.node.open(head), clock);
  return { api, asked: ends.atCloud() };
}

test("a cloud that takes a request and never answers times out after 90 s, and its stream is reset", async () => {
  await using ends = await link();
  const clock = new FakeClock();
  const { api, asked } = apiOf(ends, clock);
  const answer = api.send({ method: "GET", path: "/api", headers: [] }).catch((error: unknown) => error);
  const stream = await asked;
  await clock.advance(90_000);
  expect(await answer).toMatchObject({ name: "ClosedError" });
  expect((await stream.closed).reason).toBe("the request was aborted");
  expect(ends.node.size).toBe(0);
});

test("a cloud that begins an answer and never ends it holds no question of the node itself", async () => {
  await using ends = await link();
  const clock = new FakeClock();
  const { api, asked } = apiOf(ends, clock);
  const answer = api.json({ token: "t", method: "GET", path: "/api" }).catch((error: unknown) => error);
  const stream = await asked;
  const head = Buffer.from(JSON.stringify({ status: 200, headers: [] }));
  const writer = stream.writable.getWriter();
  await writer.write(Buffer.concat([Buffer.from([0, 0, 0, head.length]), head, Buffer.from("{")]));
  await clock.advance(30_000);
  expect(await answer).toMatchObject({ code: "timeout" });
  await stream.closed;
  expect(ends.node.size).toBe(0);
});

const pod: KubeObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default", uid: "u" },
  spec: { volumes: [{ projected: { sources: [{ serviceAccountToken: {} }] } }] },
};

function tokenOf(account: string): string {
  const about = { namespace: "default", serviceaccount: { name: account } };
  const claims = { iss: "i", aud: ["a"], exp: 2e9, sub: `system:serviceaccount:default:${account}` };
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({})}.${part({ ...claims, "kubernetes.io": about })}.x`;
}

interface Sync extends AsyncDisposable {
  readonly sync: AccessSync;
  readonly clock: FakeClock;
  readonly log: ReturnType<typeof silentLog>;
}

function startSync(ends: Linked, token: string): Sync {
  const dir = tempDir("silent-cloud");
  const store = openStore(join(dir.path, "edge.db"));
  const clock = new FakeClock();
  const log = silentLog();
  const sync = new AccessSync({
    api: new CloudApi(async (head) => ends.node.open(head), clock),
    askToken: async () => ({ token }),
    pods: () => [pod],
    namespaces: () => [],
    known: new KnownAccess(store.metas),
    onKeys: () => undefined,
    clock,
    log,
  });
  return {
    sync,
    clock,
    log,
    [Symbol.asyncDispose]: async () => {
      await sync[Symbol.asyncDispose]();
      store[Symbol.dispose]();
      dir[Symbol.dispose]();
    },
  };
}

test("a token that is larger than the head of a stream is an error that is logged, and asked for again", async () => {
  await using ends = await link();
  await using node = startSync(ends, tokenOf("x".repeat(60_000)));
  node.sync.linkChanged(true);
  await node.clock.advance(1);
  expect(node.log.lines.join()).toContain("cannot ask what a service account may do");
  node.log.lines.length = 0;
  await node.clock.advance(30_000);
  expect(node.log.lines.join()).toContain("cannot ask what a service account may do");
});

test("edgecore stops at once although the cloud does not answer", async () => {
  await using ends = await link();
  const node = startSync(ends, tokenOf("default"));
  node.sync.linkChanged(true);
  await node.clock.advance(1);
  const stream = await ends.atCloud();
  await node[Symbol.asyncDispose]();
  expect((await stream.closed).reason).toBe("the request was aborted");
});
