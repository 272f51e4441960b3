import { expect, test } from "bun:test";
import { expand, Expansion, resolveEnv, type Objects } from "#edge/edged/environment";
import type { Container, KubeObject, Pod } from "#shared/kube";
import { withServiceLinks } from "#shared/service-links";

const facts = {
  nodeName: "n1",
  hostIp: "10.1.1.1",
  podIps: ["172.17.0.2"],
  allocatable: { cpu: "4", memory: "1Gi" },
};
const pod: Pod = {
  metadata: { name: "web", namespace: "default", uid: "u", labels: { app: "x" } },
  spec: { containers: [] },
};
const objects: Objects = new Map([
  ["configmap/page", { metadata: {}, data: { a: "1", b: "2" } }],
  ["secret/cred", { metadata: {}, data: { user: btoa("me") } }],
]);

function env(container: Partial<Container>): Record<string, string> | string {
  const result = resolveEnv(pod, { name: "c", ...container }, objects, facts);
  return result.ok ? Object.fromEntries(result.env) : result.reason;
}

test.each([
  ["plain $(A) text", "plain 1 text"],
  ["$$(A)", "$(A)"],
  ["$(NONE) $ $(", "$(NONE) $ $("],
])("expand turns %p into %p", (text, expected) => {
  expect(expand(text, new Map([["A", "1"]]))).toBe(expected);
});

test("resolveEnv refuses variables that double each other beyond what a program can get", () => {
  const variables = Array.from({ length: 40 }, (_, index) => ({
    name: `A${index + 1}`,
    value: `$(A${index})$(A${index})`,
  }));
  expect(() => env({ env: [{ name: "A0", value: "x" }, ...variables] })).toThrow(
    "the variables that are expanded make too long a text: $(A17) does not fit",
  );
});

test("an expansion refuses texts that are too long together", () => {
  const expansion = new Expansion();
  const long = new Map([["A", "x".repeat(131_072)]]);
  const texts = Array.from({ length: 48 }, () => expansion.expand("$(A)", long));
  expect(texts.join("").length).toBe(6 * 1024 * 1024);
  expect(() => expansion.expand("$(A)", long)).toThrow("make too long a text");
});

test("resolveEnv lets later variables see earlier ones and prefixes whole sources", () => {
  const result = env({
    envFrom: [
      { prefix: "P_", configMapRef: { name: "page" } },
      { secretRef: { name: "none", optional: true } },
    ],
    env: [
      { name: "A", value: "x$(P_a)" },
      { name: "U", valueFrom: { secretKeyRef: { name: "cred", key: "user" } } },
      { name: "O", valueFrom: { configMapKeyRef: { name: "page", key: "none", optional: true } } },
    ],
  });
  expect(result).toEqual({ P_a: "1", P_b: "2", A: "x1", U: "me" });
});

test.each([
  ["metadata.labels['app']", "x"],
  ["status.podIP", "172.17.0.2"],
  ["spec.nodeName", "n1"],
  ["metadata.none", undefined],
])("resolveEnv reads field %s", (fieldPath, expected) => {
  const result = env({ env: [{ name: "F", valueFrom: { fieldRef: { fieldPath } } }] });
  expect(result).toEqual(expected === undefined ? `unsupported fieldPath: ${fieldPath}` : { F: expected });
});

test.each([
  ["limits.cpu", "1m", "250"],
  ["limits.memory", "1Mi", "1024"],
  ["requests.cpu", undefined, "1"],
])("resolveEnv reads resource %s in units of %p", (resource, divisor, expected) => {
  const reference = { resource, ...(divisor === undefined ? {} : { divisor }) };
  const resources = { limits: { cpu: "250m" } };
  expect(env({ resources, env: [{ name: "R", valueFrom: { resourceFieldRef: reference } }] })).toEqual({
    R: expected,
  });
});

test("resolveEnv refuses what is missing, by name", () => {
  expect([
    env({ envFrom: [{ configMapRef: { name: "gone" } }] }),
    env({ env: [{ name: "A", valueFrom: { secretKeyRef: { name: "cred", key: "pass" } } }] }),
  ]).toEqual(['configmap "gone" not found', "couldn't find key pass in Secret default/cred"]);
});

test.each([
  ["its own", false, "172.17.0.1"],
  ["the node's", true, "127.0.0.1"],
])(
  "resolveEnv names the node's API to a pod in %s network, and env may say otherwise",
  (_of, hostNetwork, host) => {
    const nodeApi = { host: "127.0.0.1", podHost: () => "172.17.0.1", port: 10_550, caPem: "" };
    const there = { ...pod, spec: { ...pod.spec, hostNetwork } };
    const own = [{ name: "KUBERNETES_SERVICE_PORT_HTTPS", value: "1" }];
    const result = resolveEnv(there, { name: "c", env: own }, objects, { ...facts, nodeApi });
    expect(result.ok && Object.fromEntries(result.env)).toEqual({
      KUBERNETES_SERVICE_HOST: host,
      KUBERNETES_SERVICE_PORT: "10550",
      KUBERNETES_SERVICE_PORT_HTTPS: "1",
      KUBERNETES_PORT: `tcp://${host}:10550`,
      KUBERNETES_PORT_10550_TCP: `tcp://${host}:10550`,
      KUBERNETES_PORT_10550_TCP_PROTO: "tcp",
      KUBERNETES_PORT_10550_TCP_PORT: "10550",
      KUBERNETES_PORT_10550_TCP_ADDR: host,
    });
  },
);

test("resolveEnv names no API that the pod cannot reach", () => {
  const nodeApi = { host: "127.0.0.1", podHost: () => undefined, port: 10_550, caPem: "" };
  const result = resolveEnv(pod, { name: "c" }, objects, { ...facts, nodeApi });
  expect(result.ok && [...result.env]).toEqual([]);
});

const service = (name: string, spec: object, namespace = "default"): KubeObject => ({
  metadata: { name, namespace },
  spec,
});

test("resolveEnv describes the Services that the pod was delivered with, as kubelet does, and env may say otherwise", () => {
  const told = withServiceLinks(pod, [
    service("redis-primary", {
      clusterIP: "10.0.0.11",
      ports: [
        { port: 6379, name: "client-port" },
        { port: 53, protocol: "UDP", name: "x" },
      ],
    }),
    service("headless", { clusterIP: "None", ports: [{ port: 1 }] }),
    service("named", { type: "ExternalName", externalName: "example.com" }),
    service("kubernetes", { clusterIP: "10.0.0.1", ports: [{ port: 443 }] }),
  ]);
  const own = [{ name: "URL", value: "http://$(REDIS_PRIMARY_SERVICE_HOST):$(REDIS_PRIMARY_SERVICE_PORT)" }];
  const result = resolveEnv(told, { name: "c", env: own }, objects, facts);
  expect(result.ok && Object.fromEntries(result.env)).toEqual({
    REDIS_PRIMARY_SERVICE_HOST: "10.0.0.11",
    REDIS_PRIMARY_SERVICE_PORT: "6379",
    REDIS_PRIMARY_SERVICE_PORT_CLIENT_PORT: "6379",
    REDIS_PRIMARY_SERVICE_PORT_X: "53",
    REDIS_PRIMARY_PORT: "tcp://10.0.0.11:6379",
    REDIS_PRIMARY_PORT_6379_TCP: "tcp://10.0.0.11:6379",
    REDIS_PRIMARY_PORT_6379_TCP_PROTO: "tcp",
    REDIS_PRIMARY_PORT_6379_TCP_PORT: "6379",
    REDIS_PRIMARY_PORT_6379_TCP_ADDR: "10.0.0.11",
    REDIS_PRIMARY_PORT_53_UDP: "udp://10.0.0.11:53",
    REDIS_PRIMARY_PORT_53_UDP_PROTO: "udp",
    REDIS_PRIMARY_PORT_53_UDP_PORT: "53",
    REDIS_PRIMARY_PORT_53_UDP_ADDR: "10.0.0.11",
    URL: "http://10.0.0.11:6379",
  });
});

test("a pod that wants no links of Services gets none", () => {
  const shy = { ...pod, spec: { ...pod.spec, enableServiceLinks: false } };
  expect(withServiceLinks(shy, [service("web", { clusterIP: "10.0.0.2", ports: [{ port: 1 }] })])).toBe(shy);
});
