import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { boundsOf, ConnectionBudget, type Place } from "#shared/connections";
import { loadAuthority, type Authority, type KeyPair } from "#shared/pki";
import { eventually } from "#internal/scripts/service.ts";
import { startCloudProcess, type CloudProcess } from "#internal/test/support/cloud/loaded-cloud.ts";

const files = 320;
const doors = ["cloudhub", "cloudhub-https", "embedded", "telemetry"] as const;
const limitMs = 40_000;

/** Silent connections, from several addresses of the loopback; those that are closed reconnect when asked. */
class Flood implements Disposable {
  readonly #sockets = new Set<Socket>();
  readonly #again: boolean;
  #over = false;

  constructor(again = false) {
    this.#again = again;
  }

  open(port: number, count: number): void {
    for (let at = 0; at < count; at += 1) this.#dial(port, `127.0.0.${2 + (at % 8)}`);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  #dial(port: number, localAddress: string): void {
    const socket = connectTcp({ port, host: "127.0.0.1", localAddress });
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (this.#again && !this.#over) setTimeout(() => this.#over || this.#dial(port, localAddress), 50);
    });
    socket.resume();
  }
}

const authorityOf = ({ dataDir }: CloudProcess): Promise<Authority> =>
  loadAuthority({
    cert: readFileSync(join(dataDir, "ca/rootCA.crt"), "utf8"),
    key: readFileSync(join(dataDir, "ca/rootCA.key"), "utf8"),
  });

function issue(authority: Authority, node: string): Promise<KeyPair> {
  const subject = { commonName: `system:node:${node}`, organizations: ["system:nodes"] };
  return authority.issue({ subject, usage: "client", days: 1, nowMs: Date.now() });
}

/**
 * A TLS connection of a node to where nodes connect, which stays open. With TLS 1.2 the server has looked at the certificate
 * when the client is done. @throws when it is refused
 */
async function connectNode(cloud: CloudProcess, pair: KeyPair): Promise<TLSSocket> {
  const outcome = Promise.withResolvers<void>();
  const port = cloud.ports["cloudhub"] ?? 0;
  const how = { host: "127.0.0.1", ...pair, rejectUnauthorized: false, maxVersion: "TLSv1.2" } as const;
  const socket = connectTls({ port, ...how });
  socket.on("error", outcome.reject);
  socket.on("close", () => outcome.reject(new Error("closed")));
  socket.on("secureConnect", () => outcome.resolve());
  socket.setTimeout(2_000, () => outcome.reject(new Error("no handshake in time")));
  try {
    await outcome.promise;
  } catch (error) {
    socket.destroy();
    throw error;
  }
  socket.setTimeout(0);
  socket.resume();
  return socket;
}

async function answersAll(cloud: CloudProcess, pair: KeyPair, within: number): Promise<void> {
  await eventually(within, async () => (await connectNode(cloud, pair)).destroy());
  await eventually(within, async () => {
    const signal = AbortSignal.timeout(1000);
    const tls = { rejectUnauthorized: false };
    const url = `https://127.0.0.1:${cloud.ports["cloudhub-https"]}/ca.crt`;
    const ca = await fetch(url, { tls, signal } as BunFetchRequestInit);
    expect(ca.status).toBe(200);
  });
  await eventually(within, async () => {
    const url = `https://127.0.0.1:${cloud.ports["embedded"]}/api/v1/namespaces/default/configmaps`;
    const headers = { authorization: `Bearer ${cloud.token}`, "content-type": "application/json" };
    const body = JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "a-" } });
    const how = {
      method: "POST",
      headers,
      body,
      tls: { ca: cloud.caPem },
      signal: AbortSignal.timeout(1000),
    };
    expect((await fetch(url, how as BunFetchRequestInit)).status).toBe(201);
  });
  await eventually(within, async () => {
    const url = `http://127.0.0.1:${cloud.ports["telemetry"]}/uploads`;
    expect((await fetch(url, { signal: AbortSignal.timeout(1000) })).status).toBe(200);
  });
}

describe(`cloudcore with ${files} files`, () => {
  test(
    "answers on every port when unauthenticated clients hold all connections they may have",
    async () => {
      await using cloud = await startCloudProcess({ files });
      const pair = await issue(await authorityOf(cloud), "edge-1");
      using flood = new Flood();
      for (const door of doors) flood.open(cloud.ports[door] ?? 0, 400);
      await answersAll(cloud, pair, 8_000);
      expect(readdirSync(`/proc/${cloud.service.pid}/fd`).length).toBeLessThan(files);
      flood[Symbol.dispose]();
      await answersAll(cloud, pair, 8_000);
    },
    limitMs,
  );

  test(
    "answers on every port when unauthenticated clients reconnect as often as they are refused",
    async () => {
      await using cloud = await startCloudProcess({ files });
      const pair = await issue(await authorityOf(cloud), "edge-1");
      using flood = new Flood(true);
      for (const door of doors) flood.open(cloud.ports[door] ?? 0, 100);
      await answersAll(cloud, pair, 8_000);
    },
    limitMs,
  );

  test(
    "accepts more nodes from one address than unauthenticated clients may come from it, however many connect at once",
    async () => {
      await using cloud = await startCloudProcess({ files });
      const authority = await authorityOf(cloud);
      const { perAddress } = boundsOf(files);
      const pairs = await Promise.all(Array.from({ length: 10 }, (_, at) => issue(authority, `edge-${at}`)));
      const sockets: TLSSocket[] = [];
      const nodes = pairs.flatMap((pair) => [pair, pair, pair, pair, pair, pair]);
      expect(nodes.length).toBeGreaterThan(perAddress);
      await Promise.all(
        nodes.map((pair) =>
          eventually(20_000, async () => {
            sockets.push(await connectNode(cloud, pair));
          }),
        ),
      );
      await answersAll(cloud, await issue(authority, "edge-10"), 8_000);
      expect(sockets.filter((socket) => socket.closed)).toEqual([]);
      for (const socket of sockets) socket.destroy();
    },
    limitMs,
  );

  test(
    "closes connections of one node past sixteen",
    async () => {
      await using cloud = await startCloudProcess({ files });
      const pair = await issue(await authorityOf(cloud), "edge-1");
      using connected = new DisposableStack();
      for (let count = 0; count < 16; count += 1)
        connected.adopt(await connectNode(cloud, pair), (socket) => socket.destroy());
      const last = await connectNode(cloud, pair).catch(() => undefined);
      // It may learn of it in the handshake or right behind it.
      if (last && !last.closed) await once(last, "close");
      await (await connectNode(cloud, await issue(await authorityOf(cloud), "edge-2"))).end();
    },
    limitMs,
  );
});

describe("a budget of connections", () => {
  const bounds = { hasFiles: () => true, unproven: 20, perAddress: 5 };

  function start(): {
    budget: ConnectionBudget;
    admit: (from: string) => Place | undefined;
    closed: string[];
    wait: (ms: number) => void;
  } {
    let nowMs = 0;
    const closed: string[] = [];
    const budget = new ConnectionBudget({ ...bounds, clock: { monotonicMs: () => nowMs } });
    return {
      budget,
      closed,
      admit: (from) => budget.admit(from, () => closed.push(from)),
      wait: (ms) => void (nowMs += ms),
    };
  }

  test("refuses unauthenticated clients beyond the limit of an address, however IPv4 is written and anywhere in an IPv6 network", () => {
    const { admit } = start();
    const admitted = (from: string): number =>
      Array.from({ length: 9 }, () => admit(from)).filter(Boolean).length;
    expect([admitted("10.0.0.1"), admitted("::ffff:10.0.0.1"), admitted("10.0.0.2")]).toEqual([5, 0, 5]);
    expect([admitted("2001:db8::1"), admitted("2001:db8:0:0:1:2:3:4"), admitted("2001:db8:0:1::1")]).toEqual([
      5, 0, 5,
    ]);
  });

  test("counts authenticated clients against no address, and refuses more than they may have", () => {
    const { admit } = start();
    const proven = Array.from({ length: 9 }, () => admit("10.0.0.1")?.prove("node", 8));
    expect(proven).toEqual([true, true, true, true, true, true, true, true, false]);
  });

  test("evicts a client that has had its time for a new one of its address", () => {
    const { admit, closed, wait } = start();
    for (let count = 0; count < 5; count += 1) admit("10.0.0.1");
    expect([admit("10.0.0.1"), closed]).toEqual([undefined, []]);
    wait(3_000);
    expect(admit("10.0.0.1")).toBeDefined();
    expect(closed).toEqual(["10.0.0.1"]);
  });

  test("evicts a client of an address with many when there is no room for one of an address with none", () => {
    const { admit, closed } = start();
    for (const host of [1, 2, 3, 4]) for (let count = 0; count < 5; count += 1) admit(`10.0.0.${host}`);
    expect(admit("10.0.0.5")).toBeDefined();
    expect(closed).toHaveLength(1);
  });

  test("frees a place when a connection is closed, also one that grew, and counts a close once", () => {
    const { admit, budget } = start();
    const place = admit("10.0.0.1");
    expect(place?.grow(2)).toBe(true);
    expect(budget.sockets).toBe(3);
    place?.leave();
    place?.leave();
    expect([budget.sockets, place?.grow(1), place?.prove("late", 1)]).toEqual([0, false, false]);
  });

  test("accepts 5,000 nodes of one address that all connect at once and retry", () => {
    const { budget, wait } = ((): { budget: ConnectionBudget; wait: (ms: number) => void } => {
      let nowMs = 0;
      const clock = { monotonicMs: () => nowMs };
      return {
        budget: new ConnectionBudget({ ...boundsOf(65_536), hasFiles: () => true, clock }),
        wait: (ms) => void (nowMs += ms),
      };
    })();
    let waiting = Array.from({ length: 5_000 }, (_, at) => `node-${at}`);
    let rounds = 0;
    for (; waiting.length > 0 && rounds < 20; rounds += 1) {
      const admitted = waiting.map((node) => [node, budget.admit("10.0.0.1", () => undefined)] as const);
      wait(1_000);
      for (const [node, place] of admitted) place?.prove(node, 16);
      waiting = admitted.filter(([, place]) => !place).map(([node]) => node);
    }
    expect([waiting.length, rounds]).toEqual([0, 5]);
  });
});
