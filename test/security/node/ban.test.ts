import { describe, expect, test } from "bun:test";
import { connect } from "node:tls";
import {
  emptyRecord,
  recordName,
  type NodeRecord,
} from "#internal/cloud/cloud-hub/node-access/node-record.ts";
import { resources } from "#cloud/kube-client";
import type { ConfigMap } from "#shared/kube";
import { closeCodes } from "#shared/wire";
import { createNodeRequest, identifyCertificate, type KeyPair } from "#shared/pki";
import { textAt } from "#internal/test/support/cloud/api-server.ts";
import { askCertificate, dial, eventually, joinNode, startClouds, type Clouds } from "./joining.ts";

function ban(clouds: Clouds, node: string, reason = "stolen"): Promise<unknown> {
  const banned = { at: new Date().toISOString(), reason };
  return clouds.records.update(node, (record = emptyRecord(node)) => ({ ...record, banned }));
}

function unban(clouds: Clouds, node: string): Promise<unknown> {
  return clouds.records.update(node, (record) => record && { ...record, banned: undefined });
}

/** Connects until it is as wished: a cloud may not have heard yet. */
async function dialUntil(clouds: Clouds, node: string, pair: KeyPair, wish: RegExp): Promise<void> {
  for (const door of clouds.doors)
    await eventually(async () => {
      using dialed = dial(door, node, pair);
      const outcome = await dialed.outcome;
      return wish.test(outcome) || outcome;
    });
}

describe("a banned node", () => {
  test("is cut off by every cloudcore, and connects, joins and renews no more until the ban is lifted", async () => {
    await using clouds = await startClouds(2);
    const pair = await joinNode(clouds, "edge-1");
    const lives = clouds.doors.map((door) => dial(door, "edge-1", pair));
    for (const live of lives) expect(await live.outcome).toBe("open");
    await ban(clouds, "edge-1");
    for (const live of lives)
      expect(await live.closed).toEqual({
        code: closeCodes.refused,
        reason: 'node "edge-1" is banned: stolen (cloudcore node unban edge-1 lifts it)',
      });
    await dialUntil(clouds, "edge-1", pair, /^403 node "edge-1" is banned: stolen/);
    const { jwt } = await clouds.token({ node: "edge-1" });
    const answers = [
      await askCertificate(clouds.door, "edge-1", { jwt }),
      await askCertificate(clouds.door, "edge-1", { pair }),
    ];
    expect(answers.map(({ status, text }) => [status, text.slice(0, 31)])).toEqual([
      [403, 'node "edge-1" is banned: stolen'],
      [403, 'node "edge-1" is banned: stolen'],
    ]);
    await unban(clouds, "edge-1");
    await dialUntil(clouds, "edge-1", pair, /^open$/);
  });

  test("stays banned when somebody deletes the namespace where that is kept", async () => {
    await using clouds = await startClouds();
    const pair = await joinNode(clouds, "edge-1");
    await ban(clouds, "edge-1");
    const { status, body } = await clouds.server.call("DELETE", "/api/v1/namespaces/kubeedge");
    expect([status, textAt(body, "message")]).toEqual([
      403,
      'namespaces "kubeedge" is forbidden: this namespace may not be deleted',
    ]);
    await dialUntil(clouds, "edge-1", pair, /^403 node "edge-1" is banned: stolen/);
  });

  test("is cut off whatever the reason is written in", async () => {
    await using clouds = await startClouds();
    const pair = await joinNode(clouds, "edge-1");
    using live = dial(clouds.door, "edge-1", pair);
    expect(await live.outcome).toBe("open");
    await ban(clouds, "edge-1", "盗難".repeat(50));
    expect((await live.closed).code).toBe(closeCodes.refused);
  });

  test("is refused with files that were made elsewhere, too", async () => {
    await using clouds = await startClouds();
    await ban(clouds, "edge-1");
    const pair = await madeElsewhere(clouds, "edge-1");
    await dialUntil(clouds, "edge-1", pair, /^403 node "edge-1" is banned/);
  });

  test("gets no certificate when it is banned while its request is on the way", async () => {
    await using clouds = await startClouds();
    const pair = await joinNode(clouds, "edge-1");
    const { der } = await createNodeRequest("edge-1");
    const socket = connect({
      host: "127.0.0.1",
      port: clouds.door.hub.httpsPort,
      ca: clouds.ca.certPem,
      ...pair,
    });
    await new Promise<void>((resolve) => void socket.once("secureConnect", () => resolve()));
    socket.write(
      `GET /edge.crt HTTP/1.1\r\nHost: a\r\nNodeName: edge-1\r\nContent-Length: ${der.length}\r\n\r\n`,
    );
    socket.write(der.subarray(0, 20));
    await ban(clouds, "edge-1");
    socket.write(der.subarray(20));
    let text = "";
    for await (const part of socket as AsyncIterable<Buffer>) text += part.toString("latin1");
    expect(text).toStartWith("HTTP/1.1 403");
  });

  test("does not end a node whose name begins with its name", async () => {
    await using clouds = await startClouds();
    const pair = await joinNode(clouds, "edge-11");
    await ban(clouds, "edge-1");
    await dialUntil(clouds, "edge-11", pair, /^open$/);
  });
});

describe("a node whose Node was deleted", () => {
  async function joined(clouds: Clouds): Promise<KeyPair> {
    const pair = await joinNode(clouds, "edge-1");
    using live = dial(clouds.door, "edge-1", pair);
    expect(await live.outcome).toBe("open");
    await clouds.makeNode("edge-1");
    await eventually(
      async () => (await clouds.records.read("edge-1")).record?.nodeUid !== undefined || "no uid",
    );
    return pair;
  }

  test("is cut off, and its certificate neither connects nor is renewed", async () => {
    await using clouds = await startClouds(2);
    const pair = await joined(clouds);
    using live = dial(clouds.door, "edge-1", pair);
    expect(await live.outcome).toBe("open");
    await clouds.removeNode("edge-1");
    expect((await live.closed).reason).toContain('node "edge-1" was deleted');
    await dialUntil(clouds, "edge-1", pair, /^403 .*run in the cloud: cloudcore node allow-rejoin edge-1$/);
    expect((await askCertificate(clouds.door, "edge-1", { pair })).status).toBe(403);
  });

  test("is refused by a cloudcore that did not run when it was deleted", async () => {
    await using clouds = await startClouds();
    const pair = await joined(clouds);
    await clouds.door.hub[Symbol.asyncDispose]();
    await clouds.removeNode("edge-1");
    const late = await clouds.open();
    using dialed = dial(late, "edge-1", pair);
    expect(await dialed.outcome).toContain("was deleted");
  });

  test("comes back with its certificate when an operator allows it, and then nobody else may join as it", async () => {
    await using clouds = await startClouds();
    const pair = await joined(clouds);
    await clouds.removeNode("edge-1");
    await dialUntil(clouds, "edge-1", pair, /^403/);
    const until = new Date(Date.now() + 60_000).toISOString();
    await clouds.records.update(
      "edge-1",
      (record) => record && { ...record, nodeUid: undefined, rejoin: { until, returning: true } },
    );
    await dialUntil(clouds, "edge-1", pair, /^open$/);
    await eventually(
      async () => (await clouds.records.read("edge-1")).record?.rejoin === undefined || "open",
    );
    const { jwt } = await clouds.token();
    expect((await askCertificate(clouds.door, "edge-1", { jwt })).status).toBe(403);
  });

  test("may be joined again by any machine with a token, and then the old certificate is void", async () => {
    await using clouds = await startClouds();
    const old = await joined(clouds);
    await clouds.removeNode("edge-1");
    const pair = await joinNode(clouds, "edge-1");
    await dialUntil(clouds, "edge-1", old, /^403 certificate \w+ of node "edge-1" was replaced/);
    await dialUntil(clouds, "edge-1", pair, /^open$/);
  });
});

describe("a renewed certificate", () => {
  test("replaces the one before when it is used first, not before", async () => {
    await using clouds = await startClouds();
    const old = await joinNode(clouds, "edge-1");
    const lost = await askCertificate(clouds.door, "edge-1", { pair: old });
    await dialUntil(clouds, "edge-1", old, /^open$/);
    const next = await askCertificate(clouds.door, "edge-1", { pair: old });
    expect([lost.status, next.status]).toEqual([200, 200]);
    await dialUntil(clouds, "edge-1", next.pair, /^open$/);
    await dialUntil(clouds, "edge-1", old, /^403 certificate/);
    await dialUntil(clouds, "edge-1", lost.pair, /^403 certificate/);
    expect((await askCertificate(clouds.door, "edge-1", { pair: old })).status).toBe(403);
  });

  test("is valid although its record was lost with a restored backup", async () => {
    await using clouds = await startClouds();
    const old = await joinNode(clouds, "edge-1");
    const hoursAgo = new Date(Date.now() - 7_200_000).toISOString();
    await clouds.records.update("edge-1", (record) => record && backdate(record, hoursAgo));
    const later = await madeElsewhere(clouds, "edge-1");
    await dialUntil(clouds, "edge-1", later, /^open$/);
    await dialUntil(clouds, "edge-1", old, /^403/);
  });

  test("is not mistaken for a newer one when it was made elsewhere before the node joined", async () => {
    await using clouds = await startClouds();
    const stolen = await madeElsewhere(clouds, "edge-1");
    await dialUntil(clouds, "edge-1", stolen, /^open$/);
    const pair = await joinNode(clouds, "edge-1", { node: "edge-1" });
    await dialUntil(clouds, "edge-1", stolen, /^403 certificate/);
    await dialUntil(clouds, "edge-1", pair, /^open$/);
  });

  test("is refused more than ten times a minute", async () => {
    await using clouds = await startClouds();
    const pair = await joinNode(clouds, "edge-1");
    const codes = [];
    for (let attempt = 0; attempt < 12; attempt += 1)
      codes.push((await askCertificate(clouds.door, "edge-1", { pair })).status);
    expect(codes).toEqual([...Array<number>(10).fill(200), 429, 429]);
  });
});

describe("a certificate of our CA", () => {
  test("identifies no node when it names another organization or is a server's", async () => {
    await using clouds = await startClouds();
    const issue = (organization: string, usage: "client" | "server"): Promise<KeyPair> =>
      clouds.ca.issue({
        subject: { commonName: "system:node:edge-1", organizations: [organization] },
        usage,
        days: 1,
        nowMs: Date.now(),
      });
    const other = await issue("sales", "client");
    const server = await issue("system:nodes", "server");
    using dialed = dial(clouds.door, "edge-1", other);
    expect(await dialed.outcome).toContain('is not of the organization (O) "system:nodes"');
    const answers = [
      await askCertificate(clouds.door, "edge-1", { pair: other }),
      await askCertificate(clouds.door, "edge-1", { pair: server }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([401, 401]);
  });

  test("with the name kubeedge.io speaks for no node unless that is switched on", async () => {
    await using clouds = await startClouds();
    const pair = await shared(clouds);
    using dialed = dial(clouds.door, "edge-1", pair);
    expect(await dialed.outcome).toMatch(
      /^403 .* is shared by all nodes, which is disabled: .*cloudhub\.shared-certificate/,
    );
    expect((await askCertificate(clouds.door, "edge-1", { pair })).status).toBe(401);
  });

  test("with the name kubeedge.io speaks, when switched on, for nodes without one of their own, and not for banned ones", async () => {
    await using clouds = await startClouds(1, { sharedCertificate: true });
    const pair = await shared(clouds);
    await dialUntil(clouds, "edge-1", pair, /^open$/);
    const own = await askCertificate(clouds.door, "edge-1", { pair });
    expect(own.status).toBe(200);
    await dialUntil(clouds, "edge-1", pair, /^open$/);
    await dialUntil(clouds, "edge-1", own.pair, /^open$/);
    await dialUntil(clouds, "edge-1", pair, /^403 the shared certificate/);
    expect((await askCertificate(clouds.door, "edge-1", { pair })).status).toBe(403);
    await ban(clouds, "edge-2");
    await dialUntil(clouds, "edge-2", pair, /^403 node "edge-2" is banned/);
    expect(
      clouds.door.log.lines.filter((line) => line.includes("cloudhub.shared-certificate is on")),
    ).toHaveLength(1);
  });

  function shared(clouds: Clouds): Promise<KeyPair> {
    const subject = { commonName: "kubeedge.io", organizations: ["kubeEdge"] };
    return clouds.ca.issue({ subject, usage: "client", days: 1, nowMs: Date.now() });
  }
});

test("a damaged record of a node admits nobody and is named", async () => {
  await using clouds = await startClouds();
  const pair = await joinNode(clouds, "edge-1");
  const at = { namespace: "kubeedge", name: recordName("edge-1") };
  const record = await clouds.kube.get<ConfigMap>(resources.configMaps, at);
  await clouds.kube.replace(resources.configMaps, {
    ...record,
    data: { ...record.data, certificates: "[{}]" },
  });
  await dialUntil(
    clouds,
    "edge-1",
    pair,
    /^403 ConfigMap "kubeedge\/edge-node\.edge-1": certificates cannot be read/,
  );
  const { jwt } = await clouds.token({ node: "edge-1" });
  expect((await askCertificate(clouds.door, "edge-1", { jwt })).status).toBe(400);
});

test("what is on record of a node shows its certificate, not its key", async () => {
  await using clouds = await startClouds();
  const pair = await joinNode(clouds, "edge-1");
  const { record } = await clouds.records.read("edge-1");
  expect(record?.certificates.map(({ serial }) => serial)).toEqual([identifyCertificate(pair.cert).serial]);
});

test("two connections at once do not go past the limit of nodes", async () => {
  await using clouds = await startClouds(1, { nodeLimit: 1 });
  const pairs = [await joinNode(clouds, "edge-1"), await joinNode(clouds, "edge-2")];
  const dialed = pairs.map((pair, index) => dial(clouds.door, `edge-${index + 1}`, pair));
  const outcomes = await Promise.all(dialed.map(({ outcome }) => outcome));
  for (const one of dialed) one[Symbol.dispose]();
  expect(outcomes.filter((outcome) => outcome === "open")).toHaveLength(1);
});

function backdate(record: NodeRecord, since: string): NodeRecord {
  return { ...record, since, certificates: record.certificates.map((one) => ({ ...one, notBefore: since })) };
}

function madeElsewhere(clouds: Clouds, node: string): Promise<KeyPair> {
  const subject = { commonName: `system:node:${node}`, organizations: ["system:nodes"] };
  return clouds.ca.issue({ subject, usage: "client", days: 30, nowMs: Date.now() });
}
