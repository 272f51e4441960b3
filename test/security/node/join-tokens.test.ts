import { describe, expect, test } from "bun:test";
import { connect } from "node:tls";
import { KubeError, resources } from "#cloud/kube-client";
import { emptyRecord, JoinTokens, sweep } from "#cloud/cloud-hub/node-access";
import {
  createNodeRequest,
  createToken,
  identifyCertificate,
  readCertificate,
  splitToken,
} from "#shared/pki";
import { startHarness } from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { makeJoinToken } from "#internal/test/support/cloud/join-token.ts";
import { askCertificate, dial, eventually, joinNode, startClouds } from "./joining.ts";

const reported = { status: { nodeInfo: { kubeletVersion: "v1.26" } } };

describe("join token", () => {
  test("makes one certificate when it is used again for its node and for another", async () => {
    await using clouds = await startClouds();
    const { jwt, id } = await clouds.token();
    const answers = [];
    for (const node of ["edge-1", "edge-1", "edge-9"])
      answers.push(await askCertificate(clouds.door, node, { jwt }));
    const create = "print another one in the cloud: cloudcore token create";
    expect(answers.map(({ status, text }) => [status, text])).toEqual([
      [200, ""],
      [401, `join token ${id}: used up; ${create} --node edge-1`],
      [401, `join token ${id}: used up; ${create}`],
    ]);
  });

  test("is used once when many nodes ask two cloudcores at the same time", async () => {
    await using clouds = await startClouds(2);
    const { jwt } = await clouds.token({ uses: 3 });
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, index) =>
        askCertificate(clouds.doors[index % 2] ?? clouds.door, `edge-${index}`, { jwt }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
    const [token] = await new JoinTokens(clouds.kube).list();
    expect(token?.used).toHaveLength(3);
  });

  test("gives its certificate again when the answer was lost and the node asks with the same key", async () => {
    await using clouds = await startClouds(2);
    const [one = clouds.door, two = clouds.door] = clouds.doors;
    const { jwt } = await clouds.token();
    const { key } = await createNodeRequest("edge-1");
    const first = await askCertificate(one, "edge-1", { jwt, key });
    const again = await askCertificate(two, "edge-1", { jwt, key });
    const other = await askCertificate(two, "edge-1", { jwt });
    expect([first.status, again.status, other.status]).toEqual([200, 200, 401]);
    for (const { pair } of [first, again]) {
      using dialed = dial(two, "edge-1", pair);
      expect(await dialed.outcome).toBe("open");
    }
  });

  test("wastes a use at most when cloudcore dies between counting it and writing the certificate down", async () => {
    const kube = new FakeKubeClient();
    await using door = await startHarness({}, { kube });
    const { jwt } = await makeJoinToken(kube, door.authority);
    const { key } = await createNodeRequest("edge-1");
    kube.fail(
      ({ plural, verb }) => plural === "configmaps" && verb === "create",
      new KubeError(500, "X", "died"),
    );
    const died = await askCertificate(door, "edge-1", { jwt, key });
    const other = await askCertificate(door, "edge-2", { jwt });
    const again = await askCertificate(door, "edge-1", { jwt, key });
    expect([died.status, other.status, again.status]).toEqual([503, 401, 200]);
  });

  test("is refused with the reason when it is revoked, expired, for another node or of an older version", async () => {
    await using clouds = await startClouds();
    const { ca, door } = clouds;
    const revoked = await clouds.token();
    await new JoinTokens(clouds.kube).revoke(revoked.id);
    const expired = await clouds.token({ expiresMs: Date.now() - 1000 });
    const bound = await clouds.token({ node: "edge-10" });
    const old = splitToken(createToken(ca, Date.now() + 60_000))?.jwt ?? "";
    const forged = splitToken(createToken({ ...ca, keyPem: "" }, Date.now() + 60_000, revoked.id))?.jwt ?? "";
    const texts = [];
    for (const jwt of [revoked.jwt, expired.jwt, bound.jwt, old, forged])
      texts.push((await askCertificate(door, "edge-1", { jwt })).text.split("; print")[0]);
    expect(texts).toEqual([
      `join token ${revoked.id}: revoked or unknown`,
      "join token: expired",
      `join token ${bound.id}: for node "edge-10" only`,
      "join token: made by KubeEdge or an older cloudcore, whose tokens can be neither counted nor revoked",
      "join token: not made by this cloud",
    ]);
  });

  test("is kept in the API without anything that can be presented", async () => {
    await using clouds = await startClouds();
    const { jwt, id } = await clouds.token({ node: "edge-1" });
    const secret = await clouds.kube.get(resources.secrets, {
      namespace: "kubeedge",
      name: `join-token-${id}`,
    });
    const text = JSON.stringify(secret);
    const parts = jwt.split(".").flatMap((part) => [part, Buffer.from(part).toString("base64")]);
    expect(parts.filter((part) => text.includes(part))).toEqual([]);
  });

  test("is removed some time after it has expired", async () => {
    await using clouds = await startClouds();
    await clouds.token({ expiresMs: Date.now() - 7_200_000 });
    const valid = await clouds.token();
    await sweep(clouds.kube, Date.now());
    expect((await new JoinTokens(clouds.kube).list()).map(({ id }) => id)).toEqual([valid.id]);
  });
});

describe("a name in use", () => {
  test("is given to another machine only when an operator allows it, once", async () => {
    await using clouds = await startClouds();
    const first = await joinNode(clouds, "edge-1");
    using live = dial(clouds.door, "edge-1", first);
    expect(await live.outcome).toBe("open");
    const { jwt } = await clouds.token({ uses: 9 });
    const refused = await askCertificate(clouds.door, "edge-1", { jwt });
    expect([refused.status, refused.text]).toEqual([
      403,
      expect.stringMatching(
        /^node "edge-1" has a certificate that is valid until \S+; .*: cloudcore node allow-rejoin edge-1 \(.*cloudcore token create --node edge-1\)$/,
      ),
    ]);
    const until = new Date(Date.now() + 60_000).toISOString();
    await clouds.records.update("edge-1", (record = emptyRecord("edge-1")) => ({
      ...record,
      rejoin: { until },
    }));
    const second = await askCertificate(clouds.door, "edge-1", { jwt });
    const third = await askCertificate(clouds.door, "edge-1", { jwt });
    expect([second.status, third.status]).toEqual([200, 403]);
    // The machine before is out: connected, by handshake and by renewal.
    expect(await live.closed).toMatchObject({ code: 4403, reason: expect.stringContaining("was replaced") });
    using again = dial(clouds.door, "edge-1", first);
    expect(await again.outcome).toContain("403 certificate ");
    expect((await askCertificate(clouds.door, "edge-1", { pair: first })).status).toBe(403);
    using fresh = dial(clouds.door, "edge-1", second.pair);
    expect(await fresh.outcome).toBe("open");
  });

  test("is given with a token for that name", async () => {
    await using clouds = await startClouds();
    await joinNode(clouds, "edge-1");
    await joinNode(clouds, "edge-1", { node: "edge-1" });
    const { record } = await clouds.records.read("edge-1");
    expect(record?.certificates).toHaveLength(1);
  });

  test("is not in use when it is the beginning of another", async () => {
    await using clouds = await startClouds();
    await joinNode(clouds, "edge-1");
    await joinNode(clouds, "edge-11");
    await joinNode(clouds, "edge");
  });

  test("is not given by a token for any node when a Node of that name has reported before", async () => {
    await using clouds = await startClouds();
    await clouds.makeNode("control-plane-1", reported);
    const { jwt } = await clouds.token();
    const answer = await askCertificate(clouds.door, "control-plane-1", { jwt });
    expect([answer.status, answer.text]).toEqual([403, expect.stringContaining("is registered already")]);
  });

  test("is free for a Node that was made by hand and never reported", async () => {
    await using clouds = await startClouds();
    await clouds.makeNode("edge-1");
    await joinNode(clouds, "edge-1");
  });

  test("is seen to be in use by a certificate that was made elsewhere once it has connected", async () => {
    await using clouds = await startClouds();
    const subject = { commonName: "system:node:edge-1", organizations: ["system:nodes"] };
    const pair = await clouds.ca.issue({ subject, usage: "client", days: 30, nowMs: Date.now() });
    using live = dial(clouds.door, "edge-1", pair);
    expect(await live.outcome).toBe("open");
    await eventually(
      async () => (await clouds.records.read("edge-1")).record?.seen !== undefined || "not seen",
    );
    const { jwt } = await clouds.token();
    expect((await askCertificate(clouds.door, "edge-1", { jwt })).status).toBe(403);
  });

  test("is free when its certificate is of a CA that was replaced since", async () => {
    await using clouds = await startClouds();
    await joinNode(clouds, "edge-1");
    await clouds.records.update("edge-1", (record) => record && { ...record, ca: "0".repeat(64) });
    const pair = await joinNode(clouds, "edge-1");
    using dialed = dial(clouds.door, "edge-1", pair);
    expect(await dialed.outcome).toBe("open");
  });

  test("gives no second certificate when two tokens are used for it at the same time", async () => {
    await using clouds = await startClouds(2);
    const tokens = await Promise.all(Array.from({ length: 6 }, () => clouds.token()));
    const answers = await Promise.all(
      tokens.map(({ jwt }, index) =>
        askCertificate(clouds.doors[index % 2] ?? clouds.door, "edge-1", { jwt }),
      ),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      200, 403, 403, 403, 403, 403,
    ]);
  });
});

describe("a certificate request", () => {
  async function openssl(...words: string[]): Promise<Uint8Array> {
    const command = ["openssl", "req", "-new", "-nodes", "-keyout", "/dev/null", "-outform", "DER", ...words];
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "ignore" });
    return new Uint8Array(await new Response(child.stdout).arrayBuffer());
  }

  test("gets a client certificate of its node whatever it asks for", async () => {
    await using clouds = await startClouds();
    const { jwt } = await clouds.token();
    const der = await openssl(
      "-newkey",
      "rsa:2048",
      "-subj",
      "/O=system:masters/CN=system:node:edge-2",
      "-addext",
      "subjectAltName=DNS:cloud.example,IP:10.0.0.1",
      "-addext",
      "basicConstraints=critical,CA:TRUE",
      "-addext",
      "extendedKeyUsage=serverAuth",
    );
    const { pair } = await askCertificate(clouds.door, "edge-1", { jwt, der });
    const { commonName, organizations, hosts } = readCertificate(pair.cert);
    expect({ commonName, organizations, hosts }).toEqual({
      commonName: "system:node:edge-1",
      organizations: ["system:nodes"],
      hosts: [],
    });
    expect(identifyCertificate(pair.cert).isForClients).toBe(true);
  });

  test("costs no use of the token when it is bad", async () => {
    await using clouds = await startClouds();
    const { jwt } = await clouds.token();
    const spoilt = new Uint8Array((await createNodeRequest("edge-1")).der);
    spoilt[spoilt.length - 3] = (spoilt.at(-3) ?? 0) ^ 1;
    const weak = await openssl("-newkey", "rsa:1024", "-subj", "/CN=x");
    const texts = [];
    for (const der of [spoilt, weak, new Uint8Array([1, 2, 3]), new Uint8Array()])
      texts.push((await askCertificate(clouds.door, "edge-1", { jwt, der })).text);
    expect(texts).toEqual([
      "Cannot accept certificate request: its signature does not verify",
      "Cannot accept certificate request: its key is RSA of 1024 bits: use 2048 to 8192",
      "Cannot read certificate request: not a DER PKCS#10 request",
      "Cannot read certificate request: not a DER PKCS#10 request",
    ]);
    expect((await askCertificate(clouds.door, "edge-1", { jwt })).status).toBe(200);
  });
});

describe("the enrollment port", () => {
  test("answers 429 to an address that tries bad tokens, and still lets a good one in", async () => {
    await using clouds = await startClouds();
    const codes = [];
    for (let attempt = 0; attempt < 15; attempt += 1)
      codes.push((await askCertificate(clouds.door, "edge-1", { jwt: `a.b.${attempt}` })).status);
    expect(codes).toEqual([...Array<number>(10).fill(401), ...Array<number>(5).fill(429)]);
    const lines = clouds.door.log.lines.filter((line) => line.includes("refused a certificate request"));
    expect(lines).toHaveLength(1);
    await joinNode(clouds, "edge-1");
  });

  test("answers 429 to a token that is refused again and again", async () => {
    await using clouds = await startClouds();
    const { jwt } = await clouds.token({ node: "edge-2" });
    const answers = [];
    for (let attempt = 0; attempt < 31; attempt += 1)
      answers.push(await askCertificate(clouds.door, "edge-1", { jwt }));
    expect(answers.map(({ status }) => status).slice(-2)).toEqual([403, 429]);
    expect(Number(answers.at(-1)?.retryAfter)).toBeGreaterThan(0);
  });

  test.each([
    ["upper case", "NodeName: EDGE-1", 400],
    ["a name that looks the same", "NodeName: \u0435dge-1", 400],
    ["two names", "NodeName: edge-1\r\nNodeName: edge-2", 400],
    ["a path", "NodeName: ../edge-1", 400],
  ])("refuses %s as the name of a node", async (_what, header, status) => {
    await using clouds = await startClouds();
    const { jwt } = await clouds.token();
    const head = `GET /edge.crt HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${jwt}\r\n${header}\r\n\r\n`;
    const answer = await sendRaw(clouds.door.hub.httpsPort, head);
    expect(answer.slice(0, 12)).toBe(`HTTP/1.1 ${status}`);
    expect(await new JoinTokens(clouds.kube).list()).toMatchObject([{ used: [] }]);
  });

  test("answers nothing when the name of a node contains a line break", async () => {
    await using clouds = await startClouds();
    const head = "GET /ca.crt HTTP/1.1\r\nHost: a\r\nNodeName: edge-1\n\tlevel=error\r\n\r\n";
    expect(await sendRaw(clouds.door.hub.httpsPort, head)).not.toContain("HTTP/1.1 200");
  });

  test("answers one request a connection, so that none hides behind another", async () => {
    await using clouds = await startClouds();
    const one = "GET /ca.crt HTTP/1.1\r\nHost: a\r\n\r\n";
    const answer = await sendRaw(clouds.door.hub.httpsPort, one + one + one);
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1);
    const both =
      "GET /edge.crt HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    const smuggled = await sendRaw(clouds.door.hub.httpsPort, `${both}0\r\n\r\n${one}`);
    expect(smuggled).not.toContain("HTTP/1.1 200");
  });

  test("refuses a request with huge headers", async () => {
    await using clouds = await startClouds();
    const head = `GET /ca.crt HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(1_000_000)}\r\n\r\n`;
    expect(await sendRaw(clouds.door.hub.httpsPort, head)).not.toContain("HTTP/1.1 200");
  });
});

/** @returns what is answered until the connection ends */
async function sendRaw(port: number, text: string): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let answer = "";
  socket.on("data", (part: Buffer) => (answer += part.toString("latin1")));
  socket.on("error", () => resolve(undefined));
  socket.once("close", () => resolve(undefined));
  socket.once("secureConnect", () => socket.write(Buffer.from(text)));
  await promise;
  return answer;
}
