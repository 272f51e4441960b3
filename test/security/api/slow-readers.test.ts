import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { StreamPool, type ByteSource } from "#cloud/kube-api/flow-control";
import { systemClock } from "#shared/clock";
import { eventually } from "#internal/scripts/service.ts";
import { adminToken, startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import {
  openUnread,
  startCloudProcess,
  type CloudProcess,
} from "#internal/test/support/cloud/loaded-cloud.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const maps = "/api/v1/namespaces/default/configmaps";
const objects = 20;
const limitMs = 20_000;
const configMap = (name: string, filler: string): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data: { filler },
});
const table = { Accept: "application/json;as=Table;v=v1;g=meta.k8s.io" };

describe("memory of cloudcore with 18 MB of objects stays bounded", () => {
  let cloud: CloudProcess;
  let before = 0;
  beforeAll(async () => {
    cloud = await startCloudProcess();
    for (let at = 0; at < objects; at += 1) await put(cloud, `big-${at}`, "x".repeat(900_000));
    before = cloud.residentMiB();
  });
  afterAll(() => cloud[Symbol.asyncDispose]());

  /** What it takes at most while `count` connections read nothing. */
  async function grownMiB(
    count: number,
    path: string,
    options: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly meanwhile?: () => Promise<void>;
    } = {},
  ): Promise<number> {
    const sockets = await Promise.all(
      Array.from({ length: count }, () => cloud.unread(path, options.headers)),
    );
    let most = before;
    try {
      await options.meanwhile?.();
      for (const end = performance.now() + 1500; performance.now() < end; await Bun.sleep(20))
        most = Math.max(most, cloud.residentMiB());
      expect((await cloud.call("GET", "/healthz")).status).toBe(200);
    } finally {
      await leave(sockets);
    }
    return most - before;
  }

  // Unbounded it would be 40 × 18 MB = 720 MB; what is left is what the collector has not picked up yet.
  const boundMiB = 350;

  test(
    "when 40 watches of what is there are not read",
    async () => {
      expect(await grownMiB(40, `${maps}?watch=1`)).toBeLessThan(boundMiB);
    },
    limitMs,
  );

  test(
    "when 40 watches of changes are not read",
    async () => {
      const revision = await revisionOf(cloud);
      const meanwhile = async (): Promise<void> => {
        for (let at = 0; at < objects; at += 1) await put(cloud, `big-${at}`, "y".repeat(900_000));
      };
      const path = `${maps}?watch=1&resourceVersion=${revision}`;
      expect(await grownMiB(40, path, { meanwhile })).toBeLessThan(boundMiB);
    },
    limitMs,
  );

  test(
    "when 40 lists are not read",
    async () => {
      expect(await grownMiB(40, maps)).toBeLessThan(boundMiB);
    },
    limitMs,
  );

  test(
    "when 40 tables with objects are not read",
    async () => {
      expect(await grownMiB(40, `${maps}?includeObject=Object`, { headers: table })).toBeLessThan(boundMiB);
    },
    limitMs,
  );

  test(
    "when 40 lists as YAML are not read",
    async () => {
      expect(await grownMiB(40, maps, { headers: { Accept: "application/yaml" } })).toBeLessThan(boundMiB);
    },
    limitMs,
  );

  test(
    "when 300 answers with one object are not read",
    async () => {
      expect(await grownMiB(300, `${maps}/big-0`)).toBeLessThan(boundMiB);
    },
    limitMs,
  );

  test(
    "when 300 OpenAPI documents are not read",
    async () => {
      expect(await grownMiB(300, "/openapi/v3/api/v1")).toBeLessThan(boundMiB);
    },
    limitMs,
  );
});

async function put(cloud: CloudProcess, name: string, filler: string): Promise<void> {
  const path = `${maps}/${name}`;
  const found = (await cloud.call("GET", path)).status === 200;
  const response = await cloud.call(found ? "PUT" : "POST", found ? path : maps, configMap(name, filler));
  if (!response.ok) throw new Error(await response.text());
  await response.arrayBuffer();
}

async function revisionOf(cloud: CloudProcess): Promise<string> {
  const list = (await (await cloud.call("GET", `${maps}?limit=1`)).json()) as {
    readonly metadata: { readonly resourceVersion: string };
  };
  return list.metadata.resourceVersion;
}

async function leave(sockets: readonly TLSSocket[]): Promise<void> {
  await Promise.all(
    sockets.map(async (socket) => {
      if (socket.closed) return;
      const closed = once(socket, "close");
      socket.destroy();
      await closed;
    }),
  );
}

async function unread(server: TestServer, path: string, method = "GET"): Promise<TLSSocket> {
  const { api, caPem } = server;
  return openUnread({ port: api.port, caPem, token: adminToken, method }, path, {});
}

async function fill(server: TestServer, count: number): Promise<void> {
  const filler = "x".repeat(700_000);
  for (let at = 0; at < count; at += 1) await server.call("POST", maps, configMap(`big-${at}`, filler));
}

for (const path of [`${maps}?watch=1`, maps])
  test(`a connection is closed with one log line when nothing of GET ${path} is read`, async () => {
    using dir = tempDir("slow");
    await using server = await startTestServer(dir.path, { streams: { stallMs: 300 } });
    await fill(server, 15);
    const socket = await unread(server, path);
    const ended = Promise.withResolvers<void>();
    socket.on("close", () => ended.resolve());
    const logged = () =>
      server.log.lines.filter((line) => line.includes("closed the connection of a slow reader"));
    await eventually(5_000, async () => expect(logged()).toHaveLength(1));
    socket.resume();
    await ended.promise;
    expect(logged()).toHaveLength(1);
    expect(logged()[0]).toContain("its client reads nothing");
  }, 20_000);

test("a list that is not read prevents no compaction when it was cut", async () => {
  using dir = tempDir("slow");
  await using server = await startTestServer(dir.path, { streams: { stallMs: 300 }, historyRevisions: 2 });
  await fill(server, 15);
  const socket = await unread(server, maps);
  const change = (number: number) => server.call("PUT", `${maps}/big-0`, configMap("big-0", String(number)));
  for (let number = 0; number < 6; number += 1) await change(number);
  await eventually(5_000, async () => {
    await server.api.compact();
    const old = await server.call("GET", `${maps}?resourceVersion=17&resourceVersionMatch=Exact&limit=1`);
    expect(old.status).toBe(410);
  });
  socket.destroy();
});

test("a list asked for with HEAD prevents no compaction", async () => {
  using dir = tempDir("slow");
  await using server = await startTestServer(dir.path, { historyRevisions: 2 });
  await fill(server, 5);
  const head = await server.call("HEAD", maps);
  expect(head.status).toBe(405);
  for (let number = 0; number < 6; number += 1)
    await server.call("PUT", `${maps}/big-0`, configMap("big-0", String(number)));
  await server.api.compact();
  const old = await server.call("GET", `${maps}?resourceVersion=7&resourceVersionMatch=Exact&limit=1`);
  expect(old.status).toBe(410);
});

describe("a pool of streams", () => {
  const large = 1_000_000;
  /** A source of large buffers without end. */
  const endless = (make = () => new Uint8Array(large)): ByteSource => ({
    next: make,
    ended: () => undefined,
  });
  const reader = (user: string, cut = (): void => undefined) => ({ user, exempt: false, cut });

  test("holds no more than its limit when no stream is read", () => {
    using pool = new StreamPool({ clock: systemClock, log: silentLog(), limitBytes: 10 * large });
    for (let at = 0; at < 100; at += 1) pool.open(endless(), { what: "x" }, reader(`user-${at % 4}`)).fill();
    expect(pool.heldBytes).toBe(10 * large);
  });

  test("leaves half of its limit to others when one user reads nothing", () => {
    using pool = new StreamPool({ clock: systemClock, log: silentLog(), limitBytes: 10 * large });
    for (let at = 0; at < 100; at += 1) pool.open(endless(), { what: "x" }, reader("slow")).fill();
    expect(pool.heldBytes).toBe(5 * large);
    expect([pool.isFullFor("slow"), pool.isFullFor("other")]).toEqual([true, false]);
  });

  test("counts a buffer once when streams share it", () => {
    using pool = new StreamPool({ clock: systemClock, log: silentLog(), limitBytes: 10 * large });
    const shared = new Uint8Array(large);
    const source = endless(() => shared);
    for (let at = 0; at < 100; at += 1) pool.open(source, { what: "x" }, reader("one")).fill();
    expect(pool.heldBytes).toBe(large);
  });

  test("serves a reader that comes when all others have stalled", async () => {
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() * 20 };
    using pool = new StreamPool({ clock, log: silentLog(), limitBytes: 10 * large });
    let cut = 0;
    for (let at = 0; at < 6; at += 1)
      pool
        .open(
          endless(),
          { what: "x" },
          reader("one", () => (cut += 1)),
        )
        .fill();
    const last = pool.open(endless(), { what: "y" }, reader("one")).readable.getReader();
    const { value } = await last.read();
    expect(value?.length).toBe(64 * 1024);
    expect(cut).toBe(3);
    await last.cancel();
  });
});
