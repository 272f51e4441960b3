import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createKubeClient, KubeError, resources, type KubeClient } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import type { ConfigMap } from "#shared/kube";
import { adminToken, startTestServer } from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const deps = { clock: systemClock, log: silentLog() };

function configMap(name: string, data: Record<string, string>): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace: "default" }, data };
}

async function connect(
  dir: string,
  api: { writeKubeconfig(path: string): void | Promise<void> },
): Promise<KubeClient> {
  const path = join(dir, "kubeconfig");
  await api.writeKubeconfig(path);
  return createKubeClient({ from: "kubeconfig", path }, deps);
}

async function until(what: string, ready: () => boolean): Promise<void> {
  for (let turn = 0; turn < 500; turn += 1) {
    if (ready()) return;
    await Bun.sleep(20);
  }
  throw new Error(`never happened: ${what}`);
}

test("client reads and writes, and reports conflicts, through a kubeconfig with a private CA", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  await using kube = await connect(dir.path, server.api);
  const made = await kube.create(resources.configMaps, configMap("a", { k: "1" }));
  const patched = await kube.patch<ConfigMap>(
    resources.configMaps,
    { name: "a", namespace: "default" },
    { data: { k: "2" } },
    { type: "merge" },
  );
  expect(patched.data).toEqual({ k: "2" });
  const stale = kube.replace(resources.configMaps, made).catch((error: unknown) => error);
  const conflict = await stale;
  expect(conflict instanceof KubeError && [conflict.httpStatus, conflict.reason]).toEqual([409, "Conflict"]);
  expect(await kube.find(resources.configMaps, { name: "none", namespace: "default" })).toBeUndefined();
  await kube.remove(resources.configMaps, { name: "a", namespace: "default" });
  const left = await kube.list<ConfigMap>(resources.configMaps, { namespace: "default" });
  expect(left.items.map((item) => item.metadata.name)).not.toContain("a");
});

test("client rejects with 401 when its token is wrong", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  const path = join(dir.path, "kubeconfig");
  await server.api.writeKubeconfig(path);
  writeFileSync(path, (await Bun.file(path).text()).replaceAll(adminToken, "wrong"));
  await using kube = await createKubeClient({ from: "kubeconfig", path }, deps);
  const refused = await kube.list(resources.pods).catch((error: unknown) => error);
  expect(refused instanceof KubeError && refused.httpStatus).toBe(401);
});

test("informer reports each change once and in order when the API server restarts", async () => {
  using dir = tempDir();
  const events: string[] = [];
  let server = await startTestServer(dir.path);
  const { port } = server.api;
  // The CA of the test server is new at each start: the informer skips verification by way of the kubeconfig.
  const path = join(dir.path, "kubeconfig");
  await server.api.writeKubeconfig(path);
  writeFileSync(path, insecure(await Bun.file(path).text()));
  await using kube = await createKubeClient({ from: "kubeconfig", path }, deps);
  await using informer = kube.informer<ConfigMap>(resources.configMaps, { labelSelector: "app=x" });
  informer.watch({
    added: (object) => events.push(`+${object.metadata.name} ${object.data?.["k"]}`),
    updated: (object) => events.push(`~${object.metadata.name} ${object.data?.["k"]}`),
    removed: (object) => events.push(`-${object.metadata.name}`),
  });
  await informer.synced;
  const labelled = (name: string, k: string): ConfigMap => {
    const made = configMap(name, { k });
    return { ...made, metadata: { ...made.metadata, labels: { app: "x" } } };
  };
  await kube.create(resources.configMaps, labelled("a", "1"));
  await kube.create(resources.configMaps, labelled("b", "1"));
  await until("a and b are reported", () => events.length === 2);
  await server[Symbol.asyncDispose]();
  server = await startTestServer(dir.path, { port });
  try {
    await kube.replace(resources.configMaps, labelled("a", "2"));
    await kube.remove(resources.configMaps, { name: "b", namespace: "default" });
    await until("the changes after the restart are reported", () => events.length === 4);
    expect(events).toEqual(["+a 1", "+b 1", "~a 2", "-b"]);
    expect(informer.list().map((object) => object.metadata.name)).toEqual(["a"]);
  } finally {
    await informer[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  }
});

function insecure(kubeconfig: string): string {
  return kubeconfig.replace(
    /certificate-authority-data: .*|"certificate-authority-data": *"[^"]*"/,
    (found) =>
      found.startsWith('"') ? '"insecure-skip-tls-verify": true' : "insecure-skip-tls-verify: true",
  );
}
