import { expect, test } from "bun:test";
import { join } from "node:path";
import { createKubeClient, resources } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import type { Pod } from "#shared/kube";
import { startTestServer } from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { readyStatus, startWorkloads, until } from "#internal/test/cloud/controllers/workload-harness.ts";

test("kubectl drives a Deployment through its life", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  const kubeconfig = join(dir.path, "kubeconfig");
  server.api.writeKubeconfig(kubeconfig);
  const deps = { clock: systemClock, log: silentLog() };
  await using kube = await createKubeClient({ from: "kubeconfig", path: kubeconfig }, deps);
  await using harness = await startWorkloads(kube, systemClock);
  const { pods, replicaSets } = harness.deps;
  const makeReady = async ({ metadata }: Pod): Promise<void> => {
    const at = { namespace: "default", name: metadata.name ?? "" };
    const patch = { status: readyStatus(Date.now()) };
    const options = { type: "merge", subresource: "status" } as const;
    await kube.patch(resources.pods, at, patch, options).catch(() => undefined);
  };
  using _kubelet = pods.watch({ added: (pod) => void makeReady(pod) });
  const kubectl = async (...args: string[]): Promise<string> => {
    const command = ["kubectl", "--kubeconfig", kubeconfig, ...args];
    const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`${args.join(" ")}: ${err}`);
    return out;
  };

  await kubectl("create", "deployment", "web", "--image=app:1", "--replicas=3");
  expect(await kubectl("rollout", "status", "deploy/web", "--timeout=10s")).toContain(
    "successfully rolled out",
  );
  await kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=10s");
  await kubectl("set", "image", "deploy/web", "*=app:2");
  await kubectl("rollout", "status", "deploy/web", "--timeout=10s");
  expect(await kubectl("rollout", "history", "deploy/web")).toMatch(/1 .*\n2 /);
  await kubectl("rollout", "undo", "deploy/web");
  await kubectl("rollout", "status", "deploy/web", "--timeout=10s");
  expect(await kubectl("rollout", "history", "deploy/web")).toMatch(/2 .*\n3 /);
  await until("first image", () => pods.list().every((pod) => pod.spec.containers[0]?.image === "app:1"));
  await kubectl("rollout", "pause", "deploy/web");
  await kubectl("scale", "deploy/web", "--replicas=5");
  await until("five pods", () => pods.list().length === 5);
  await kubectl("rollout", "resume", "deploy/web");
  await kubectl("rollout", "status", "deploy/web", "--timeout=10s");
  await kubectl("rollout", "restart", "deploy/web");
  await kubectl("rollout", "status", "deploy/web", "--timeout=10s");
  expect(await kubectl("get", "events")).toContain("ScalingReplicaSet");
  expect(await kubectl("get", "deploy", "web")).toMatch(/5\/5 +5 +5/);
  await kubectl("delete", "deploy", "web", "--cascade=foreground", "--timeout=10s");
  expect(pods.list().length + replicaSets.list().length).toBe(0);

  await kubectl("create", "deployment", "kept", "--image=app:1", "--replicas=2");
  await kubectl("rollout", "status", "deploy/kept", "--timeout=10s");
  await kubectl("delete", "deploy", "kept", "--cascade=orphan", "--timeout=10s");
  expect(pods.list()).toHaveLength(2);
  await kubectl("delete", "rs", "--all");
  await until("nothing left", () => pods.list().length + replicaSets.list().length === 0);
  const warnings = harness.log.lines.filter((line) => /"level":"(warn|error)"/.test(line));
  expect(warnings).toEqual([]);
}, 60_000);
