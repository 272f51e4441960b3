import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { demoImage } from "#internal/scripts/engine.ts";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";

describe.skipIf(!hasPair())("streams to a pod over kill -9", () => {
  let pair: Pair;

  beforeAll(async () => {
    pair = await startPair();
    const command = ["/bin/busybox", "sh", "-c", "echo started; exec /bin/busybox sleep 100000"];
    const main = { name: "main", image: demoImage, imagePullPolicy: "IfNotPresent", command };
    await pair.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "app", namespace: "default" },
      spec: { nodeName: pair.node, terminationGracePeriodSeconds: 0, containers: [main] },
    });
    await pair.kubectl("wait", "--for=condition=Ready", "pod/app", "--timeout=60s");
  }, 120_000);
  afterAll(() => pair[Symbol.asyncDispose]());

  function begin(...words: readonly string[]) {
    const child = Bun.spawn(["kubectl", "--kubeconfig", pair.cloudFile("kubeconfig"), ...words], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    const reader = child.stdout.getReader();
    return { child, first: async () => Buffer.from((await reader.read()).value ?? []).toString() };
  }

  /** What runs in the container besides its main process. */
  function strays(): string[] {
    const [id = ""] = pair.containers("label=io.kubernetes.container.name=main");
    return docker("top", id, "-o", "pid,args").split("\n").slice(2);
  }

  test("an exec ends with edgecore, leaves no process that reads its input, and works with the next edgecore", async () => {
    const { child, first } = begin("exec", "-i", "app", "--", "/bin/busybox", "sh", "-c", "echo up; cat");
    expect(await first()).toBe("up\n");
    await pair.killEdge();
    expect(await child.exited).not.toBe(0);
    await until(10_000, () => strays().length === 0 || strays().join(", "));
    expect(await pair.command("edge", "logs", "app", "--tail", "1")).toBe("started\n");
    await pair.startEdge();
    await pair.ready();
    await until(10_000, async () => {
      const out = await pair.kubectl("exec", "app", "--", "/bin/busybox", "echo", "again");
      return out.trim() === "again" || out;
    });
  }, 60_000);

  test("a log that is followed ends with cloudcore, and is read again from the next one", async () => {
    const { child, first } = begin("logs", "-f", "app");
    expect(await first()).toBe("started\n");
    await pair.killCloud();
    await child.exited;
    await pair.startCloud();
    await pair.ready();
    await until(10_000, async () => {
      const out = await pair.kubectl("logs", "app").catch(String);
      return out.trim() === "started" || out;
    });
  }, 60_000);
});
