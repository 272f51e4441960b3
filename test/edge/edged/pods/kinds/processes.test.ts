import { expect, test } from "bun:test";
import { kindOf, onHostNetwork, refuseForProcesses } from "#edge/edged/pods/admission";
import { runtimeHandlerField, type Container, type Pod, type PodSpec } from "#shared/kube";

function podOf(spec: Partial<PodSpec> = {}, container: Partial<Container> = {}, extra: object = {}): Pod {
  const containers = [{ name: "c", image: "process:///opt/edge/bin/app", ...container }];
  return {
    metadata: { name: "web", namespace: "default", uid: "u" },
    spec: { containers, ...spec },
    ...extra,
  };
}

function refusal(pod: Pod, isAllowed = true): string | undefined {
  try {
    refuseForProcesses(pod, isAllowed);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

test("a pod is one of processes by one of its images or its RuntimeClass", () => {
  const sidecar = { initContainers: [{ name: "i", image: "process:///bin/true" }] };
  const given = [
    podOf(),
    podOf(sidecar, { image: "web:1" }),
    podOf({ runtimeClassName: "process" }, { image: "web:1" }),
    podOf({ runtimeClassName: "any" }, { image: "web:1" }, { [runtimeHandlerField]: "process" }),
    podOf({ runtimeClassName: "process" }, { image: "web:1" }, { [runtimeHandlerField]: "runc" }),
    podOf({}, { image: "web:1" }),
    podOf({}, { image: "registry.example/process://x" }),
  ];
  const kinds = given.map((pod) => kindOf(pod, undefined));
  expect(kinds.map((kind) => kind === "processes")).toEqual([true, true, true, true, false, false, false]);
});

test("what runs of a pod says of which kind it is, and not what was written into it later", () => {
  const debugged = podOf({ ephemeralContainers: [{ name: "d", image: "process:///x" }] }, { image: "web:1" });
  const containerStatuses = [{ name: "c", containerID: "docker://1" }];
  const changed = podOf({}, {}, { status: { containerStatuses } });
  const held = { holds: (uid: string) => uid === "u" };
  expect([
    kindOf(debugged, undefined),
    kindOf(changed, undefined),
    kindOf(podOf({}, { image: "web:1" }), held),
  ]).toEqual(["containers", "containers", "processes"]);
});

test("a pod of processes has the node's network and its ports", () => {
  const pod = onHostNetwork(podOf({}, { ports: [{ containerPort: 80, hostPort: 8080 }] }));
  expect([pod.spec.hostNetwork, pod.spec.containers[0]?.ports]).toEqual([
    true,
    [{ containerPort: 80, hostPort: 80 }],
  ]);
});

test("a node that does not allow processes says so with the image", () => {
  expect(refusal(podOf(), false)).toBe(
    "spec.containers[0].image process:///opt/edge/bin/app: processes are not allowed on this node (edged.processes.enabled)",
  );
  expect(refusal(podOf({ runtimeClassName: "process" }, { image: "web:1" }), false)).toContain(
    "spec.runtimeClassName process",
  );
});

test("a plain pod of processes is not refused", () => {
  const context = { runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } };
  expect(refusal(podOf({ dnsPolicy: "ClusterFirst" }, { securityContext: context }))).toBeUndefined();
});

test("fields that mean something for containers alone are refused with their path", () => {
  const profile = { type: "RuntimeDefault" };
  const refused: [Pod, string][] = [
    [podOf({ hostPID: true }), "spec.hostPID"],
    [podOf({ shareProcessNamespace: true }), "spec.shareProcessNamespace"],
    [podOf({ dnsPolicy: "None" }), "spec.dnsPolicy None"],
    [podOf({ dnsConfig: { nameservers: ["192.0.2.1"] } }), "spec.dnsConfig"],
    [podOf({ runtimeClassName: "gvisor" }), "spec.runtimeClassName gvisor"],
    [
      podOf({ securityContext: { sysctls: [{ name: "kernel.sem", value: "1" }] } }),
      "spec.securityContext.sysctls",
    ],
    [podOf({ securityContext: { seccompProfile: profile } }), "spec.securityContext.seccompProfile"],
    [
      podOf({}, { securityContext: { seccompProfile: profile } }),
      "spec.containers[0].securityContext.seccompProfile",
    ],
    [podOf({}, { securityContext: { privileged: true } }), "spec.containers[0].securityContext.privileged"],
    [
      podOf({}, { securityContext: { capabilities: { add: ["SYS_ADMIN"] } } }),
      "spec.containers[0].securityContext.capabilities.add",
    ],
    [
      podOf({}, { securityContext: { readOnlyRootFilesystem: true } }),
      "spec.containers[0].securityContext.readOnlyRootFilesystem",
    ],
    [podOf({}, { tty: true }), "spec.containers[0].tty"],
    [podOf({}, { stdin: true }), "spec.containers[0].stdin"],
    [
      podOf({}, { resources: { limits: { "vendor.example/gpu": "1" } } }),
      "spec.containers[0].resources.limits.vendor.example/gpu",
    ],
    [
      podOf({ initContainers: [{ name: "i", image: "web:1" }] }),
      "spec.initContainers[0].image web:1 beside images of processes",
    ],
  ];
  for (const [pod, field] of refused) expect(refusal(pod)).toBe(`${field} is not supported for processes`);
});
