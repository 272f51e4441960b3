import { afterAll, beforeAll, expect, test } from "bun:test";
import { ApiProxy, type ApiProxyOptions } from "#cloud/edge-controller/api-proxy";
import { createPassage } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import { fetchOver } from "#shared/streams";
import { eventually } from "#internal/scripts/service.ts";
import {
  adminToken,
  ownToken,
  startTestServer,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";

let server: TestServer;
let owned: AsyncDisposableStack;

beforeAll(async () => {
  await using stack = new AsyncDisposableStack();
  server = stack.use(await startTestServer(stack.use(tempDir("node-requests")).path));
  owned = stack.move();
});
afterAll(() => owned.disposeAsync());

async function proxyOf(options: Partial<ApiProxyOptions> = {}): Promise<ApiProxy> {
  const socket = server.api.socket;
  const access = { from: "inline", server: "http://localhost", socket, token: ownToken } as const;
  const passage = await createPassage(access, systemClock);
  return new ApiProxy({ passage, clock: systemClock, log: silentLog(), ...options });
}

const watch = "/api/v1/namespaces/default/configmaps?watch=true";
const headers = [["authorization", `Bearer ${adminToken}`]];

/** Opens watches of one node and leaves them open. @returns the statuses of those that were answered, so far */
async function watchFrom(proxy: ApiProxy, node: string, ends: Linked, count: number): Promise<number[]> {
  const asked: Promise<Response>[] = [];
  for (let turn = 0; turn < count; turn += 1) {
    const stream = ends.node.open({ service: "kube-api", method: "GET", path: watch, headers });
    void proxy.serve(node, await ends.atCloud());
    asked.push(fetchOver(stream, null, AbortSignal.timeout(15_000)));
  }
  return (await Promise.all(asked)).map(({ status }) => status);
}

test("watches of many nodes leave room for other nodes, and for requests of cloudcore itself", async () => {
  const proxy = await proxyOf();
  await using links = new AsyncDisposableStack();
  const granted: number[] = [];
  for (let node = 0; node < 5; node += 1) {
    const statuses = await watchFrom(proxy, `node-${node}`, links.use(await link()), 120);
    granted.push(statuses.filter((status) => status === 200).length);
    expect(statuses.filter((status) => status !== 200 && status !== 429)).toEqual([]);
  }
  expect(granted).toEqual([64, 32, 16, 8, 4]);
  const own = { unix: server.api.socket, signal: AbortSignal.timeout(5000) };
  expect((await fetch("http://localhost/version", own)).status).toBe(200);
  expect(await watchFrom(proxy, "quiet", links.use(await link()), 1)).toEqual([200]);
  await links.disposeAsync();
  await eventually(5000, async () => expect(proxy.openOf("node-0")).toBe(0));
  expect(await watchFrom(proxy, "later", owned.use(await link()), 1)).toEqual([200]);
}, 30_000);
