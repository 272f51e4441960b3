import type { KubeObject } from "#shared/kube";

/**
 * The FlowSchemas and PriorityLevelConfigurations that every cluster has (pkg/apis/flowcontrol/bootstrap). Nothing acts on them
 * here: requests are limited by number.
 */
export const flowControlObjects: readonly KubeObject[] = [
  level("exempt", { type: "Exempt", exempt: { nominalConcurrencyShares: 0, lendablePercent: 0 } }),
  level("catch-all", limited(5, 0)),
  level("system", limited(30, 33, [64, 6])),
  level("node-high", limited(40, 25, [64, 6])),
  level("leader-election", limited(10, 0, [16, 4])),
  level("workload-high", limited(40, 50, [128, 6])),
  level("workload-low", limited(100, 90, [128, 6])),
  level("global-default", limited(20, 50, [128, 6])),
  schema("exempt", { level: "exempt", precedence: 1, subjects: [group("system:masters")], rules: all() }),
  schema("probes", { level: "exempt", precedence: 2, subjects: everybody(), rules: probes() }),
  schema("system-leader-election", {
    level: "leader-election",
    precedence: 100,
    by: "ByUser",
    subjects: [
      user("system:kube-controller-manager"),
      user("system:kube-scheduler"),
      account("kube-system", "*"),
    ],
    rules: [rule("coordination.k8s.io", ["leases"], ["get", "create", "update"])],
  }),
  schema("endpoint-controller", {
    level: "workload-high",
    precedence: 150,
    by: "ByUser",
    subjects: [
      user("system:kube-controller-manager"),
      account("kube-system", "endpoint-controller"),
      account("kube-system", "endpointslicemirroring-controller"),
    ],
    rules: [rule("", ["endpoints"], ["get", "create", "update"])],
  }),
  schema("workload-leader-election", {
    level: "leader-election",
    precedence: 200,
    by: "ByUser",
    subjects: [account("kube-system", "*")],
    rules: [rule("coordination.k8s.io", ["leases"], ["get", "create", "update"])],
  }),
  schema("system-node-high", {
    level: "node-high",
    precedence: 400,
    by: "ByUser",
    subjects: [group("system:nodes")],
    rules: [
      { ...rule("", ["nodes", "nodes/status"]), clusterScope: true },
      rule("coordination.k8s.io", ["leases"]),
    ],
  }),
  schema("system-nodes", {
    level: "system",
    precedence: 500,
    by: "ByUser",
    subjects: [group("system:nodes")],
    rules: all(),
  }),
  schema("kube-controller-manager", {
    level: "workload-high",
    precedence: 800,
    by: "ByNamespace",
    subjects: [user("system:kube-controller-manager")],
    rules: all(),
  }),
  schema("kube-scheduler", {
    level: "workload-high",
    precedence: 800,
    by: "ByNamespace",
    subjects: [user("system:kube-scheduler")],
    rules: all(),
  }),
  schema("kube-system-service-accounts", {
    level: "workload-high",
    precedence: 900,
    by: "ByNamespace",
    subjects: [account("kube-system", "*")],
    rules: all(),
  }),
  schema("service-accounts", {
    level: "workload-low",
    precedence: 9000,
    by: "ByUser",
    subjects: [group("system:serviceaccounts")],
    rules: all(),
  }),
  schema("global-default", {
    level: "global-default",
    precedence: 9900,
    by: "ByUser",
    subjects: everybody(),
    rules: all(),
  }),
  schema("catch-all", {
    level: "catch-all",
    precedence: 10_000,
    by: "ByUser",
    subjects: everybody(),
    rules: all(),
  }),
];

function level(name: string, spec: object): KubeObject {
  return {
    apiVersion: "flowcontrol.apiserver.k8s.io/v1",
    kind: "PriorityLevelConfiguration",
    metadata: { name },
    spec,
  };
}

/** @param queue number of queues and size of a hand; refused without */
function limited(shares: number, lendablePercent: number, queue?: readonly [number, number]): object {
  const queuing = queue && { queues: queue[0], handSize: queue[1], queueLengthLimit: 50 };
  const limitResponse = queuing ? { type: "Queue", queuing } : { type: "Reject" };
  return { type: "Limited", limited: { nominalConcurrencyShares: shares, lendablePercent, limitResponse } };
}

interface Flow {
  readonly level: string;
  readonly precedence: number;
  readonly by?: "ByUser" | "ByNamespace";
  readonly subjects: readonly object[];
  /** Of resources, and of paths. */
  readonly rules: readonly object[];
}

function schema(name: string, { level: priority, precedence, by, subjects, rules }: Flow): KubeObject {
  const resourceRules = rules.filter((one) => "resources" in one);
  const nonResourceRules = rules.filter((one) => "nonResourceURLs" in one);
  return {
    apiVersion: "flowcontrol.apiserver.k8s.io/v1",
    kind: "FlowSchema",
    metadata: { name },
    spec: {
      priorityLevelConfiguration: { name: priority },
      matchingPrecedence: precedence,
      ...(by && { distinguisherMethod: { type: by } }),
      rules: [
        {
          subjects,
          ...(resourceRules.length > 0 && { resourceRules }),
          ...(nonResourceRules.length > 0 && { nonResourceRules }),
        },
      ],
    },
  };
}

function all(): object[] {
  return [
    { verbs: ["*"], apiGroups: ["*"], resources: ["*"], clusterScope: true, namespaces: ["*"] },
    { verbs: ["*"], nonResourceURLs: ["*"] },
  ];
}

function probes(): object[] {
  return [{ verbs: ["get"], nonResourceURLs: ["/healthz", "/readyz", "/livez"] }];
}

function rule(apiGroup: string, resources: readonly string[], verbs: readonly string[] = ["*"]): object {
  return { verbs, apiGroups: [apiGroup], resources, namespaces: ["*"] };
}

function user(name: string): object {
  return { kind: "User", user: { name } };
}

function group(name: string): object {
  return { kind: "Group", group: { name } };
}

function account(namespace: string, name: string): object {
  return { kind: "ServiceAccount", serviceAccount: { namespace, name } };
}

function everybody(): object[] {
  return [group("system:unauthenticated"), group("system:authenticated")];
}
