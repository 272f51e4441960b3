import { expect, test } from "bun:test";
import { RevisionStore } from "#cloud/kube-api/store";
import { systemClock } from "#shared/clock";
import type { JsonObject } from "#shared/json";
import { ServiceAddresses } from "#internal/cloud/kube-api/objects/service-addresses.ts";

const service = (name: string, spec: JsonObject): JsonObject & { metadata: { name: string } } => ({
  metadata: { name },
  spec: { type: "LoadBalancer", externalTrafficPolicy: "Local", ports: [{ port: 80 }], ...spec },
});
const labelled = (one: JsonObject): JsonObject => ({
  ...structuredClone(one),
  metadata: { name: "x", labels: { a: "b" } },
});

// Ports for health checks were once neither allocated nor checked.
test("ports that a Service has already are not judged again", async () => {
  await using store = new RevisionStore({
    path: ":memory:",
    historyRevisions: 10,
    onError: (error) => {
      throw error;
    },
  });
  const stored = {
    outside: service("outside", { clusterIP: "10.96.2.1", healthCheckNodePort: 80 }),
    first: service("first", { clusterIP: "10.96.2.2", healthCheckNodePort: 30_100 }),
    second: service("second", { clusterIP: "10.96.2.3", healthCheckNodePort: 30_100 }),
    exposed: service("exposed", {
      clusterIP: "10.96.2.4",
      type: "NodePort",
      externalTrafficPolicy: "Cluster",
      ports: [{ port: 80, protocol: "TCP", nodePort: 30_100 }],
    }),
  };
  for (const [name, object] of Object.entries(stored))
    await store.write({ resource: "/services", key: `default/${name}`, object });
  using addresses = new ServiceAddresses(store, systemClock);
  for (const [name, object] of Object.entries(stored))
    expect(() => addresses.keep(`default/${name}`, labelled(object), object)).not.toThrow();
  const { exposed } = stored;
  const moved = service("exposed", {
    ...(exposed["spec"] as JsonObject),
    ports: [{ port: 80, protocol: "TCP", nodePort: 81 }],
  });
  expect(() => addresses.keep("default/exposed", moved, exposed)).toThrow("not in the valid range");
  const balanced = service("exposed", { clusterIP: "10.96.2.4", healthCheckNodePort: 80 });
  expect(() => addresses.keep("default/exposed", balanced, exposed)).toThrow(
    "provided port is already allocated",
  );
});
