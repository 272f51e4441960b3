import { expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject } from "#shared/kube";
import { AdminApi } from "#internal/test/support/cloud/kube-api.ts";
import { makeOldDatabase, oldObjects, type OldObject } from "#internal/test/support/machine/old-release.ts";
import { hasPair, startCloudSide, until, type Pair } from "#internal/test/support/pair.ts";

/** What programs write again and again. */
const records: ReadonlySet<string> = new Set([
  "/events",
  "/endpoints",
  "coordination.k8s.io/leases",
  "discovery.k8s.io/endpointslices",
  "reliablesyncs.kubeedge.io/objectsyncs",
]);
/** What the upgrade completes: a claim is bound, a Job gets its labels, a definition of this project its newest schema. */
const completed: ReadonlySet<string> = new Set([
  "/persistentvolumeclaims plant/claim",
  "/persistentvolumes /disk",
  "batch/jobs plant/job",
  "apiextensions.k8s.io/customresourcedefinitions /devices.devices.kubeedge.io",
  "apiextensions.k8s.io/customresourcedefinitions /objectsyncs.reliablesyncs.kubeedge.io",
  "apiextensions.k8s.io/customresourcedefinitions /clusterobjectsyncs.reliablesyncs.kubeedge.io",
]);

function pathOf({ resource, object }: OldObject): string {
  const { apiVersion = "", metadata } = object;
  const group = apiVersion.includes("/") ? "apis" : "api";
  const place = metadata.namespace === undefined ? "" : `/namespaces/${metadata.namespace}`;
  return `/${group}/${apiVersion}${place}/${resource.slice(resource.indexOf("/") + 1)}/${metadata.name}`;
}

/** What an upgrade has to keep: everything but the status, the revision, and the taints of a node that was away. */
function lasting(object: KubeObject, isCompleted: boolean): unknown {
  const { status: _status, metadata, ...rest } = object;
  const { resourceVersion: _revision, ...kept } = { ...metadata, managedFields: undefined };
  if (isCompleted) return { uid: metadata.uid, name: metadata.name };
  if (object.kind === "Node") return { uid: metadata.uid, labels: metadata.labels };
  return { ...rest, metadata: kept };
}

async function expectKept(pair: Pair, before: readonly OldObject[]): Promise<void> {
  const api = new AdminApi(pair.cloudFile(""));
  const kept = before.filter(({ resource }) => !records.has(resource));
  expect(kept.length).toBeGreaterThan(40);
  // The CA is a file: this one is not that of the old cloud.
  const isCompleted = ({ resource, key }: OldObject): boolean =>
    completed.has(`${resource} ${key}`) || key.endsWith("/kube-root-ca.crt");
  const found = await Promise.all(
    kept.map(async (one) => {
      const { status, body } = await api.call("GET", pathOf(one));
      return [pathOf(one), status === 200 ? lasting(body as unknown as KubeObject, isCompleted(one)) : body];
    }),
  );
  expect(found).toEqual(kept.map((one) => [pathOf(one), lasting(one.object, isCompleted(one))]));
}

function uploadsOf(pair: Pair): string[] {
  using database = new Database(pair.cloudFile("telemetry.db"), { readonly: true });
  return database
    .query<{ content: string }, []>("SELECT content FROM upload ORDER BY id")
    .all()
    .map(({ content }) => content);
}

/** A cloud and a node with the databases that release 0.1.0 had left; neither runs. */
async function oldPair(): Promise<Pair> {
  const pair = await startCloudSide();
  try {
    await pair.killCloud();
    for (const end of ["", "-wal", "-shm"])
      await Bun.file(pair.cloudFile(`telemetry.db${end}`))
        .delete()
        .catch(() => undefined);
    pair.loseCloudDatabase();
    mkdirSync(pair.edgeDir, { recursive: true });
    makeOldDatabase("cloudcore", pair.cloudFile("cloudcore.db"), pair.node);
    makeOldDatabase("telemetry", pair.cloudFile("telemetry.db"), pair.node);
    makeOldDatabase("edgecore", join(pair.edgeDir, "edgecore.db"), pair.node);
    return pair;
  } catch (error) {
    await pair[Symbol.asyncDispose]();
    throw error;
  }
}

test.skipIf(!hasPair())(
  "cloudcore and edgecore go on with the objects, pods, devices and reports of release 0.1.0",
  async () => {
    await using pair = await oldPair();
    try {
      const before = oldObjects(pair.cloudFile("cloudcore.db"));
      await pair.startCloud();
      // The node joins again: certificates are no part of the databases.
      await pair.cloudcore("node", "allow-rejoin", pair.node);
      await pair.startEdge();
      await pair.ready(60_000);
      await expectKept(pair, before);
      await pair.kubectl("-n", "plant", "wait", "--for=condition=Ready", "pod/bare", "--timeout=60s");
      await pair.kubectl("-n", "plant", "rollout", "status", "deployment/web", "--timeout=60s");
      // What the node had not sent yet.
      await pair.outboxEmpty(20_000);
      const [reported] = ["{.status.twins[?(@.propertyName=='temperature')].reported.value}"];
      expect(await pair.kubectl("-n", "plant", "get", "device", "t1", "-o", `jsonpath=${reported}`)).toBe(
        "25.0",
      );
      await until(10_000, () => uploadsOf(pair).length === 6 || `uploads: ${uploadsOf(pair).join()}`);
      expect(uploadsOf(pair)).toEqual(["record-online", ...[1, 2, 3, 4, 5].map((n) => `record-${n}`)]);
      expect(pair.rows("SELECT payload FROM mqtt_retained").map(String)).toHaveLength(1);
    } catch (error) {
      console.error(pair.describe());
      throw error;
    }
  },
  180_000,
);
