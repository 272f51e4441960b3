import { expect, test } from "bun:test";
import { join } from "node:path";
import type { CloudHubPort } from "#cloud/cloud-hub";
import { startEdgeController, type EdgeControllerPort } from "#cloud/edge-controller";
import { createKubeClient, resources } from "#cloud/kube-client";
import { startSyncController, type SyncControllerPort } from "#cloud/sync-controller";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import type { CloudCatalog, DeliveredObject } from "#shared/topics";
import type { WireMessage } from "#shared/wire";
import { startTestServer } from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startWireHub } from "#internal/test/support/cloud/wire-hub.ts";

const crd = (name: string): Promise<string> =>
  Bun.file(join(import.meta.dir, "../../../conf/crds", `reliablesyncs_v1alpha1_${name}.yaml`)).text();

const podBody = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web" },
  spec: { nodeName: "e1", containers: [{ name: "c", image: "i" }] },
};

async function until(what: string, ready: () => Promise<boolean> | boolean): Promise<void> {
  for (let turn = 0; turn < 500; turn += 1) {
    if (await ready()) return;
    await Bun.sleep(10);
  }
  throw new Error(`not in time: ${what}`);
}

function delivered({ header, content }: WireMessage): DeliveredObject {
  const { apiVersion = "", kind = "", metadata } = content as KubeObject;
  const { namespace = "", name = "", uid = "" } = metadata;
  return { apiVersion, kind, namespace, name, uid, resourceVersion: header.resourceversion ?? "" };
}

test("edge and sync controller deliver a pod to its node and remove it again over the embedded API", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  for (const name of ["objectsync", "clusterobjectsync"])
    await server.call(
      "POST",
      "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
      Bun.YAML.parse(await crd(name)),
    );
  await until("kind served", async () => {
    const found = await server.call("GET", "/apis/reliablesyncs.kubeedge.io/v1alpha1/clusterobjectsyncs");
    return found.status === 200;
  });
  const path = join(dir.path, "kubeconfig");
  await server.api.writeKubeconfig(path);
  const deps = { clock: systemClock, log: silentLog() };
  await using kube = await createKubeClient({ from: "kubeconfig", path }, deps);
  const failures: unknown[] = [];
  using bus = new Bus<CloudCatalog>({ onFailure: (...failure) => void failures.push(failure) });
  const hub = bus.port<"object.acked", "object.sending">("hub");
  const sent: WireMessage[] = [];
  const acknowledge = async (node: string, message: WireMessage): Promise<void> => {
    const { operation } = message.route;
    if (operation === "response") return;
    const object = delivered(message);
    if (operation !== "delete") await hub.ask("object.sending", { node, object });
    await hub.emit("object.acked", { ...object, node, deleted: operation === "delete" });
  };
  const port: CloudHubPort = bus.port("cloudhub");
  using wire = startWireHub(port, systemClock, (node, message) => {
    sent.push(message);
    void acknowledge(node, message);
  });
  const syncPort: SyncControllerPort = bus.port("synccontroller");
  const edgePort: EdgeControllerPort = bus.port("edgecontroller");
  await using _sync = await startSyncController({ port: syncPort, kube, ...deps });
  await using _edge = await startEdgeController({ port: edgePort, kube, ...deps });
  const ask = async (operation: string, resource: string, content: unknown): Promise<unknown> => {
    const id = `${operation} ${resource}`;
    const route = { source: "edged", group: "meta", operation, resource };
    await wire.receive("e1", { header: { msg_id: id, timestamp: 1 }, route, content });
    return sent.find(({ header }) => header.parent_msg_id === id)?.content;
  };

  expect(await ask("insert", "default/node/e1", { metadata: { name: "e1" } })).toMatchObject({ Err: null });
  await server.call("POST", "/api/v1/namespaces/default/pods", podBody);
  const syncs = async (): Promise<KubeObject[]> => (await kube.list<KubeObject>(resources.objectSyncs)).items;
  await until("recorded", async () => {
    const [status] = (await syncs()).map((sync) => sync["status"] as Record<string, unknown> | undefined);
    return status !== undefined && status["objectResourceVersion"] !== "0";
  });
  const pod = sent.find(({ route }) => route.operation === "insert");
  const { uid } = (pod?.content as KubeObject | undefined)?.metadata ?? {};
  expect(await syncs()).toMatchObject([
    {
      metadata: { name: `e1.${uid}`, namespace: "default" },
      spec: { objectAPIVersion: "v1", objectKind: "Pod", objectName: "web" },
      status: { objectResourceVersion: pod?.header.resourceversion },
    },
  ]);

  const patch = JSON.stringify({ metadata: { uid }, status: { phase: "Running" } });
  expect(await ask("patch", "default/podpatch/web", patch)).toMatchObject({
    Object: { status: { phase: "Running", startTime: expect.any(String) } },
    Err: null,
  });
  await server.call("DELETE", "/api/v1/namespaces/default/pods/web");
  expect(await ask("delete", "default/pod/web", { gracePeriodSeconds: 0, preconditions: { uid } })).toBe(
    "OK",
  );
  await until("forgotten", async () => (await syncs()).length === 0);
  expect(failures).toEqual([]);
});
