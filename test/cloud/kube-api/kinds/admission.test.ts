import { describe, expect, test } from "bun:test";
import { scaleOf, withScale } from "#cloud/kube-api/kinds";
import type { ApiOutcome } from "#cloud/kube-api/status";
import type { JsonObject } from "#shared/json";
import {
  change,
  container,
  create,
  kindOf,
  made,
  now,
  pod,
  refusal,
  sysctl,
  sysctlText,
  workload,
} from "#internal/test/cloud/kube-api/kinds/admitted.ts";

describe("a new pod", () => {
  test.each([
    ["busybox", "Always"],
    ["busybox:latest", "Always"],
    ["busybox:1", "IfNotPresent"],
    ["reg:5000/busybox", "Always"],
    ["reg:5000/busybox:2", "IfNotPresent"],
    ["busybox@sha256:0123", "IfNotPresent"],
  ])("pulls %s %s", (image, policy) => {
    const { spec } = made("v1", "Pod", pod({ containers: [{ name: "c", image }] }));
    expect(spec).toMatchObject({ containers: [{ imagePullPolicy: policy }] });
  });

  test("gets requests from its limits and the class Guaranteed", () => {
    const limits = { cpu: "1", memory: "64Mi" };
    const object = made("v1", "Pod", pod({ containers: [{ ...container, resources: { limits } }] }));
    expect(object).toMatchObject({
      spec: { containers: [{ resources: { limits, requests: limits } }] },
      status: { phase: "Pending", qosClass: "Guaranteed" },
    });
  });

  test("tolerates an unready node for five minutes, besides its own tolerations", () => {
    const own = { key: "k", operator: "Exists", effect: "NoSchedule" };
    const { spec } = made("v1", "Pod", pod({ containers: [container], tolerations: [own] }));
    expect((spec as JsonObject).tolerations).toEqual([
      own,
      {
        key: "node.kubernetes.io/not-ready",
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: 300,
      },
      {
        key: "node.kubernetes.io/unreachable",
        operator: "Exists",
        effect: "NoExecute",
        tolerationSeconds: 300,
      },
    ]);
  });

  test("keeps its tolerations when it tolerates everything", () => {
    const own = { operator: "Exists" };
    const { spec } = made("v1", "Pod", pod({ containers: [container], tolerations: [own] }));
    expect((spec as JsonObject).tolerations).toEqual([own]);
  });

  test("exposes its ports on the host when it uses the host's network", () => {
    const ports = [{ containerPort: 80 }];
    const { spec } = made("v1", "Pod", pod({ hostNetwork: true, containers: [{ ...container, ports }] }));
    expect(spec).toMatchObject({
      containers: [{ ports: [{ containerPort: 80, hostPort: 80, protocol: "TCP" }] }],
    });
  });

  test("gets modes, types and sources for its volumes", () => {
    const volumes = [
      { name: "a" },
      { name: "b", configMap: { name: "x" } },
      { name: "d", hostPath: { path: "/x" } },
    ];
    const { spec } = made("v1", "Pod", pod({ containers: [container], volumes }));
    expect((spec as { volumes: JsonObject[] }).volumes.slice(0, 3)).toEqual([
      { name: "a", emptyDir: {} },
      { name: "b", configMap: { name: "x", defaultMode: 420 } },
      { name: "d", hostPath: { path: "/x", type: "" } },
    ]);
  });

  test("gets the token of its account where client libraries look for it", () => {
    const { spec } = made(
      "v1",
      "Pod",
      pod({ containers: [container], initContainers: [{ ...container, name: "i" }] }),
    );
    const { volumes, containers, initContainers } = spec as Record<string, JsonObject[]>;
    const { name = "", projected = null } = volumes?.at(-1) ?? {};
    const mounts = [{ name, readOnly: true, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }];
    expect(name).toMatch(/^kube-api-access-[0-9a-f]{5}$/);
    expect(projected).toMatchObject({ sources: [{ serviceAccountToken: { path: "token" } }, {}, {}] });
    expect([containers?.[0]?.volumeMounts, initContainers?.[0]?.volumeMounts]).toEqual([mounts, mounts]);
  });

  test.each([
    ["it asks for none", pod({ containers: [container], automountServiceAccountToken: false })],
    [
      "its container has something else there",
      pod({
        volumes: [{ name: "mine", emptyDir: {} }],
        containers: [
          {
            ...container,
            volumeMounts: [{ name: "mine", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }],
          },
        ],
      }),
    ],
  ])("gets no token when %s", (_why, body) => {
    const { volumes = [] } = made("v1", "Pod", body).spec as { volumes?: JsonObject[] };
    expect(volumes.filter(({ projected }) => projected !== undefined)).toEqual([]);
  });

  test("that has the volume of a token already gets no second one for a further container", () => {
    const volumeMounts = [
      { name: "kube-api-access-abcde", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" },
    ];
    const body = pod({
      volumes: [{ name: "kube-api-access-abcde", projected: { sources: [] } }],
      containers: [
        { ...container, volumeMounts },
        { ...container, name: "d" },
      ],
    });
    const { volumes, containers } = made("v1", "Pod", body).spec as Record<string, JsonObject[]>;
    expect(volumes?.map(({ name }) => name)).toEqual(["kube-api-access-abcde"]);
    expect(containers?.map(({ volumeMounts: mounts }) => mounts)).toMatchObject([volumeMounts, volumeMounts]);
  });

  test("gets the defaults of its probes", () => {
    const livenessProbe = { httpGet: { port: 80 }, periodSeconds: 3 };
    const { spec } = made("v1", "Pod", pod({ containers: [{ ...container, livenessProbe }] }));
    const [first] = (spec as { containers: JsonObject[] }).containers;
    expect(first?.livenessProbe).toEqual({
      httpGet: { port: 80, path: "/", scheme: "HTTP" },
      timeoutSeconds: 1,
      periodSeconds: 3,
      successThreshold: 1,
      failureThreshold: 3,
    });
  });

  test.each([
    [pod({ containers: [{ name: "c" }] }), ["spec.containers[0].image: Required value"]],
    [pod({ containers: [container, container] }), ['spec.containers[1].name: Duplicate value: "c"']],
    [
      pod({ containers: [{ ...container, ports: [{ containerPort: 70_000 }] }] }),
      [
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
      ],
    ],
    [
      pod({ containers: [{ ...container, volumeMounts: [{ name: "v", mountPath: "/v" }] }] }),
      ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
    ],
    [
      pod({ containers: [{ ...container, resources: { requests: { cpu: "2" }, limits: { cpu: "1" } } }] }),
      [
        'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
      ],
    ],
    [
      pod({ containers: [container], restartPolicy: "No" }),
      ['spec.restartPolicy: Unsupported value: "No": supported values: "Always", "Never", "OnFailure"'],
    ],
    [
      pod({ containers: [{ ...container, env: [{ name: "1A" }] }] }),
      [
        "spec.containers[0].env[0].name: Invalid value: \"1A\": a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')",
      ],
    ],
    [
      pod({
        containers: [container],
        securityContext: { sysctls: ["kernel.shmmax", "foo-", "bar..", "kernel.shmmax"].map(sysctl) },
      }),
      [
        `spec.securityContext.sysctls[1].name: Invalid value: "foo-": ${sysctlText}`,
        `spec.securityContext.sysctls[2].name: Invalid value: "bar..": ${sysctlText}`,
        'spec.securityContext.sysctls[3].name: Duplicate value: "kernel.shmmax"',
      ],
    ],
  ] as [JsonObject, string[]][])("is refused with its causes: %j", (body, causes) => {
    expect(refusal(create("v1", "Pod", body))).toEqual(causes);
  });
});

describe("a new object", () => {
  test("starts without the status its creator sent", () => {
    const object = made("apps/v1", "Deployment", { ...workload(), status: { replicas: 5 } });
    expect([object.status, (object.metadata as JsonObject).generation]).toEqual([{}, 1]);
  });

  test("keeps its status when it is a node", () => {
    const capacity = { cpu: "4" };
    const node = made("v1", "Node", { metadata: { name: "n" }, status: { capacity } });
    expect(node.status).toMatchObject({ capacity, allocatable: capacity });
  });

  test("selects its pods by its uid when it is a job", () => {
    const metadata = { name: "j", uid: "u-1" };
    const spec = { template: { spec: { restartPolicy: "Never", containers: [container] } } };
    expect(made("batch/v1", "Job", { metadata, spec }).spec).toMatchObject({
      selector: { matchLabels: { "batch.kubernetes.io/controller-uid": "u-1" } },
      template: { metadata: { labels: { "batch.kubernetes.io/controller-uid": "u-1", "job-name": "j" } } },
      backoffLimit: 6,
      completions: 1,
      parallelism: 1,
    });
  });

  test.each([
    [
      "apps/v1",
      "Deployment",
      workload({ replicas: -1 }),
      ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    ],
    [
      "apps/v1",
      "Deployment",
      workload({ selector: { matchLabels: { a: "c" } } }),
      [
        'spec.template.metadata.labels: Invalid value: map[string]string{"a":"b"}: `selector` does not match template `labels`',
      ],
    ],
    [
      "batch/v1",
      "Job",
      { metadata: { name: "j" }, spec: { template: { spec: { containers: [container] } } } },
      [
        'spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "OnFailure", "Never"',
      ],
    ],
    [
      "v1",
      "Service",
      { metadata: { name: "1s" }, spec: { ports: [{ port: 1 }] } },
      [
        "metadata.name: Invalid value: \"1s\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
      ],
    ],
    [
      "v1",
      "ConfigMap",
      { metadata: {} },
      ["metadata.name: Required value: name or generateName is required"],
    ],
    [
      "v1",
      "ConfigMap",
      { metadata: { name: "c" }, data: { "a b": "x" } },
      [
        "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
      ],
    ],
    [
      "rbac.authorization.k8s.io/v1",
      "ClusterRole",
      { metadata: { name: "system:x" }, rules: [{ verbs: ["get"] }] },
      [
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
      ],
    ],
  ] as [string, string, JsonObject, string[]][])(
    "of %s %s is refused with its causes",
    (apiVersion, kind, body, causes) => {
      expect(refusal(create(apiVersion, kind, body))).toEqual(causes);
    },
  );
});

describe("an update", () => {
  const deployment = (): JsonObject => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    ...made("apps/v1", "Deployment", workload()),
  });
  const generation = (outcome: ApiOutcome<JsonObject>): unknown =>
    outcome.ok ? (outcome.value.metadata as JsonObject).generation : outcome.status.message;

  test("of a spec advances the generation", () => {
    expect(generation(change(deployment(), (next) => ((next.spec as JsonObject).replicas = 3)))).toBe(2);
  });

  test("of labels does not", () => {
    expect(
      generation(change(deployment(), (next) => ((next.metadata as JsonObject).labels = { x: "y" }))),
    ).toBe(1);
  });

  test("of the status through the object itself is ignored", () => {
    const outcome = change(deployment(), (next) => (next.status = { replicas: 9 }));
    expect(outcome.ok && outcome.value.status).toEqual({});
  });

  test("of the spec through the status is ignored", () => {
    const outcome = change(
      deployment(),
      (next) => {
        (next.spec as JsonObject).replicas = 9;
        next.status = { replicas: 2 };
      },
      "status",
    );
    expect(outcome.ok && [outcome.value.spec, outcome.value.status]).toMatchObject([
      { replicas: 1 },
      { replicas: 2 },
    ]);
  });

  test("of fields that only the API sets is ignored", () => {
    const outcome = change(deployment(), (next) => {
      next.metadata = { name: "w", namespace: "default", uid: "other", generation: 77 };
    });
    expect(outcome.ok && outcome.value.metadata).toEqual({
      name: "w",
      namespace: "default",
      creationTimestamp: now,
      generation: 1,
    });
  });

  test("of a pod's node is only accepted through a binding", () => {
    const object = { apiVersion: "v1", kind: "Pod", ...made("v1", "Pod", pod({ containers: [container] })) };
    const bind = (next: JsonObject): void => {
      (next.spec as JsonObject).nodeName = "n1";
    };
    expect([change(object, bind, "binding").ok, change(object, bind).ok]).toEqual([true, false]);
  });

  test("that adds a finalizer to an object being deleted is refused", () => {
    const object = deployment();
    (object.metadata as JsonObject).deletionTimestamp = now;
    const outcome = change(object, (next) => ((next.metadata as JsonObject).finalizers = ["a.b/c"]));
    expect(refusal(outcome)).toEqual([
      'metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a.b/c"}',
    ]);
  });

  test("of a service that omits its address keeps it", () => {
    const object = {
      apiVersion: "v1",
      kind: "Service",
      ...made("v1", "Service", {
        metadata: { name: "s" },
        spec: { clusterIP: "10.0.0.1", ports: [{ port: 1 }] },
      }),
    };
    const outcome = change(object, (next) => {
      delete (next.spec as JsonObject).clusterIP;
      delete (next.spec as JsonObject).clusterIPs;
    });
    expect(outcome.ok && outcome.value.spec).toMatchObject({
      clusterIP: "10.0.0.1",
      clusterIPs: ["10.0.0.1"],
    });
  });

  test("of the scale changes the replicas", () => {
    const info = kindOf("apps/v1", "Deployment");
    const outcome = withScale(info, deployment(), { spec: { replicas: 4 } });
    expect(outcome.ok && scaleOf(info, outcome.value)).toMatchObject({
      kind: "Scale",
      spec: { replicas: 4 },
      status: { replicas: 0, selector: "a=b" },
    });
  });
});
