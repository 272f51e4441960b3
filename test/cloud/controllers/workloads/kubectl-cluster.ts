import { join } from "node:path";
import { startControllers } from "#cloud/controllers";
import { resources, type KubeClient } from "#cloud/kube-client";
import type { ControllerDeps } from "#internal/cloud/controllers/framework/controller.ts";
import type { KubeObject, Pod } from "#shared/kube";
import { readyNode, startCluster } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { readyStatus } from "#internal/test/cloud/controllers/workload-harness.ts";

export interface KubectlCluster extends AsyncDisposable {
  readonly kube: KubeClient;
  readonly deps: ControllerDeps;
  /** @throws Error with what kubectl wrote when it fails */
  kubectl(...args: string[]): Promise<string>;
  /** `kubectl apply -f -` */
  apply(manifest: KubeObject): Promise<string>;
  /** Nodes that no longer start or end pods, nor report what they do. */
  readonly offline: Set<string>;
}

/** The embedded API with every controller and ready nodes that start and end pods at once, driven by kubectl. */
export async function startKubectlCluster(
  dataDir: string,
  nodes: readonly string[],
): Promise<KubectlCluster> {
  await using stack = new AsyncDisposableStack();
  const { kube, deps } = stack.use(await startCluster(dataDir));
  const kubeconfig = join(dataDir, "kubeconfig");
  stack.use(await startControllers(deps));
  for (const name of nodes) {
    const node = readyNode(name);
    await kube.create(resources.nodes, node);
    const options = { type: "merge", subresource: "status" } as const;
    await kube.patch(resources.nodes, { name }, { status: node.status }, options);
  }
  const look = (pod: Pod): void => void follow(kube, pod, offline);
  const offline = new OfflineNodes(() => deps.pods.list().forEach(look));
  stack.use(deps.pods.watch({ added: look, updated: look }));
  const kubectl = async (args: readonly string[], input = ""): Promise<string> => {
    const command = ["kubectl", "--kubeconfig", kubeconfig, ...args];
    const child = Bun.spawn(command, { stdin: Buffer.from(input), stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`${args.join(" ")}: ${err}`);
    return out;
  };
  const owned = stack.move();
  return {
    kube,
    deps,
    offline,
    kubectl: (...args) => kubectl(args),
    apply: (manifest) => kubectl(["apply", "-f", "-"], JSON.stringify(manifest)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A kubelet that is back looks at all its pods. */
class OfflineNodes extends Set<string> {
  readonly #back: () => void;

  constructor(back: () => void) {
    super();
    this.#back = back;
  }

  override delete(node: string): boolean {
    const wasOffline = super.delete(node);
    this.#back();
    return wasOffline;
  }

  override clear(): void {
    super.clear();
    this.#back();
  }
}

/** What a kubelet does for a pod: reports it ready, and ends it when it is deleted. */
async function follow(kube: KubeClient, pod: Pod, offline: ReadonlySet<string>): Promise<void> {
  const { name = "", namespace = "default", uid = "", deletionTimestamp, resourceVersion } = pod.metadata;
  const { nodeName } = pod.spec;
  if (!nodeName || offline.has(nodeName)) return;
  const at = { name, namespace };
  const isStarted = pod.status?.phase !== "Pending";
  const done = deletionTimestamp
    ? kube.remove(resources.pods, at, { uid, graceSeconds: 0 })
    : isStarted ||
      kube.patch(
        resources.pods,
        at,
        // Conditional: the pod may have ended meanwhile.
        { metadata: { resourceVersion }, status: readyStatus(Date.now()) },
        { type: "merge", subresource: "status" },
      );
  // Another event of the same pod may have done it, or the cluster is ending.
  if (done !== true) await done.catch(() => undefined);
}
