import {
  applyPatch,
  deployments,
  jsonPatch,
  list,
  map,
  maps,
  mergePatch,
  ok,
  record,
  strategicPatch,
  type Attack,
} from "./attack.ts";

const bigMap = (name: string, count: number): Pick<Attack, "prepare"> => ({
  prepare: (cloud) => cloud.must("POST", maps, map(name, { data: record(count, () => "v") })),
});

const deployment = (name: string): object => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: "c", image: "i" }] },
    },
  },
});

export const patchAttacks: Attack[] = [
  {
    name: "a JSON Patch that doubles an object by copying it into itself",
    prepare: (cloud) => cloud.must("POST", maps, map("doubled", { data: { a: "x".repeat(1000) } })),
    run: (cloud) => {
      const ops = list(24, (index) => ({ op: "copy", from: "/data", path: `/data/x${index}` }));
      return cloud.call("PATCH", `${maps}/doubled`, ops, jsonPatch);
    },
    answers: [413, 422],
  },
  {
    name: "a JSON Patch that compares a large object 10,000 times",
    ...bigMap("compared", 60_000),
    run: (cloud) => {
      const ops = list(10_000, () => ({ op: "test", path: "/data", value: {} }));
      return cloud.call("PATCH", `${maps}/compared`, ops, jsonPatch);
    },
    answers: [422],
  },
  {
    name: "a JSON Patch that compares a large object with itself, value by value",
    ...bigMap("recompared", 60_000),
    run: (cloud) => {
      const ops = list(9999, () => ({ op: "test", path: "/data", value: record(20, () => "v") }));
      return cloud.call("PATCH", `${maps}/recompared`, ops, jsonPatch);
    },
    answers: [422],
  },
  {
    name: "a JSON Patch that puts 10,000 items before a long list",
    prepare: (cloud) =>
      cloud.must(
        "POST",
        maps,
        map("shifted", { metadata: { name: "shifted", finalizers: list(40_000, (i) => `a.b/c${i}`) } }),
      ),
    run: (cloud) => {
      const ops = list(10_000, () => ({ op: "add", path: "/metadata/finalizers/0", value: "a.b/c" }));
      return cloud.call("PATCH", `${maps}/shifted`, ops, jsonPatch);
    },
    answers: [200, 413, 422],
  },
  {
    name: "a strategic merge patch with 100,000 items of a keyed list",
    prepare: (cloud) => cloud.must("POST", deployments, deployment("merged")),
    run: (cloud) => {
      const containers = list(100_000, (index) => ({ name: `c${index}` }));
      return cloud.call(
        "PATCH",
        `${deployments}/merged`,
        { spec: { template: { spec: { containers } } } },
        strategicPatch,
      );
    },
    answers: [413, 422],
  },
  {
    name: "a strategic merge patch that deletes 60,000 items of a keyed list",
    prepare: (cloud) => cloud.must("POST", deployments, deployment("thinned")),
    run: (cloud) => {
      const containers = list(60_000, () => ({ $patch: "delete", name: "c" }));
      return cloud.call(
        "PATCH",
        `${deployments}/thinned`,
        { spec: { template: { spec: { containers } } } },
        strategicPatch,
      );
    },
    answers: [422],
  },
  {
    name: "a strategic merge patch with 100,000 values of a set",
    prepare: (cloud) => cloud.must("POST", maps, map("united")),
    run: (cloud) =>
      cloud.call(
        "PATCH",
        `${maps}/united`,
        { metadata: { finalizers: list(100_000, (index) => `a.b/c${index}`) } },
        strategicPatch,
      ),
    answers: [200, 413, 422],
  },
  {
    name: "a merge patch of all values of a large object that somebody applied",
    prepare: (cloud) =>
      cloud
        .call(
          "PATCH",
          `${maps}/tracked?fieldManager=one`,
          map("tracked", { data: record(20_000, () => "v") }),
          applyPatch,
        )
        .then(ok),
    run: (cloud) => cloud.call("PATCH", `${maps}/tracked`, { data: record(20_000, () => "w") }, mergePatch),
    answers: [200],
  },
  {
    name: "an apply that conflicts in 20,000 fields",
    prepare: (cloud) =>
      cloud
        .call(
          "PATCH",
          `${maps}/contested?fieldManager=one`,
          map("contested", { data: record(20_000, () => "v") }),
          applyPatch,
        )
        .then(ok),
    run: (cloud) =>
      cloud.call(
        "PATCH",
        `${maps}/contested?fieldManager=two`,
        map("contested", { data: record(20_000, () => "w") }),
        applyPatch,
      ),
    answers: [409],
  },
  {
    name: "an apply that takes over 20,000 fields by force",
    prepare: (cloud) =>
      cloud
        .call(
          "PATCH",
          `${maps}/taken?fieldManager=one`,
          map("taken", { data: record(20_000, () => "v") }),
          applyPatch,
        )
        .then(ok),
    run: (cloud) =>
      cloud.call(
        "PATCH",
        `${maps}/taken?fieldManager=two&force=true`,
        map("taken", { data: record(20_000, () => "w") }),
        applyPatch,
      ),
    answers: [200],
  },
  {
    name: "an apply that no longer names 20,000 fields",
    prepare: (cloud) =>
      cloud
        .call(
          "PATCH",
          `${maps}/dropped?fieldManager=one`,
          map("dropped", { data: record(20_000, () => "v") }),
          applyPatch,
        )
        .then(ok),
    run: (cloud) => cloud.call("PATCH", `${maps}/dropped?fieldManager=one`, map("dropped"), applyPatch),
    answers: [200],
  },
  {
    name: "an apply of 3,000 keyed items that another manager applied",
    prepare: (cloud) =>
      cloud
        .call(
          "PATCH",
          `/api/v1/namespaces/default/services/keyed?fieldManager=one`,
          serviceWith(3000, 80),
          applyPatch,
        )
        .then(ok),
    run: (cloud) =>
      cloud.call(
        "PATCH",
        `/api/v1/namespaces/default/services/keyed?fieldManager=two&force=true`,
        serviceWith(3000, 81),
        applyPatch,
      ),
    answers: [200],
  },
];

function serviceWith(count: number, targetPort: number): object {
  const ports = list(count, (index) => ({ name: `p${index}`, port: index + 1, protocol: "TCP", targetPort }));
  return { apiVersion: "v1", kind: "Service", metadata: { name: "keyed" }, spec: { ports } };
}

export const selectorAttacks: Attack[] = [
  {
    name: "a label selector of 15,000 commas",
    run: (cloud) => cloud.call("GET", `${maps}?labelSelector=${",".repeat(15_000)}`),
    answers: [400],
  },
  {
    name: "a label selector of open parentheses and spaces",
    run: (cloud) =>
      cloud.call("GET", `${maps}?labelSelector=${"a%20in%20(".repeat(1300)}${",".repeat(2000)}`),
    answers: [400],
  },
  {
    name: "a label selector that compares numbers of 14,000 digits",
    run: (cloud) => cloud.call("GET", `${maps}?labelSelector=a%3E${"9".repeat(14_000)}`),
    answers: [400],
  },
  {
    name: "a field selector of 14,000 characters",
    run: (cloud) => cloud.call("GET", `${maps}?fieldSelector=${"metadata.name!=a,".repeat(820)}`),
    answers: [200, 400],
  },
];
