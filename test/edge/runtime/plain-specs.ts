import type { ContainerIdentity, ContainerSpec, SandboxSpec } from "#edge/runtime";

/** A pod of one container with nothing special. */
export const identity: ContainerIdentity = {
  podName: "web",
  podNamespace: "default",
  podUid: "u",
  container: "c",
  role: "container",
  attempt: 2,
  specHash: "h",
  sandboxId: "s",
  graceSeconds: 30,
};

export const sandbox: SandboxSpec = {
  identity: { ...identity, container: "POD", role: "sandbox", specHash: "", sandboxId: "" },
  network: { kind: "own", hostname: "web", ports: [] },
  sysctls: {},
  hostIpc: false,
  pid: "container",
  privileged: false,
};

export const container: ContainerSpec = {
  identity,
  sandbox,
  image: "app:1",
  env: [],
  supplementalGroups: [],
  tty: false,
  stdin: false,
  stdinOnce: false,
  ipc: "pod",
  pid: "container",
  mounts: [],
  privileged: false,
  readOnlyRoot: false,
  noNewPrivileges: false,
  capAdd: [],
  capDrop: [],
};
