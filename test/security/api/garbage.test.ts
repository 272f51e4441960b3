import { afterAll, beforeAll, expect, test } from "bun:test";
import { cyclesOf } from "#internal/cloud/controllers/garbage-collector/cycles.ts";
import { eventually } from "#internal/scripts/service.ts";
import { textAt } from "#internal/test/support/cloud/api-server.ts";
import {
  startAttackedCloud,
  type AttackedCloud,
  type Json,
} from "#internal/test/support/cloud/attacked-cloud.ts";

const maps = "/api/v1/namespaces/default/configmaps";
let cloud: AttackedCloud;

beforeAll(async () => {
  cloud = await startAttackedCloud();
});
afterAll(() => cloud[Symbol.asyncDispose]());

async function make(name: string, path = maps, kind = "ConfigMap", apiVersion = "v1"): Promise<Json> {
  return cloud.must("POST", path, { apiVersion, kind, metadata: { name } });
}

/** Makes `owner` an owner of an object, one that waits for it. */
async function own(path: string, dependent: string, owners: readonly Json[]): Promise<void> {
  const ownerReferences = owners.map((owner) => ({
    apiVersion: owner["apiVersion"],
    kind: owner["kind"],
    name: owner["metadata"]?.["name"],
    uid: owner["metadata"]?.["uid"],
    blockOwnerDeletion: true,
  }));
  const patch = { metadata: { ownerReferences } };
  await cloud.must("PATCH", `${path}/${dependent}`, patch, "application/merge-patch+json");
}

function remove(path: string, propagationPolicy: string): Promise<unknown> {
  return cloud.call("DELETE", path, { kind: "DeleteOptions", apiVersion: "v1", propagationPolicy });
}

async function allGone(...paths: readonly string[]): Promise<void> {
  await eventually(8000, async () => {
    for (const path of paths) {
      const { status, text } = await cloud.call("GET", path, undefined, { limitMs: 2000 });
      if (status !== 404) throw new Error(`${path} is still there: ${text}`);
    }
  });
}

/** ConfigMaps that own each other in a circle. */
async function circle(names: readonly string[]): Promise<void> {
  const made = await Promise.all(names.map((name) => make(name)));
  for (const [index, name] of names.entries()) {
    const owner = made.at(index - 1);
    if (owner) await own(maps, name, [owner]);
  }
}

test("a cycle of owners is deleted when a member is deleted in the foreground, and the API answers meanwhile", async () => {
  await circle(["ring-a", "ring-b", "ring-c"]);
  const { slowestMs } = await cloud.suffer(async () => {
    await remove(`${maps}/ring-a`, "Foreground");
    await allGone(`${maps}/ring-a`, `${maps}/ring-b`, `${maps}/ring-c`);
  }, 3000);
  expect(slowestMs).toBeLessThan(1000);
}, 30_000);

test("an object that owns itself is deleted when it is deleted in the foreground", async () => {
  const self = await make("selfish");
  await own(maps, "selfish", [self]);
  await remove(`${maps}/selfish`, "Foreground");
  await allGone(`${maps}/selfish`);
}, 20_000);

test("a cycle is deleted when all members are deleted in the foreground at once", async () => {
  await circle(["all-a", "all-b", "all-c"]);
  const paths = ["all-a", "all-b", "all-c"].map((name) => `${maps}/${name}`);
  await Promise.all(paths.map((path) => remove(path, "Foreground")));
  await allGone(...paths);
}, 20_000);

test("a cycle of custom, cluster-scoped objects is deleted with its dependents when a member is deleted in the foreground", async () => {
  await cloud.must("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", rings);
  const path = "/apis/attack.example.com/v1/rings";
  const [one, two] = [await makeRing("one"), await makeRing("two")];
  await own(path, "one", [two]);
  await own(path, "two", [one]);
  await make("hangs-on");
  await own(maps, "hangs-on", [one, two]);
  await remove(`${path}/one`, "Foreground");
  await allGone(`${path}/one`, `${path}/two`, `${maps}/hangs-on`);
}, 20_000);

test("the members of a cycle stay when one orphans its dependents", async () => {
  await circle(["left-a", "left-b", "left-c"]);
  await remove(`${maps}/left-a`, "Orphan");
  await allGone(`${maps}/left-a`);
  const left = await cloud.must("GET", `${maps}/left-b`);
  expect(left["metadata"]?.["ownerReferences"]).toBeUndefined();
  expect((await cloud.call("GET", `${maps}/left-c`)).status).toBe(200);
}, 20_000);

test("an owner in another namespace is reported by an Event and does not keep its dependent", async () => {
  const owner = await make("far-owner");
  const other = "/api/v1/namespaces/kube-public/configmaps";
  await make("far-dependent", other);
  await own(other, "far-dependent", [owner]);
  await allGone(`${other}/far-dependent`);
  await eventually(5000, async () => {
    const events = await cloud.must("GET", "/api/v1/namespaces/kube-public/events");
    const reported = (events["items"] as unknown as { reason: string; message: string }[]).find(
      ({ reason }) => reason === "OwnerRefInvalidNamespace",
    );
    if (!reported) throw new Error("no Event");
    const uid = textAt(owner, "metadata", "uid");
    expect(reported.message).toBe(
      `ownerRef [v1/ConfigMap, namespace: kube-public, name: far-owner, uid: ${uid}] does not exist in namespace "kube-public"`,
    );
  });
}, 20_000);

test("a foreground deletion does not wait for a dependent in another namespace", async () => {
  const victim = await make("victim");
  const other = "/api/v1/namespaces/kube-public/configmaps";
  await cloud.must("POST", other, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "leech", finalizers: ["example.com/never"] },
  });
  await own(other, "leech", [victim]);
  await remove(`${maps}/victim`, "Foreground");
  await allGone(`${maps}/victim`);
}, 20_000);

test("the API answers while a chain of owners and 2,000 dependents of one owner are deleted", async () => {
  const top = await make("top");
  await sideBySide(2000, (index) => dependent(`fan-${index}`, top));
  let link = top;
  for (let index = 0; index < 100; index += 1) link = await dependent(`chain-${index}`, link);
  const { slowestMs } = await cloud.suffer(async () => {
    await remove(`${maps}/top`, "Foreground");
    await eventually(15_000, async () => {
      const { text } = await cloud.call("GET", `${maps}/top`);
      if (!text.includes("NotFound")) throw new Error("top is still there");
    });
  });
  const { items } = (await cloud.must("GET", maps)) as unknown as { items: { metadata: { name: string } }[] };
  const left = items.map(({ metadata }) => metadata.name).filter((name) => /^(fan|chain)-/.test(name));
  expect({ left, answeredInTime: slowestMs < 1000 }).toEqual({ left: [], answeredInTime: true });
}, 60_000);

test("cycles of a graph are found at the end of a chain of 100,000 nodes", () => {
  const next = (node: string): string[] => {
    const number = Number(node);
    return number === 100_000 ? ["99998"] : [String(number + 1)];
  };
  const found = cyclesOf(["0"], next).map((cycle) => [...cycle].toSorted());
  expect(found).toEqual([["100000", "99998", "99999"]]);
});

function dependent(name: string, owner: Json): Promise<Json> {
  const { name: ownerName, uid } = owner["metadata"] ?? {};
  const reference = { apiVersion: "v1", kind: "ConfigMap", name: ownerName, uid, blockOwnerDeletion: true };
  const metadata = { name, ownerReferences: [reference] };
  return cloud.must("POST", maps, { apiVersion: "v1", kind: "ConfigMap", metadata });
}

async function sideBySide(count: number, run: (index: number) => Promise<unknown>): Promise<void> {
  const indexes = Array.from({ length: count }, (_, index) => index).values();
  const worker = async (): Promise<void> => {
    for (const index of indexes) await run(index);
  };
  await Promise.all(Array.from({ length: 20 }, worker));
}

const rings = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "rings.attack.example.com" },
  spec: {
    group: "attack.example.com",
    scope: "Cluster",
    names: { plural: "rings", singular: "ring", kind: "Ring", listKind: "RingList" },
    versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
  },
};

/** A definition is served a moment after it is stored. */
function makeRing(name: string): Promise<Json> {
  const path = "/apis/attack.example.com/v1/rings";
  return eventually(5000, () => make(name, path, "Ring", "attack.example.com/v1"));
}
