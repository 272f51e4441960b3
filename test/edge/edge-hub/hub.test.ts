import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { startEdgeHub, type EdgeHubStartConfig } from "#edge/edge-hub";
import { openStore, type Store } from "#edge/store";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import type { Delivery, EdgeCatalog, ReceivedObject, ObjectRequest, TwinDelivery } from "#shared/topics";
import type { WireMessage } from "#shared/wire";
import { newMessage, responseTo } from "#shared/wire";
import { identifyCertificate, readCertificate } from "#shared/pki";
import { startCutProxy } from "#internal/test/support/cut-proxy.ts";
import { NodeIdentity } from "#internal/edge/edge-hub/enrolment/node-identity.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { ScriptedCloud } from "./scripted-cloud.ts";

const stamp = { id: () => crypto.randomUUID(), nowMs: () => 1 };

function configOf(
  dataDir: string,
  port: number,
  token: string | undefined,
  httpsPort = port,
): EdgeHubStartConfig {
  return {
    dataDir,
    nodeName: "edge-1",
    edgeHub: {
      url: `wss://127.0.0.1:${port}/project/edge-1/events`,
      httpsUrl: `https://127.0.0.1:${httpsPort}`,
      projectId: "project",
      token,
      tokenFile: undefined,
      rotateCertificates: true,
      caFile: undefined,
      certFile: undefined,
      keyFile: undefined,
      handshakeTimeoutMs: 5000,
      writeDeadlineMs: 5000,
      readDeadlineMs: 5000,
      heartbeatMs: 15_000,
      outboxLimitBytes: 1e6,
    },
  };
}

interface Edge extends AsyncDisposable {
  readonly log: ReturnType<typeof silentLog>;
  readonly store: Store;
  readonly delivered: (ReceivedObject | TwinDelivery)[];
  readonly ask: (body: ObjectRequest) => Promise<KubeObject | undefined>;
  readonly put: (lane: string, count: number) => string[];
}

async function startEdge(
  config: EdgeHubStartConfig,
  take: () => Promise<Delivery> = () => Promise.resolve({ ack: true }),
): Promise<Edge> {
  await using stack = new AsyncDisposableStack();
  const log = silentLog();
  const store = stack.use(openStore(join(config.dataDir, "edge.db")));
  const bus = stack.use(new Bus<EdgeCatalog>({ onHearerError: () => undefined }));
  const other = bus.port<"outbox.added", "cloud.object", never, "object.deliver" | "twin.deliver">("test");
  const delivered: (ReceivedObject | TwinDelivery)[] = [];
  for (const topic of ["object.deliver", "twin.deliver"] as const)
    other.answer(topic, (delivery) => {
      delivered.push(delivery);
      return take();
    });
  stack.use(await startEdgeHub(config, { port: bus.port("edgehub"), store, clock: systemClock, log }));
  const owned = stack.move();
  return {
    log,
    store,
    delivered,
    ask: (body) => other.ask("cloud.object", body),
    put: (lane, count) => {
      const messages = Array.from({ length: count }, (_, index) =>
        newMessage(stamp, {
          source: "twin",
          group: "resource",
          operation: "update",
          resource: `device/d${index}/twin/edge_updated`,
          content: { index },
        }),
      );
      store.transaction(() => {
        for (const message of messages) store.outbox.put(lane, undefined, JSON.stringify(message));
      });
      void other.emit("outbox.added", {});
      return messages.map((message) => message.header.msg_id);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await Bun.sleep(5);
}

const isKeepalive = ({ route }: WireMessage): boolean => route.operation === "keepalive";

describe("edgehub enrolment", () => {
  test("gets a certificate with the token and keeps it for its owner alone", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    await using _edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    await cloud.until(() => cloud.received.some(isKeepalive));
    expect(cloud.enrolments.map(({ node }) => node)).toEqual(["edge-1"]);
    expect(readCertificate(readFileSync(join(dir.path, "certs/edge.crt"))).commonName).toBe(
      "system:node:edge-1",
    );
    expect(statSync(join(dir.path, "certs/edge.key")).mode & 0o777).toBe(0o600);
    expect(cloud.handshakes[0]).toMatchObject({
      node_id: "edge-1",
      project_id: "project",
      connectionuse: "msg",
    });
  });

  test.each([
    ["the token has ended", (cloud: ScriptedCloud) => cloud.token(1), "Invalid authorization token: expired"],
    [
      "the token pins another CA",
      (cloud: ScriptedCloud) => `${"0".repeat(64)}.${cloud.token().split(".").slice(1).join(".")}`,
      "has another CA",
    ],
    ["the token is none", () => "nonsense", "the token is not one"],
    ["there is no token", () => undefined, "neither a certificate nor a token"],
  ])("says so and stays offline when %s", async (_name, token, said) => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    await using edge = await startEdge(configOf(dir.path, cloud.port, token(cloud)));
    await eventually(() => edge.log.lines.some((line) => line.includes(said)));
    expect(existsSync(join(dir.path, "certs/edge.crt"))).toBe(false);
    const question = { type: "secret", namespace: "default", name: "s", timeoutMs: 5000 };
    expect(edge.ask(question)).rejects.toMatchObject({ code: "no-link" });
  });

  test("connects without a restart when its certificate is put back while it runs", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    const certs = join(dir.path, "certs");
    {
      await using _joining = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
      await cloud.until(() => cloud.received.some(isKeepalive));
    }
    renameSync(certs, `${certs}-away`);
    cloud.received.length = 0;
    await using edge = await startEdge(configOf(dir.path, cloud.port, undefined));
    const complaints = () => edge.log.lines.filter((line) => line.includes("neither a certificate nor"));
    await eventually(() => complaints().length > 0);
    renameSync(`${certs}-away`, certs);
    await cloud.until(() => cloud.received.some(isKeepalive));
    expect(complaints()).toHaveLength(1);
  }, 20_000);

  test("enrols anew when the token is of another cloud, and when the node has another name", async () => {
    await using first = await ScriptedCloud.start();
    await using second = await ScriptedCloud.start();
    using dir = tempDir();
    const parts = { clock: systemClock, log: silentLog(), onRenewed: () => undefined };
    const enrolWith = (config: EdgeHubStartConfig) => new NodeIdentity(config, parts).credentials();
    await enrolWith(configOf(dir.path, first.port, first.token()));
    await enrolWith(configOf(dir.path, second.port, second.token()));
    const moved = { ...configOf(dir.path, second.port, second.token()), nodeName: "edge-2" };
    await enrolWith(moved);
    await enrolWith(moved);
    expect(second.enrolments.map(({ node }) => node)).toEqual(["edge-1", "edge-2"]);
  });

  test("asks again with the same key when the answer was lost, also after a restart, and with a new token for a new one", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    const parts = { clock: systemClock, log: silentLog(), onRenewed: () => undefined };
    const config = configOf(dir.path, cloud.port, cloud.token());
    cloud.loseAnswers = 2;
    const identity = new NodeIdentity(config, parts);
    await expect(identity.credentials()).rejects.toThrow("Cannot reach cloudcore");
    await expect(identity.credentials()).rejects.toThrow("Cannot reach cloudcore");
    const got = await new NodeIdentity(config, parts).credentials();
    expect(got && identifyCertificate(got.cert).keyHash).toBe(cloud.keys[2]);
    const moved = { ...configOf(dir.path, cloud.port, cloud.token(Date.now() + 90_000)), nodeName: "edge-2" };
    await new NodeIdentity(moved, parts).credentials();
    const [first = ""] = cloud.keys;
    expect(cloud.keys).toEqual([first, first, first, expect.not.stringContaining(first)]);
  });

  test("gets another certificate with a token it has not used yet when its own is refused", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    const parts = { clock: systemClock, log: silentLog(), onRenewed: () => undefined };
    const token = cloud.token();
    const spent = new NodeIdentity(configOf(dir.path, cloud.port, token), parts);
    const before = await spent.credentials();
    spent.refused();
    expect((await spent.credentials())?.cert).toBe(before?.cert);
    const fresh = new NodeIdentity(configOf(dir.path, cloud.port, cloud.token(Date.now() + 90_000)), parts);
    expect((await fresh.credentials())?.cert).toBe(before?.cert);
    fresh.refused();
    const after = await fresh.credentials();
    expect(after?.cert).not.toBe(before?.cert);
    expect((await fresh.credentials())?.cert).toBe(after?.cert);
  });

  test("renews a certificate late in its life by showing it", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    let renewed = 0;
    const late = { ...systemClock, nowMs: () => Date.now() + 23 * 3_600_000 };
    const log = silentLog();
    const config = configOf(dir.path, cloud.port, cloud.token());
    using identity = new NodeIdentity(config, { clock: late, log, onRenewed: () => (renewed += 1) });
    const before = await identity.credentials();
    await identity.renewWhenDue();
    expect([renewed, cloud.enrolments.map(({ byCertificate }) => byCertificate)]).toEqual([1, [false, true]]);
    expect(readFileSync(join(dir.path, "certs/edge.crt"), "utf8")).not.toBe(before?.cert ?? "");
  });

  test("names the address when the cloud's certificate is for another", async () => {
    await using cloud = await ScriptedCloud.start(["cloud.example"]);
    using dir = tempDir();
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    await eventually(() => edge.log.lines.some((line) => line.includes("dns-names")));
    expect(edge.log.lines.join("")).toContain("cloud.example");
  });
});

describe("edgehub messages", () => {
  test("acknowledges an object when it was taken, and tells an error when it was not", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    let fails = true;
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()), async () => {
      if (fails) throw new Error("disk full");
      return { ack: true };
    });
    await cloud.until(() => cloud.received.some(isKeepalive));
    const pod = newMessage(stamp, {
      source: "edgecontroller",
      group: "resource",
      operation: "insert",
      resource: "default/pod/web",
      content: { kind: "Pod", metadata: { name: "web" } },
    });
    const device = newMessage(stamp, {
      ...pod.route,
      source: "devicecontroller",
      group: "resource",
      operation: "insert",
      resource: "default/device/d",
      content: { metadata: { name: "d" } },
    });
    cloud.send(pod);
    await cloud.until(() => cloud.received.length === 2);
    fails = false;
    cloud.send(pod);
    cloud.send(device);
    await cloud.until(() => cloud.received.length === 4);
    expect(
      cloud.received.slice(1).map(({ header, route, content }) => [header.parent_msg_id, route, content]),
    ).toEqual([
      [pod.header.msg_id, { ...pod.route, operation: "error" }, "disk full"],
      [pod.header.msg_id, { ...pod.route, operation: "response" }, "OK"],
      [device.header.msg_id, { ...device.route, source: "meta", group: "twin", operation: "response" }, "OK"],
    ]);
    expect(edge.delivered.length).toBe(3);
  });

  test("hands the response to who asked and acknowledges its object", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    await cloud.until(() => cloud.received.some(isKeepalive));
    const secret = { kind: "Secret", metadata: { name: "s" } };
    const answers: WireMessage[] = [];
    cloud.onMessage = (message) => {
      if (message.route.operation !== "query") return;
      answers.push(responseTo(stamp, message, secret, { source: "edgecontroller", group: "resource" }));
      for (const answer of answers) cloud.send(answer);
    };
    expect(await edge.ask({ type: "secret", namespace: "default", name: "s", timeoutMs: 5000 })).toEqual(
      secret,
    );
    await cloud.until(() => cloud.received.some(({ content }) => content === "OK"));
    expect(cloud.received.at(-1)?.header.parent_msg_id).toBe(answers[0]?.header.msg_id);
  });

  test("tells what a cloud says that refuses it, and what to do", async () => {
    await using cloud = await ScriptedCloud.start();
    const said = `the certificate of "system:node:pi-1"\r\n does not\u{7} speak for "pi-9"\n`;
    cloud.refuseNext = `HTTP/1.1 403 Forbidden\r\nContent-Length: ${said.length}\r\n\r\n${said}`;
    using dir = tempDir();
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    await cloud.until(() => cloud.handshakes.length === 2);
    expect(edge.log.lines.find((line) => line.includes("403"))).toContain(
      'cloudcore answers 403 to the handshake: the certificate of \\"system:node:pi-1\\" does not speak for \\"pi-9\\"; join again with a new token (`cloudcore token`), or give',
    );
  });

  test("reads no more than a piece of an endless refusal", async () => {
    await using cloud = await ScriptedCloud.start();
    cloud.refuseNext = `HTTP/1.1 500 No\r\nContent-Length: 9000000\r\n\r\n${"x".repeat(5000)}`;
    using dir = tempDir();
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    await cloud.until(() => cloud.handshakes.length === 2);
    const line = edge.log.lines.find((line) => line.includes("answers 500")) ?? "";
    expect(/x+/.exec(line.slice(line.indexOf("handshake")))?.[0]).toHaveLength(600);
  });

  test("waits as long as a busy cloud asks before it dials again", async () => {
    await using cloud = await ScriptedCloud.start();
    cloud.refuseNext = "HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
    using dir = tempDir();
    await using _edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    await cloud.until(() => cloud.handshakes.length === 1);
    const refused = performance.now();
    await cloud.until(() => cloud.handshakes.length === 2);
    expect(performance.now() - refused).toBeGreaterThan(1900);
  });
});

describe("edgehub outbox", () => {
  /** Answers all updates; @returns their ids in order of arrival */
  function answering(cloud: ScriptedCloud): string[] {
    const ids: string[] = [];
    cloud.onMessage = (message, socket) => {
      if (message.route.operation !== "update") return;
      ids.push(message.header.msg_id);
      socket.send(
        JSON.stringify(responseTo(stamp, message, "OK", { source: "devicecontroller", group: "twin" })),
      );
    };
    return ids;
  }

  test("sends in order and forgets what was answered, over cuts and without losing any", async () => {
    await using cloud = await ScriptedCloud.start();
    await using proxy = await startCutProxy(cloud.port);
    using dir = tempDir();
    const ids = answering(cloud);
    await using edge = await startEdge(configOf(dir.path, proxy.port, cloud.token(), cloud.port));
    await cloud.until(() => cloud.received.some(isKeepalive));
    const put = edge.put("twin", 1000);
    for (const share of [200, 500, 800]) {
      await cloud.until(() => new Set(ids).size >= share);
      proxy.cut();
    }
    await eventually(() => edge.store.outbox.size().entries === 0);
    expect([...new Set(ids)]).toEqual(put);
    // At most one window is unanswered when the link is cut.
    expect(ids.length - put.length).toBeLessThanOrEqual(3 * 64);
  });

  test("repeats unanswered messages with their ids from the same database after a restart", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    const config = configOf(dir.path, cloud.port, cloud.token());
    let put: string[] = [];
    {
      await using edge = await startEdge(config);
      put = edge.put("twin", 10);
      await cloud.until(() => cloud.received.length === 11);
    }
    const ids = answering(cloud);
    await using edge = await startEdge(config);
    await eventually(() => edge.store.outbox.size().entries === 0);
    expect(ids).toEqual(put);
  });

  test("forgets uploads once the peer has read them", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    edge.put("upload", 200);
    await eventually(() => edge.store.outbox.size().entries === 0 && cloud.received.length > 0);
    expect(cloud.received.filter(({ route }) => route.operation === "update").length).toBe(200);
  });

  test("tells reports while the cloud answers no uploads, however many wait", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    cloud.answersAll = true;
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    edge.put("upload", 3000);
    await cloud.until(() => cloud.received.length > 2048);
    const [report = ""] = edge.put("twin", 1);
    await cloud.until(() => cloud.received.some(({ header }) => header.msg_id === report));
    expect(edge.store.outbox.size().entries).toBe(3001);
  });

  test("drops what the cloud refuses for good and keeps what it cannot take now", async () => {
    await using cloud = await ScriptedCloud.start();
    using dir = tempDir();
    await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
    cloud.onMessage = (message, socket) => {
      const index = (message.content as { index?: number } | null)?.index;
      if (index === undefined) return;
      const Err = { ErrStatus: { code: index === 0 ? 404 : 503, message: "no" } };
      socket.send(JSON.stringify(responseTo(stamp, message, { Object: null, Err })));
    };
    const [, later] = edge.put("twin", 2);
    await eventually(() => edge.store.outbox.size().entries === 1);
    expect(edge.store.outbox.listAfter(0, 1)[0]?.message).toContain(later ?? "");
  });

  test("gives up a link that went silent and sends over a new one", async () => {
    await using cloud = await ScriptedCloud.start();
    await using proxy = await startCutProxy(cloud.port);
    using dir = tempDir();
    const ids = answering(cloud);
    await using edge = await startEdge(configOf(dir.path, proxy.port, cloud.token(), cloud.port));
    await cloud.until(() => cloud.received.some(isKeepalive));
    proxy.stall();
    const put = edge.put("twin", 3);
    await eventually(() => edge.log.lines.some((line) => line.includes("no byte from the cloud")));
    proxy.mend();
    await eventually(() => edge.store.outbox.size().entries === 0);
    // What was under way on the old one may arrive late as well.
    expect([...new Set(ids)]).toEqual(put);
  }, 30_000);
});
