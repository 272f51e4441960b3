import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hasPair, podSpec, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { seeded } from "#internal/test/support/seeded.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Each run of a pod adds a line to a file of the node: its index, if it has one, and its name. */
function job(name: string, folder: string, spec: object, script = "sleep 1"): object {
  const [main] = podSpec()["containers"] as Record<string, unknown>[];
  const line = 'echo "$JOB_COMPLETION_INDEX $(/bin/busybox hostname)" >> /out/log';
  const container = {
    ...main,
    command: ["/bin/busybox", "sh", "-c", `/bin/busybox ${script} && ${line}`],
    volumeMounts: [{ name: "out", mountPath: "/out" }],
  };
  const pod = {
    ...podSpec(),
    restartPolicy: "Never",
    terminationGracePeriodSeconds: 1,
    containers: [container],
    volumes: [{ name: "out", hostPath: { path: folder, type: "DirectoryOrCreate" } }],
  };
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name },
    spec: { ...spec, template: { spec: pod } },
  };
}

function linesOf(folder: string): string[] {
  const file = join(folder, "log");
  return existsSync(file) ? readFileSync(file, "utf8").trim().split("\n").filter(Boolean) : [];
}

async function statusOf(pair: Pair, name: string): Promise<Record<string, unknown>> {
  return JSON.parse(await pair.kubectl("get", "job", name, "-o=jsonpath={.status}")) as Record<
    string,
    unknown
  >;
}

test.skipIf(!hasPair())(
  "a Job counts each pod once while cloudcore and edgecore are killed and the link is cut",
  async () => {
    using out = tempDir();
    await using pair = await startPair();
    await pair.ready();
    await pair.apply(job("batch", out.path, { completions: 16, parallelism: 4, backoffLimit: 0 }));
    const random = seeded(20_261_129);
    for (let count = 1; count <= 6; count += 1) {
      const before = linesOf(out.path).length;
      // Four pods may end at once.
      if (before === 16) break;
      await until(20_000, () => linesOf(out.path).length > before || "no pod has ended");
      await Bun.sleep(random() * 300);
      if (count % 3 === 0) pair.link.cut();
      await pair.killCloud();
      if (count === 4) {
        await pair.killEdge();
        await pair.startEdge();
      }
      await pair.startCloud();
    }
    await pair.kubectl("wait", "job/batch", "--for=condition=complete", "--timeout=60s");
    const status = await statusOf(pair, "batch");
    expect(status).toMatchObject({ succeeded: 16, uncountedTerminatedPods: {} });
    expect(status["failed"]).toBeUndefined();
    const lines = linesOf(out.path);
    expect([lines.length, new Set(lines).size]).toEqual([16, 16]);
    const pods = await pair.kubectl(
      "get",
      "pods",
      "-l=job-name=batch",
      "-o=jsonpath={.items[*].status.phase}",
    );
    expect(pods.split(" ")).toEqual(Array<string>(16).fill("Succeeded"));
    expect(await pair.kubectl("get", "pods", "-o=jsonpath={.items[*].metadata.finalizers}")).toBe("");
  },
  180_000,
);

test.skipIf(!hasPair())(
  "an Indexed Job goes on while its node is offline, and is complete when the node is back",
  async () => {
    using out = tempDir();
    await using pair = await startPair();
    await pair.ready();
    await pair.apply(
      job(
        "parts",
        out.path,
        { completionMode: "Indexed", completions: 3, parallelism: 3, backoffLimit: 0 },
        "sleep 4",
      ),
    );
    await until(20_000, async () => {
      const active = await pair.kubectl("get", "job", "parts", "-o=jsonpath={.status.ready}");
      return active === "3" || `${active} pods are ready`;
    });
    pair.link.cut({ refuse: true });
    await until(20_000, () => linesOf(out.path).length === 3 || "the pods have not ended");
    expect((await statusOf(pair, "parts"))["succeeded"]).toBeUndefined();
    pair.link.restore();
    await pair.kubectl("wait", "job/parts", "--for=condition=complete", "--timeout=60s");
    expect(linesOf(out.path).toSorted()).toEqual(["0 parts-0", "1 parts-1", "2 parts-2"]);
    expect(await statusOf(pair, "parts")).toMatchObject({ succeeded: 3, completedIndexes: "0-2" });
  },
  120_000,
);

test.skipIf(!hasPair())(
  "an exit code fails a Job at once, and a Job is deleted with pods that run",
  async () => {
    using out = tempDir();
    await using pair = await startPair();
    await pair.ready();
    const podFailurePolicy = {
      rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [42] } }],
    };
    await pair.apply(job("broken", out.path, { podFailurePolicy }, "sh -c 'exit 42'"));
    await pair.apply(job("going", out.path, { completions: 2, parallelism: 2 }, "sleep 1000"));
    await pair.kubectl("wait", "job/broken", "--for=condition=failed", "--timeout=30s");
    expect(
      await pair.kubectl(
        "get",
        "job",
        "broken",
        '-o=jsonpath={.status.conditions[?(@.type=="Failed")].message}',
      ),
    ).toMatch(
      /^Container \S+ for pod default\/broken-\w+ failed with exit code 42 matching FailJob rule at index 0$/,
    );
    await until(20_000, async () => {
      const active = await pair.kubectl("get", "job", "going", "-o=jsonpath={.status.ready}");
      return active === "2" || `${active} pods are ready`;
    });
    await pair.kubectl("delete", "job", "going", "broken", "--cascade=foreground", "--timeout=30s");
    await until(20_000, async () => {
      const left = await pair.kubectl("get", "pods", "-o=name");
      return left === "" || left;
    });
    await until(20_000, () => pair.containers().length === 0 || "containers are left");
  },
  120_000,
);

test.skipIf(!hasPair())(
  "a pod that is evicted is replaced, and is no failure when the policy ignores disruptions",
  async () => {
    using out = tempDir();
    await using pair = await startPair();
    await pair.ready();
    const ignored = { action: "Ignore", onPodConditions: [{ type: "DisruptionTarget" }] };
    const spec = { backoffLimit: 0, podFailurePolicy: { rules: [ignored] } };
    await pair.apply(job("evicted", out.path, spec, "sleep 5"));
    await until(20_000, async () => {
      const ready = await pair.kubectl("get", "job", "evicted", "-o=jsonpath={.status.ready}");
      return ready === "1" || `${ready} pods are ready`;
    });
    await pair.kubectl("drain", pair.node, "--ignore-daemonsets", "--force", "--timeout=30s");
    await pair.kubectl("uncordon", pair.node);
    await pair.kubectl("wait", "job/evicted", "--for=condition=complete", "--timeout=60s");
    expect(linesOf(out.path)).toHaveLength(1);
    expect((await statusOf(pair, "evicted"))["failed"]).toBeUndefined();
  },
  120_000,
);
