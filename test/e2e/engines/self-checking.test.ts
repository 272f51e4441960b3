import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { itemsOf, textOf, type JsonObject } from "#shared/json";
import { busyboxImage } from "#internal/test/support/machine/container-engine.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { objects, selfChecking, type SelfChecking } from "./self-checking-pods.ts";

setDefaultTimeout(300_000);
const image = `kubeedge-self-checking-${process.pid}:1`;

describe("pods that check themselves", () => {
  test.skipIf(!hasPair())("are run as specified by Docker", async () => {
    using _image = busyboxImage(image);
    await using pair = await startPair();
    // Docker gives no fewer than all there are.
    const pods = selfChecking(image).filter(
      ({ needsAllCapabilities }) => !needsAllCapabilities || hasAllCapabilities(),
    );
    expect(await run(pair, pods)).toEqual([]);
  });

  test.skipIf(!hasContainerd() || !needsCommands("kubectl"))(
    "are run as specified by containerd",
    async () => {
      await using engine = await Containerd.start();
      await engine.addBusybox(image);
      await using pair = await startPair({ endpoint: engine.endpoint });
      expect(await run(pair, selfChecking(image))).toEqual([]);
    },
  );
});

/** @returns what is wrong */
async function run(pair: Pair, pods: readonly SelfChecking[]): Promise<string[]> {
  await pair.apply(...objects, ...pods.map(({ name, spec }) => podOf(name, spec)));
  let found: readonly JsonObject[] = [];
  const isOver = (pod: JsonObject): boolean =>
    /Succeeded|Failed/.test(String(fieldOf(pod, "status", "phase")));
  await until(120_000, async () => {
    const list = JSON.parse(await pair.kubectl("get", "pods", "-o", "json")) as JsonObject;
    found = itemsOf(list, "items");
    const left = found.filter((pod) => !isOver(pod)).map(nameOf);
    return left.length === 0 || `${left.length} have not ended: ${left.join(" ")}`;
  }).catch(() => undefined);
  const wrong = pods.flatMap(
    (wanted) =>
      faultOf(
        wanted,
        found.find((pod) => nameOf(pod) === wanted.name),
      ) ?? [],
  );
  // Some have mounts of the host below the directory of edgecore.
  await pair.kubectl("delete", "pods", "--all", "--timeout=60s");
  return wrong;
}

/** Whether this machine is not itself a container that lacks some. */
function hasAllCapabilities(): boolean {
  const [, bounding = "0"] = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  const last = Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
  return BigInt(`0x${bounding}`) === (1n << BigInt(last + 1)) - 1n;
}

function podOf(name: string, spec: SelfChecking["spec"]): object {
  const whole = { restartPolicy: "Never", terminationGracePeriodSeconds: 1, ...spec };
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: whole };
}

function faultOf(
  { name, phase = "Succeeded", end = {}, restarts = 0 }: SelfChecking,
  pod: JsonObject | undefined,
): string | undefined {
  const [main] = itemsOf(pod && (pod["status"] as JsonObject), "containerStatuses");
  const terminated = fieldOf(main, "state", "terminated") as JsonObject | undefined;
  const isRight =
    fieldOf(pod, "status", "phase") === phase &&
    Object.entries(end).every(([field, value]) => terminated?.[field] === value) &&
    (main?.["restartCount"] ?? 0) === restarts;
  return isRight ? undefined : `${name}: ${JSON.stringify(pod?.["status"] ?? "gone")}`;
}

function nameOf(pod: JsonObject): string {
  return textOf(pod["metadata"] as JsonObject, "name");
}

function fieldOf(parent: JsonObject | undefined, first: string, second: string): unknown {
  return (parent?.[first] as JsonObject | undefined)?.[second];
}
