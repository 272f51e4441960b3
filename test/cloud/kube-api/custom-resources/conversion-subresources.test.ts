import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { merge, schemaOf, startEndpointers, v1, v2, type Endpointers } from "./endpointers.ts";

let world: Endpointers;

beforeAll(async () => {
  world = await startEndpointers();
}, 60_000);
afterEach(() => world.remove(), 60_000);
afterAll(() => world[Symbol.asyncDispose]());

const text = { type: "string" };
const replicas = { type: "object", properties: { replicas: { type: "integer" } } };

/** Both versions with a status and a scale. */
function versions(): object[] {
  const subresources = {
    status: {},
    scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
  };
  const shared = { spec: replicas, status: replicas };
  return [
    {
      name: "v1",
      served: true,
      storage: false,
      schema: schemaOf({ hostPort: text, ...shared }),
      subresources,
    },
    {
      name: "v2",
      served: true,
      storage: true,
      schema: schemaOf({ host: text, port: text, ...shared }),
      subresources,
    },
  ];
}

describe("in a version that a webhook converts", () => {
  test("an object is scaled", async () => {
    await world.define({ versions: versions() });
    await world.create(v1, "one", { hostPort: "a:1", spec: { replicas: 1 } });
    const scaled = await world.server.call("PATCH", `${v1}/one/scale`, { spec: { replicas: 3 } }, merge);
    expect(scaled).toMatchObject({ status: 200, body: { kind: "Scale", spec: { replicas: 3 } } });
    const stored = await world.server.call("GET", `${v2}/one`);
    expect(stored.body as unknown).toMatchObject({ host: "a", port: "1", spec: { replicas: 3 } });
    const read = await world.server.call("GET", `${v1}/one/scale`);
    expect(read).toMatchObject({ status: 200, body: { kind: "Scale", spec: { replicas: 3 } } });
  });

  test("the status of an object is written, and nothing else by it", async () => {
    await world.define({ versions: versions() });
    await world.create(v1, "one", { hostPort: "a:1", spec: { replicas: 1 } });
    const change = { hostPort: "b:2", spec: { replicas: 5 }, status: { replicas: 2 } };
    const written = await world.server.call("PATCH", `${v1}/one/status`, change, merge);
    const expected = { spec: { replicas: 1 }, status: { replicas: 2 } };
    expect(written).toMatchObject({ status: 200, body: { hostPort: "a:1", ...expected } });
    const stored = await world.server.call("GET", `${v2}/one`);
    expect(stored.body as unknown).toMatchObject({ host: "a", port: "1", ...expected });
  });
});

test("a conversion webhook is reached by its service", async () => {
  const { server, hook } = world;
  const core = "/api/v1/namespaces/default";
  await server.call("POST", `${core}/services`, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "hook" },
    spec: { ports: [{ port: 443, targetPort: hook.port }] },
  });
  await server.call("POST", `${core}/endpoints`, {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name: "hook" },
    subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port: hook.port }] }],
  });
  const service = { namespace: "default", name: "hook", path: "/convert" };
  const clientConfig = { service, caBundle: hook.caBundle };
  const conversion = { strategy: "Webhook", webhook: { clientConfig, conversionReviewVersions: ["v1"] } };
  await world.define({ conversion });
  expect(await world.create(v1, "one", { hostPort: "a:1" })).toMatchObject({
    status: 201,
    body: { hostPort: "a:1" },
  });
  expect((await server.call("GET", `${v2}/one`)).body as unknown).toMatchObject({ host: "a", port: "1" });
  expect(world.reviews().length).toBeGreaterThan(0);
});
