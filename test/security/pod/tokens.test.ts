import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { podTokenRequests } from "#edge/edge-hub/codec";
import { requestTokens } from "#edge/edged/environment/tokens";
import { UnavailableError } from "#shared/errors";
import type { Pod } from "#shared/kube";
import { PodVolumes, volumeTokenRequests } from "#edge/edged/volumes";
import { demoImage } from "#internal/scripts/engine.ts";
import { docker } from "#internal/test/support/machine/container-engine.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { hasPair, startPair } from "#internal/test/support/pair.ts";
import { overTheWire } from "#internal/test/support/edge/over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const volume = (name: string, audience?: string, expirationSeconds = 172_800): object => ({
  name,
  projected: {
    sources: [{ serviceAccountToken: { path: "token", expirationSeconds, ...(audience && { audience }) } }],
  },
});

const podWith = (...volumes: readonly object[]): Pod =>
  ({
    metadata: { name: "web", namespace: "default", uid: "u1" },
    spec: { serviceAccountName: "runner", containers: [], volumes },
  }) as unknown as Pod;
const facts = { nodeName: "n", hostIp: "", podIps: [], allocatable: {} };

/** A cloud that grants a day at most, counts its answers, and can be unreachable or refuse. */
class Cloud {
  readonly asked: unknown[] = [];
  mode: "answers" | "unreachable" | "refuses" = "answers";

  readonly ask = overTheWire(podTokenRequests, (message) => {
    if (this.mode === "unreachable") throw new UnavailableError("no-link", "the cloud cannot be reached");
    const { spec } = message.content as { spec: { audiences: string[] | null; expirationSeconds: number } };
    this.asked.push(message.content);
    const expirationSeconds = Math.min(spec.expirationSeconds, 86_400);
    const token = `${spec.audiences?.[0] ?? "api"}-${this.asked.length}`;
    const refused = { ErrStatus: { code: 403, message: "not yours" } };
    const content = this.mode === "refuses" ? refused : { spec: { expirationSeconds }, status: { token } };
    return { header: { msg_id: "1", timestamp: 1 }, route: {}, content };
  });
}

async function startVolumes(
  dir: string,
  pod = podWith(volume("api"), volume("vault", "vault", 7200)),
): Promise<{
  cloud: Cloud;
  clock: FakeClock;
  log: ReturnType<typeof silentLog>;
  read: () => string[];
  [Symbol.dispose](): void;
}> {
  const cloud = new Cloud();
  const clock = new FakeClock();
  const log = silentLog();
  const volumes = new PodVolumes({
    clock,
    log,
    podDir: dir,
    objects: async () => new Map(),
    tokens: (one) => requestTokens(one, volumeTokenRequests(one), { ask: cloud.ask, log }),
    onStale: () => void volumes.refresh(pod, facts),
    signal: new AbortController().signal,
  });
  await volumes.ensure(pod, facts);
  const read = (): string[] =>
    ["api", "vault"].map((name) => readFileSync(join(dir, "volumes", name, "token"), "utf8"));
  return { cloud, clock, log, read, [Symbol.dispose]: () => volumes[Symbol.dispose]() };
}

test("edged renews tokens after four fifths of the time the cloud has given", async () => {
  using dir = tempDir();
  using edge = await startVolumes(dir.path);
  expect(edge.read()).toEqual(["api-1", "vault-2"]);
  await edge.clock.advance(5_759_000);
  expect(edge.read()).toEqual(["api-1", "vault-2"]);
  await edge.clock.advance(2000);
  expect(edge.read()).toEqual(["api-3", "vault-4"]);
});

test("edged renews a token of two days before its day is over when the cloud cuts it to one", async () => {
  using dir = tempDir();
  using edge = await startVolumes(dir.path, podWith(volume("api"), volume("vault", "vault")));
  await edge.clock.advance(69_119_000);
  expect(edge.read()).toEqual(["api-1", "vault-2"]);
  await edge.clock.advance(2000);
  expect(edge.read()).toEqual(["api-3", "vault-4"]);
});

test("edged keeps the last token while the cloud cannot be reached, and asks each minute", async () => {
  using dir = tempDir();
  using edge = await startVolumes(dir.path);
  const before = edge.read();
  edge.cloud.mode = "unreachable";
  await edge.clock.advance(100_000_000);
  expect(edge.read()).toEqual(before);
  edge.cloud.mode = "answers";
  await edge.clock.advance(61_000);
  expect(edge.read()).not.toEqual(before);
});

test("edged logs why it has no token when the cloud refuses it", async () => {
  using dir = tempDir();
  using edge = await startVolumes(dir.path);
  edge.cloud.mode = "refuses";
  await edge.clock.advance(70_000_000);
  expect(edge.log.lines.some((line) => line.includes("Failed to fetch token: not yours"))).toBe(true);
});

const body = (name: string): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name },
  spec: {
    serviceAccountName: "runner",
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "main",
        image: demoImage,
        imagePullPolicy: "IfNotPresent",
        command: ["/bin/busybox", "sleep", "600"],
        volumeMounts: [
          { name: "api", mountPath: "/api" },
          { name: "vault", mountPath: "/vault" },
        ],
      },
    ],
    volumes: [volume("api"), volume("vault", "vault")],
  },
});

test.skipIf(!hasPair())(
  "a container has a token of its own for each audience, that dies with its pod",
  async () => {
    await using pair = await startPair();
    await pair.apply(
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "runner" } },
      body("robot"),
    );
    await pair.kubectl("wait", "--for=condition=Ready", "pod/robot", "--timeout=15s");
    const read = (path: string): string => {
      const [id = ""] = pair.containers("label=io.kubernetes.container.name=main", "status=running");
      return docker("exec", id, "/bin/busybox", "cat", path);
    };
    const [api = "", vault = ""] = ["/api/token", "/vault/token"].map(read);
    const claims = [api, vault].map(
      (token) =>
        JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
          aud: string[];
          exp: number;
          iat: number;
          "kubernetes.io": { pod: { name: string } };
        },
    );
    expect(
      claims.map(({ aud, exp, iat, ["kubernetes.io"]: bound }) => [aud, exp - iat, bound.pod.name]),
    ).toEqual([
      [["https://kubernetes.default.svc.cluster.local"], 86_400, "robot"],
      [["vault"], 86_400, "robot"],
    ]);
    const who = (): Promise<string> =>
      pair
        .kubectl("auth", "whoami", "--token", api, "-o", "jsonpath={.status.userInfo.username}")
        .catch((error: unknown) => String(error));
    expect(await who()).toBe("system:serviceaccount:default:runner");
    await pair.kubectl("delete", "pod", "robot", "--wait=true", "--timeout=20s");
    expect(await who()).toContain("Unauthorized");
  },
  60_000,
);
