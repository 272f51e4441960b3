import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { busyboxImage, docker } from "#internal/test/support/machine/container-engine.ts";
import { layerOf, startOddRegistry } from "#internal/test/support/machine/odd-registry.ts";
import {
  dockerConfig,
  hasRegistry,
  startRegistry,
  type Registry,
} from "#internal/test/support/machine/registry.ts";
import { hasPair, startPair, type Pair } from "#internal/test/support/pair.ts";
import { eventually } from "#internal/scripts/service.ts";

setDefaultTimeout(120_000);
const local = `kubeedge-jobs-${process.pid}:1`;
const user = { name: "edge", password: "s3cret-Word" };

interface JobStatus {
  readonly state?: string;
  readonly event?: string;
  readonly action?: string;
  readonly time?: string;
  readonly reason?: string;
  readonly status?: readonly {
    readonly nodeStatus: Readonly<Record<string, string>>;
    readonly imageStatus?: readonly Readonly<Record<string, string>>[];
  }[];
}

const job = (name: string, imagePrePullTemplate: object): object => ({
  apiVersion: "operations.kubeedge.io/v1alpha1",
  kind: "ImagePrePullJob",
  metadata: { name },
  spec: { imagePrePullTemplate },
});

describe.skipIf(!hasPair() || !hasRegistry())("ImagePrePullJob", () => {
  let pair: Pair;
  let registry: Registry;
  let made: Disposable | undefined;
  const names = new Set<string>();

  beforeAll(async () => {
    made = busyboxImage(local);
    registry = await startRegistry(user);
    pair = await startPair();
    await pair.apply({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "regcred", namespace: "default" },
      type: "kubernetes.io/dockerconfigjson",
      stringData: { ".dockerconfigjson": dockerConfig(registry.host, user) },
    });
  });
  afterAll(async () => {
    for (const name of names) Bun.spawnSync(["docker", "rmi", "-f", name]);
    await pair?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    made?.[Symbol.dispose]();
  });

  const push = (path: string): string => {
    const name = registry.push(local, path);
    names.add(name);
    return name;
  };
  const statusOf = async (name: string): Promise<JobStatus> => {
    const text = await pair.kubectl("get", "imageprepulljob", name, "-o", "jsonpath={.status}");
    return JSON.parse(text === "" ? "{}" : text) as JobStatus;
  };
  const whenOver = (name: string): Promise<JobStatus> =>
    eventually(60_000, async () => {
      const status = await statusOf(name);
      expect(status.state).toMatch(/Successful|Failed/);
      return status;
    });
  const isPresent = (image: string): boolean => Bun.spawnSync(["docker", "inspect", image]).success;

  test("has images pulled with the credentials of a Secret, and says what became of each", async () => {
    const image = push("jobs/good:1");
    const missing = `${registry.host}/jobs/none:1`;
    await pair.apply(
      job("good", {
        images: [image],
        labelSelector: { matchLabels: { "kubernetes.io/hostname": pair.node } },
        imageSecrets: "default/regcred",
      }),
      job("half", {
        images: [image, missing],
        nodeNames: [pair.node],
        imageSecrets: "default/regcred",
        retryTimes: 1,
      }),
    );
    const [good, half] = [await whenOver("good"), await whenOver("half")];
    const time = expect.stringMatching(/^\d{4}-.*Z$/);
    expect([good, isPresent(image)]).toEqual([
      {
        state: "Successful",
        event: "Pull",
        action: "Success",
        time,
        status: [
          {
            nodeStatus: { nodeName: pair.node, state: "Successful", event: "Pull", action: "Success", time },
            imageStatus: [{ image, state: "Successful" }],
          },
        ],
      },
      true,
    ]);
    expect(half.state).toBe("Failed");
    expect(half.reason).toBe(
      "the number of failed nodes is 1/1, which exceeds the failure tolerance threshold",
    );
    expect(half.status?.[0]?.imageStatus).toEqual([
      { image, state: "Successful" },
      { image: missing, state: "Failed", reason: expect.stringContaining("not found") },
    ]);
    expect(pair.describe()).not.toContain(user.password);
  });

  test("that cannot be carried out fails with the reason", async () => {
    await pair.apply(
      job("empty", { images: [], nodeNames: [pair.node] }),
      job("both", { images: ["a"], nodeNames: [pair.node], labelSelector: {} }),
      job("nobody", { images: ["a"], labelSelector: { matchLabels: { no: "node" } } }),
      job("secret", { images: ["a"], nodeNames: [pair.node], imageSecrets: "default/none" }),
      job("checked", { images: ["a"], nodeNames: [pair.node], checkItems: ["fuel"] }),
    );
    const reasons = await Promise.all(
      ["empty", "both", "nobody", "secret"].map(async (name) => (await whenOver(name)).reason),
    );
    const checked = (await whenOver("checked")).status?.[0]?.nodeStatus;
    expect([...reasons, `${checked?.["event"]}: ${checked?.["reason"]}`]).toEqual([
      "there are no images",
      "expected either nodeNames or labelSelector",
      "no node is selected",
      'imageSecrets: there is no Secret "default/none" with a docker config',
      'Check: check item "fuel" is not supported',
    ]);
  });

  test("waits for a node that is away, and fails when its time is over", async () => {
    await pair.killEdge();
    const image = push("jobs/late:1");
    const template = { images: [image], nodeNames: [pair.node], imageSecrets: "default/regcred" };
    await pair.apply(
      job("late", { ...template, timeoutSeconds: 100 }),
      job("never", { ...template, nodeNames: ["not-here"], timeoutSeconds: 1 }),
    );
    const never = await whenOver("never");
    expect(never.status?.[0]?.nodeStatus).toMatchObject({
      state: "Failed",
      event: "TimeOut",
      reason: expect.stringMatching(/^not finished after 1 seconds: Node "not-here" is not connected/),
    });
    expect(isPresent(image)).toBe(false);
    await pair.startEdge();
    expect([(await whenOver("late")).state, isPresent(image)]).toEqual(["Successful", true]);
  });

  test("is carried on after edgecore was killed within a pull, and after cloudcore was", async () => {
    const gate = Promise.withResolvers<void>();
    await using slow = startOddRegistry(layerOf(100_000), {
      answer: async (request) => {
        if (request.url.includes("/blobs/")) await gate.promise;
        return undefined;
      },
    });
    names.add(slow.image);
    await pair.apply(job("killed", { images: [slow.image], nodeNames: [pair.node], timeoutSeconds: 100 }));
    const isPulling = (): void => expect(slow.requests.some((line) => line.includes("/blobs/"))).toBe(true);
    await eventually(30_000, async () => isPulling());
    await pair.killEdge();
    const before = slow.requests.length;
    await pair.startEdge();
    await eventually(60_000, async () => expect(slow.requests.length).toBeGreaterThan(before));
    await pair.killCloud();
    gate.resolve();
    await pair.startCloud();
    expect([(await whenOver("killed")).state, docker("images", "-q", slow.image) !== ""]).toEqual([
      "Successful",
      true,
    ]);
  });
});
