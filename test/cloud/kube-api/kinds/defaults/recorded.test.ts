import { expect, test } from "bun:test";
import { admitCreate, decodeBody, findKind } from "#cloud/kube-api/kinds";
import type { JsonObject } from "#shared/json";

function made(apiVersion: string, kindName: string, body: JsonObject): JsonObject {
  const kind = findKind(apiVersion, kindName);
  if (kind === undefined) throw new Error(`no ${kindName}`);
  const metadata = { name: "a", uid: "u-1", ...(kind.namespaced && { namespace: "default" }) };
  const decoded = decodeBody(kind, { metadata, ...structuredClone(body) }, { validation: "Strict" });
  if (!decoded.ok) throw new Error(decoded.status.message);
  const outcome = admitCreate(kind, decoded.value, { now: "2026-01-01T00:00:00Z" });
  if (!outcome.ok) throw new Error(outcome.status.message);
  return outcome.value;
}

const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
const source = { kind: "PersistentVolumeClaim", name: "x" };
const iscsi = { targetPortal: "1.2.3.4", iqn: "iqn.2020-01.x:y", lun: 0 };

// As a kube-apiserver 1.26 stores the same objects.
test.each<[string, string, JsonObject, JsonObject]>([
  ["coordination.k8s.io/v1", "Lease", {}, { spec: {} }],
  ["scheduling.k8s.io/v1", "PriorityClass", { value: 5 }, { metadata: { generation: 1 } }],
  [
    "v1",
    "Node",
    { spec: { podCIDR: "10.244.0.0/24" } },
    { spec: { podCIDR: "10.244.0.0/24", podCIDRs: ["10.244.0.0/24"] } },
  ],
  [
    "v1",
    "Service",
    { spec: { clusterIP: "None" } },
    { spec: { ipFamilies: ["IPv4", "IPv6"], ipFamilyPolicy: "RequireDualStack" } },
  ],
  [
    "v1",
    "Service",
    { spec: { clusterIP: "None", selector: { a: "b" } } },
    { spec: { ipFamilies: ["IPv4"], ipFamilyPolicy: "SingleStack" } },
  ],
  [
    "v1",
    "PersistentVolumeClaim",
    { spec: { ...claim, dataSource: source } },
    { spec: { dataSource: source, dataSourceRef: source } },
  ],
  [
    "v1",
    "PersistentVolume",
    { spec: { accessModes: ["ReadWriteOnce"], capacity: { storage: "1Gi" }, iscsi } },
    { spec: { iscsi: { ...iscsi, iscsiInterface: "default" } } },
  ],
])("a new object of %s %s with %j gets its defaults", (apiVersion, kind, body, stored) => {
  expect(made(apiVersion, kind, body)).toMatchObject(stored);
});

test("a Job without labels has those of its pods", () => {
  const containers = [{ name: "c", image: "busybox:1" }];
  const template = { metadata: { labels: { q: "r" } }, spec: { containers, restartPolicy: "Never" } };
  const { metadata } = made("batch/v1", "Job", { spec: { template } });
  expect((metadata as JsonObject).labels).toMatchObject({ q: "r", "controller-uid": "u-1", "job-name": "a" });
});
