import { expect, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { CloudCertificates } from "#cloud/cloud-hub/certificates";
import { Enrolling, sweep } from "#cloud/cloud-hub/node-access";
import { EnrollmentEndpoint } from "#internal/cloud/cloud-hub/enrollment.ts";
import { listNodes } from "#internal/cloud/commands/node/listing.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { systemClock } from "#shared/clock";
import { createAuthority } from "#shared/pki";
import { dial, eventually, joinNode, startClouds } from "./joining.ts";

const yearMs = 370 * 86_400_000;

test("a deleted node stays refused after the clock was a year ahead", async () => {
  await using clouds = await startClouds();
  const pair = await joinNode(clouds, "edge-1");
  await clouds.makeNode("edge-1");
  const dialUntil = (wish: RegExp): Promise<void> =>
    eventually(async () => {
      using dialed = dial(clouds.door, "edge-1", pair);
      const outcome = await dialed.outcome;
      return wish.test(outcome) || outcome;
    });
  await dialUntil(/^open$/);
  await eventually(
    async () => (await clouds.records.read("edge-1")).record?.nodeUid !== undefined || "no uid",
  );
  await clouds.removeNode("edge-1");
  await dialUntil(/^403 node "edge-1" was deleted/);
  await sweep(clouds.kube, Date.now() + yearMs);
  await dialUntil(/^403 node "edge-1" was deleted/);
  await sweep(clouds.kube, Date.now() + 4 * yearMs);
  expect((await clouds.records.read("edge-1")).record).toBeUndefined();
});

test("no certificate is made and no token spent while the clock is before the CA", async () => {
  const authority = await createAuthority({ commonName: "ca", days: 10, nowMs: Date.now() });
  const clock = { ...systemClock, nowMs: () => Date.now() - yearMs, monotonicMs: () => 0 };
  const certificates = { caPem: authority.certPem, serverCert: "", serverKey: "", authority };
  const endpoint = new EnrollmentEndpoint({
    certificates: () => certificates satisfies CloudCertificates,
    edgeCertDays: 1,
    sharedCertificate: false,
    enrolling: new Enrolling(new FakeKubeClient(), clock),
    clock,
    log: silentLog(),
  });
  const server = createServer((request, response) => void endpoint.serve(request, response));
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/edge.crt`, { headers: { NodeName: "edge-1" } });
  expect([response.status, await response.text()]).toEqual([
    503,
    expect.stringMatching(
      /^the clock of cloudcore shows \S+Z, and its CA is valid from \S+Z on: set the clock\n$/,
    ),
  ]);
  expect(response.headers.get("retry-after")).toBe("30");
  server.close();
});

test("a node without the label of edge nodes is not listed as deleted", async () => {
  await using clouds = await startClouds();
  const pair = await joinNode(clouds, "edge-1");
  await clouds.makeNode("edge-1");
  using dialed = dial(clouds.door, "edge-1", pair);
  expect(await dialed.outcome).toBe("open");
  await eventually(
    async () => (await clouds.records.read("edge-1")).record?.nodeUid !== undefined || "no uid",
  );
  const states = (await listNodes(clouds.kube, Date.now())).map(({ name, state }) => [name, state]);
  expect(states).toEqual([["edge-1", "disconnected"]]);
});
