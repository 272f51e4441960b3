import { expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startTestServer, textAt, type TestServer } from "#internal/test/support/cloud/api-server.ts";

// Leases of nodes are kept in the memory as statuses of devices are, and their kind is there without a definition.
const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

const lease = (name: string, labels: object) => ({
  apiVersion: "coordination.k8s.io/v1",
  kind: "Lease",
  metadata: { name, labels },
  spec: { holderIdentity: name, leaseTransitions: 0 },
});

async function patch(server: TestServer, name: string, change: object): Promise<void> {
  const type = { "Content-Type": "application/merge-patch+json" };
  const { status } = await server.call("PATCH", `${leases}/${name}`, change, type);
  if (status !== 200) throw new Error(`a change is answered with ${status}`);
}

let renewals = 0;

async function renew(server: TestServer, name: string, times: number): Promise<void> {
  for (let n = 1; n <= times; n += 1)
    await patch(server, name, { spec: { leaseTransitions: (renewals += 1) } });
}

/** The lines of a watch: `type name` of the first `count`, or of all until it ends. */
async function watched(response: Response, count: number): Promise<string[]> {
  const found: string[] = [];
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of response.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.filter((one) => one !== "")) {
      const { type, object } = JSON.parse(line) as {
        type: string;
        object: { metadata: { name?: string }; code?: number };
      };
      found.push(`${type} ${object.metadata.name ?? object.code ?? ""}`);
    }
    if (found.length >= count) break;
  }
  return found;
}

test("the second page of a list whose objects were replaced too often is refused, none is left out", async () => {
  using dir = tempDir("pages");
  await using server = await startTestServer(dir.path);
  for (const name of ["n1", "n2", "n3"]) await server.call("POST", leases, lease(name, { zone: "a" }));
  await renew(server, "n3", 1);
  const first = await server.call("GET", `${leases}?limit=1`);
  const token = encodeURIComponent(textAt(first.body, "metadata", "continue"));
  await renew(server, "n3", 1000);
  const names = ({ body }: { body: unknown }): string[] =>
    (body as { items: { metadata: { name: string } }[] }).items.map(({ metadata }) => metadata.name);
  const second = await server.call("GET", `${leases}?continue=${token}`);
  expect(names(second)).toEqual(["n2", "n3"]);
  await renew(server, "n3", 1600);
  const third = await server.call("GET", `${leases}?continue=${token}`);
  expect({ status: third.status, reason: third.body["reason"] }).toMatchObject({
    status: 410,
    reason: "Expired",
  });
  // A watch that selects nothing gets the newest of each object; one that selects has to list again.
  const from = textAt(first.body, "metadata", "resourceVersion");
  const abort = new AbortController();
  const plain = await server.stream(`${leases}?watch=1&resourceVersion=${from}`, abort.signal);
  expect(await watched(plain, 1)).toContain("MODIFIED n3");
  const selecting = `${leases}?watch=1&resourceVersion=${from}&labelSelector=zone%3Da`;
  expect(await watched(await server.stream(selecting, abort.signal), 1)).toEqual(["ERROR 410"]);
  abort.abort();
}, 60_000);

test("a watch with a selector sees an object leave its selection, after any number of renewals", async () => {
  using dir = tempDir("leaving");
  await using server = await startTestServer(dir.path);
  await server.call("POST", leases, lease("busy", { zone: "b" }));
  await server.call("POST", leases, lease("n1", { zone: "a" }));
  const { body } = await server.call("GET", leases);
  const from = textAt(body, "metadata", "resourceVersion");
  const abort = new AbortController();
  const watch = await server.stream(
    `${leases}?watch=1&resourceVersion=${from}&labelSelector=zone%3Da`,
    abort.signal,
  );
  const seen = watched(watch, 2003);
  await renew(server, "n1", 2001);
  await patch(server, "n1", { metadata: { labels: { zone: "b" } } });
  await patch(server, "n1", { metadata: { labels: { zone: "a" } } });
  expect((await seen).slice(-3)).toEqual(["MODIFIED n1", "DELETED n1", "ADDED n1"]);
  abort.abort();
}, 60_000);
