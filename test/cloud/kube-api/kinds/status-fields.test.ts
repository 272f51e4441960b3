import { expect, test } from "bun:test";
import type { JsonObject } from "#shared/json";
import { change, container, pod, refusal, typed, workload } from "./admitted.ts";

const started = typed("v1", "Pod", pod({ containers: [container] }));
const deployment = typed("apps/v1", "Deployment", workload());
const service = typed("v1", "Service", {
  metadata: { name: "s" },
  spec: { type: "LoadBalancer", ports: [{ port: 80 }] },
});

const causesOf = (object: JsonObject, status: JsonObject): string[] =>
  refusal(change(object, (next) => Object.assign(next, { status }), "status")).map((line) =>
    line.replace(/a lowercase RFC 1123 .*/, "a lowercase RFC 1123 …"),
  );

// Addresses, the nominated node and the ready replicas as a kube-apiserver 1.26 answered; the others after its rules.
test.each<[string, JsonObject, JsonObject, string[]]>([
  [
    "addresses of a pod",
    started,
    { podIPs: [{ ip: "x" }] },
    ['status.podIPs[0]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'],
  ],
  [
    "a nominated node",
    started,
    { nominatedNodeName: "A_" },
    ['status.nominatedNodeName: Invalid value: "A_": a lowercase RFC 1123 …'],
  ],
  [
    "an address of a load balancer",
    service,
    { loadBalancer: { ingress: [{ ip: "x" }] } },
    ['status.loadBalancer.ingress[0].ip: Invalid value: "x": must be a valid IP address'],
  ],
  [
    "a host of a load balancer",
    service,
    { loadBalancer: { ingress: [{ hostname: "10.0.0.1" }] } },
    [
      'status.loadBalancer.ingress[0].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address',
    ],
  ],
  [
    "ready replicas that there are not",
    deployment,
    { readyReplicas: 3 },
    ["status.readyReplicas: Invalid value: 3: cannot be greater than status.replicas"],
  ],
  [
    "available replicas that are not ready",
    deployment,
    { replicas: 3, availableReplicas: 3 },
    ["status.availableReplicas: Invalid value: 3: cannot be greater than readyReplicas"],
  ],
  [
    "fewer than no replicas",
    deployment,
    { unavailableReplicas: -1 },
    ["status.unavailableReplicas: Invalid value: -1: must be greater than or equal to 0"],
  ],
])("a status is refused: %s", (_name, object, status, causes) => {
  expect(causesOf(object, status)).toEqual(causes);
});

test.each<[string, JsonObject, JsonObject]>([
  ["of a pod without addresses", started, { phase: "Pending", podIP: "" }],
  [
    "of a pod of both families",
    started,
    { podIP: "10.0.0.2", podIPs: [{ ip: "10.0.0.2" }, { ip: "fd00::2" }] },
  ],
  [
    "of a load balancer",
    service,
    { loadBalancer: { ingress: [{ ip: "192.0.2.1" }, { hostname: "lb.example.com" }] } },
  ],
  [
    "of a rollout",
    deployment,
    { replicas: 3, updatedReplicas: 1, readyReplicas: 2, availableReplicas: 2, unavailableReplicas: 1 },
  ],
])("a status is taken: %s", (_name, object, status) => {
  expect(causesOf(object, status)).toEqual([]);
});
