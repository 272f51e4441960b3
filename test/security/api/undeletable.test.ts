import { expect, test } from "bun:test";
import { startTestServer, textAt } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const pods = "/api/v1/namespaces/default/pods";

test.each([1e11, 9e12, Number.MAX_SAFE_INTEGER])(
  "a pod can be deleted though it asks for %d seconds",
  async (seconds) => {
    using dir = tempDir("undeletable");
    await using server = await startTestServer(dir.path);
    const spec = {
      nodeName: "edge-1",
      terminationGracePeriodSeconds: seconds,
      containers: [{ name: "c", image: "x" }],
    };
    const made = await server.call("POST", pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "a" },
      spec,
    });
    expect(made.status).toBe(201);
    const deleted = await server.call("DELETE", `${pods}/a`);
    expect(deleted.status).toBe(200);
    expect(textAt(deleted.body, "metadata", "deletionTimestamp")).toStartWith("20");
    expect((await server.call("DELETE", `${pods}/a?gracePeriodSeconds=0`)).status).toBe(200);
    expect((await server.call("GET", `${pods}/a`)).status).toBe(404);
  },
);
