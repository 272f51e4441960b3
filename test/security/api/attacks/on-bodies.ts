import { eventually } from "#internal/scripts/service.ts";
import { applyPatch, crds, list, map, maps, mergePatch, pod, pods, record, type Attack } from "./attack.ts";

/** An object of the core group in Kubernetes' protobuf form. */
function protobuf(kind: string, raw: Uint8Array): Uint8Array {
  const type = Buffer.concat([field(1, Buffer.from("v1")), field(2, Buffer.from(kind))]);
  return Buffer.concat([Buffer.from([0x6b, 0x38, 0x73, 0]), field(1, type), field(2, raw)]);
}

function field(number: number, bytes: Uint8Array): Uint8Array {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return Buffer.concat([Buffer.from([number * 8 + 2, ...length]), bytes]);
}

const protobufType = { type: "application/vnd.kubernetes.protobuf" };

export const bodyAttacks: Attack[] = [
  {
    name: "a protobuf body with a time of the year 36 billion",
    run: (cloud) => {
      const seconds = Buffer.from([8, 255, 255, 255, 255, 255, 255, 255, 255, 15]);
      const metadata = Buffer.concat([field(1, Buffer.from("timed")), field(8, seconds)]);
      return cloud.call("POST", maps, protobuf("ConfigMap", field(1, metadata)), protobufType);
    },
    answers: [400],
  },
  {
    name: "a protobuf body with a text that is not UTF-8",
    run: (cloud) => {
      const entry = Buffer.concat([field(1, Buffer.from("a")), field(2, Buffer.from([0xff, 0xfe]))]);
      const raw = Buffer.concat([field(1, field(1, Buffer.from("bytes"))), field(2, entry)]);
      return cloud.call("POST", maps, protobuf("ConfigMap", raw), protobufType);
    },
    answers: [400],
  },
  {
    name: "a protobuf body of a million empty messages",
    run: (cloud) =>
      cloud.call(
        "POST",
        pods,
        protobuf(
          "Pod",
          Buffer.concat([
            field(1, field(1, Buffer.from("empty"))),
            field(2, Buffer.alloc(2_000_000, Buffer.from([18, 0]))),
          ]),
        ),
        protobufType,
      ),
    answers: [413, 422],
  },
  {
    name: "a protobuf body nested 300 deep",
    run: (cloud) => {
      let raw: Uint8Array = Buffer.alloc(0);
      for (let depth = 0; depth < 300; depth += 1) raw = field(1, raw);
      return cloud.call("POST", crds, protobuf("ConfigMap", raw), protobufType);
    },
    answers: [400],
  },
  {
    name: "a pod that becomes ready with 9,000 named ports behind a Service of 9,000",
    prepare: async (cloud) => {
      const ports = list(9000, (i) => ({ name: `p${i}`, containerPort: i + 1 }));
      const spec = { nodeName: "nowhere", containers: [{ name: "c", image: "i", ports }] };
      for (const name of ["harbour-1", "harbour-2", "harbour-3"])
        await cloud.must("POST", pods, {
          ...pod(name, spec),
          metadata: { name, labels: { app: "harbour" } },
        });
      await cloud.must("POST", "/api/v1/namespaces/default/services", {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "harbour" },
        spec: {
          selector: { app: "harbour" },
          ports: list(9000, (i) => ({ name: `q${i}`, port: i + 1, targetPort: `p${8999 - i}` })),
        },
      });
    },
    run: async (cloud) => {
      const ready = {
        status: { podIP: "10.0.0.1", phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
      };
      for (const name of ["harbour-1", "harbour-2"])
        await cloud.call("PATCH", `${pods}/${name}/status`, ready, mergePatch);
      const reply = await cloud.call("PATCH", `${pods}/harbour-3/status`, ready, mergePatch);
      await eventually(15_000, async () => {
        const { text } = await cloud.call("GET", "/api/v1/namespaces/default/endpoints/harbour");
        if (!text.includes("harbour-3")) throw new Error("the endpoints lack the pod");
      });
      return reply;
    },
    answers: [200],
  },
  {
    name: "a host alias of 500,000 colons",
    run: (cloud) =>
      cloud.call("POST", pods, pod("aliased", { hostAliases: [{ ip: `${":".repeat(500_000)}x` }] })),
    answers: [422],
  },
  {
    name: "14,000 other tolerations for a pod that has 14,000",
    prepare: (cloud) =>
      cloud.must(
        "POST",
        pods,
        pod("tolerant", { tolerations: list(14_000, (i) => ({ key: `k${i}`, operator: "Exists" })) }),
      ),
    run: (cloud) =>
      cloud.call(
        "PATCH",
        `${pods}/tolerant`,
        { spec: { tolerations: list(14_000, (i) => ({ key: `l${i}`, operator: "Exists" })) } },
        mergePatch,
      ),
    answers: [422],
  },
  {
    name: "a YAML body that merges a large map into 2,000 others",
    run: (cloud) => {
      const large = list(20_000, (i) => `k${i}: 1`).join(", ");
      const lines = [`x0: &x0 { ${large} }`, ...list(2000, (i) => `y${i}: { <<: *x0 }`)];
      return cloud.call("POST", maps, lines.join("\n"), { type: "application/yaml" });
    },
    answers: [400],
  },
  {
    name: "a YAML body of 400,000 keys",
    run: (cloud) =>
      cloud.call(
        "POST",
        maps,
        list(400_000, (i) => `k${i}: v`)
          .join("\n")
          .slice(0, 3_000_000),
        { type: "application/yaml" },
      ),
    answers: [413],
  },
  {
    name: "a Secret of a megabyte of padding",
    run: (cloud) =>
      cloud.call("POST", "/api/v1/namespaces/default/secrets", {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "padded" },
        data: { a: `${"=".repeat(1_000_000)}x` },
      }),
    answers: [400],
  },
  {
    name: "a YAML body of aliases of aliases",
    run: (cloud) => {
      const lines = [
        "apiVersion: v1",
        "kind: ConfigMap",
        "metadata: { name: bomb }",
        "x0: &x0 [a, a, a, a, a, a, a, a, a]",
      ];
      for (let level = 1; level < 12; level += 1)
        lines.push(`x${level}: &x${level} [${list(9, () => `*x${level - 1}`).join(", ")}]`);
      return cloud.call("POST", maps, lines.join("\n"), { type: "application/yaml" });
    },
    answers: [400],
  },
  {
    name: "a YAML body with a long text that is repeated by aliases",
    run: (cloud) => {
      const text = [
        "apiVersion: v1",
        "kind: ConfigMap",
        "metadata: { name: echo }",
        `a: &a ${"x".repeat(1_000_000)}`,
        `data: { ${list(2000, (index) => `k${index}: *a`).join(", ")} }`,
      ];
      return cloud.call("POST", maps, text.join("\n"), { type: "application/yaml" });
    },
    answers: [400],
  },
  {
    name: "a YAML body that contains itself",
    run: (cloud) =>
      cloud.call(
        "POST",
        maps,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: self }\ndata: &a { b: *a }\n",
        {
          type: "application/yaml",
        },
      ),
    answers: [400],
  },
  {
    name: "a body of 1,000,000 open brackets",
    run: (cloud) => cloud.call("POST", maps, "[".repeat(1_000_000)),
    answers: [400],
  },
  {
    name: "a body of 500,000 nested objects",
    run: (cloud) => cloud.call("POST", maps, '{"a":'.repeat(500_000)),
    answers: [400],
  },
  {
    name: "a YAML body of 100,000 open brackets",
    run: (cloud) => cloud.call("POST", maps, "[".repeat(100_000), { type: "application/yaml" }),
    answers: [400],
  },
  {
    name: "100,000 wrong labels",
    run: (cloud) =>
      cloud.call(
        "POST",
        maps,
        map("labelled", { metadata: { name: "labelled", labels: record(100_000, () => "-") } }),
      ),
    answers: [422],
  },
  {
    name: "a label key of a megabyte",
    run: (cloud) =>
      cloud.call(
        "POST",
        maps,
        map("keyed", {
          metadata: { name: "keyed", labels: { [`${"a.".repeat(500_000)}_/${"a-".repeat(500_000)}`]: "" } },
        }),
      ),
    answers: [422],
  },
  {
    name: "a name of a megabyte",
    run: (cloud) => cloud.call("POST", maps, map("a-".repeat(500_000))),
    answers: [422],
  },
  {
    name: "100,000 unknown fields where they are refused",
    run: (cloud) =>
      cloud.call("POST", `${maps}?fieldValidation=Strict`, {
        ...map("unknown"),
        ...record(100_000, () => 1),
      }),
    answers: [400],
  },
  {
    name: "a pod of 60,000 containers",
    run: (cloud) =>
      cloud.call(
        "POST",
        pods,
        pod("crowd", { containers: list(60_000, (i) => ({ name: `c${i}`, image: "i" })) }),
      ),
    answers: [413, 422],
  },
  {
    name: "a pod of 60,000 variables",
    run: (cloud) =>
      cloud.call(
        "POST",
        pods,
        pod("wordy", {
          containers: [{ name: "c", image: "i", env: list(60_000, (i) => ({ name: `v${i}` })) }],
        }),
      ),
    answers: [201, 413, 422],
  },
  {
    name: "a pod of 30,000 volumes and mounts",
    run: (cloud) => {
      const volumes = list(30_000, (i) => ({ name: `v${i}`, emptyDir: {} }));
      const volumeMounts = list(30_000, (i) => ({ name: `v${i}`, mountPath: `/${i}` }));
      return cloud.call(
        "POST",
        pods,
        pod("laden", { volumes, containers: [{ name: "c", image: "i", volumeMounts }] }),
      );
    },
    answers: [201, 413, 422],
  },
  {
    name: "a pod of 30,000 ports",
    run: (cloud) => {
      const ports = list(30_000, (i) => ({ name: `p${i}`, containerPort: i + 1, hostPort: i + 1 }));
      return cloud.call("POST", pods, pod("open", { containers: [{ name: "c", image: "i", ports }] }));
    },
    answers: [201, 413, 422],
  },
  {
    name: "a pod of 60,000 tolerations",
    run: (cloud) =>
      cloud.call(
        "POST",
        pods,
        pod("patient", { tolerations: list(60_000, (i) => ({ key: `k${i}`, operator: "Exists" })) }),
      ),
    answers: [201, 413, 422],
  },
  {
    name: "a pod of 60,000 resources",
    run: (cloud) => {
      const requests = Object.fromEntries(list(60_000, (i) => [`example.com/r${i}`, "1e9"]));
      return cloud.call(
        "POST",
        pods,
        pod("greedy", { containers: [{ name: "c", image: "i", resources: { requests } }] }),
      );
    },
    answers: [201, 413, 422],
  },
  {
    name: "an object with 10,000 owners that are not there",
    run: (cloud) => {
      const ownerReferences = list(10_000, (i) => ({
        apiVersion: "v1",
        kind: "ConfigMap",
        name: `n${i}`,
        uid: `u${i}`,
      }));
      return cloud.call("POST", maps, map("owned", { metadata: { name: "owned", ownerReferences } }));
    },
    answers: [201, 413, 422],
  },
  {
    name: "an object with 60,000 finalizers, changed while it is deleted",
    prepare: async (cloud) => {
      const finalizers = list(60_000, (i) => `a.b/c${i}`);
      await cloud.must("POST", maps, map("final", { metadata: { name: "final", finalizers } }));
      await cloud.must("DELETE", `${maps}/final`);
    },
    run: (cloud) =>
      cloud.call(
        "PATCH",
        `${maps}/final`,
        { metadata: { finalizers: list(60_000, (i) => `a.b/d${i}`) } },
        mergePatch,
      ),
    answers: [422],
  },
  {
    name: "a list of Service ports that are all the same",
    run: (cloud) => {
      const ports = list(30_000, () => ({ name: "p", port: 80 }));
      const metadata = { name: "ported" };
      return cloud.call("POST", "/api/v1/namespaces/default/services", {
        apiVersion: "v1",
        kind: "Service",
        metadata,
        spec: { ports },
      });
    },
    answers: [413, 422],
  },
  {
    name: "managed fields of 5,000 managers",
    run: async (cloud) => {
      const managedFields = list(5000, (i) => ({
        manager: `m${i}`,
        operation: "Apply",
        apiVersion: "v1",
        time: "2026-01-01T00:00:00Z",
        fieldsType: "FieldsV1",
        fieldsV1: { "f:data": { [`f:k${i}`]: {} } },
      }));
      await cloud.must(
        "POST",
        maps,
        map("managed", { metadata: { name: "managed", managedFields }, data: record(5000, () => "v") }),
      );
      return cloud.call(
        "PATCH",
        `${maps}/managed?fieldManager=x&force=true`,
        map("managed", { data: record(5000, () => "w") }),
        applyPatch,
      );
    },
    answers: [200, 413, 422],
  },
];
