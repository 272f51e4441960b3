import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Objects } from "#edge/edged/environment";
import type { PodTokens } from "#edge/edged/environment/tokens";
import { PodVolumes } from "#edge/edged/volumes";
import type { Pod } from "#shared/kube";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const pod = {
  metadata: { name: "web", namespace: "default", uid: "u1" },
  spec: {
    containers: [],
    volumes: [
      { name: "page", configMap: { name: "page" } },
      { name: "api", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } },
    ],
  },
} as unknown as Pod;
const facts = { nodeName: "n", hostIp: "", podIps: [], allocatable: {} };

/** Volumes of a ConfigMap and a token, whose requests for tokens wait for `answer`. */
function openVolumes(podDir: string): {
  readonly volumes: PodVolumes;
  readonly requests: ((tokens: PodTokens) => void)[];
  readonly page: { text: string };
  readonly read: () => string;
} {
  const page = { text: "old" };
  const requests: ((tokens: PodTokens) => void)[] = [];
  const volumes = new PodVolumes({
    clock: new FakeClock(),
    log: silentLog(),
    podDir,
    objects: async (): Promise<Objects> =>
      new Map([["configmap/page", { metadata: {}, data: { "index.html": page.text } }]]),
    tokens: async () => {
      const { promise, resolve } = Promise.withResolvers<PodTokens>();
      requests.push(resolve);
      return promise;
    },
    onStale: () => {},
    signal: new AbortController().signal,
  });
  return {
    volumes,
    requests,
    page,
    read: () => readFileSync(join(podDir, "volumes/page/index.html"), "utf8"),
  };
}

const granted: PodTokens = { tokens: new Map([["api/token", "jwt"]]), renewMs: 1_000_000 };
const unreachable: PodTokens = { tokens: new Map(), renewMs: 60_000 };

test("a ConfigMap that changes while a token is requested is written by the next refresh", async () => {
  using dir = tempDir();
  const { volumes, requests, page, read } = openVolumes(dir.path);
  using _ = volumes;
  const first = volumes.ensure(pod, facts);
  await Promise.resolve();
  await Promise.resolve();
  expect(requests).toHaveLength(1);
  page.text = "new";
  volumes.stale();
  requests[0]?.(unreachable);
  await first;
  expect(read()).toBe("old");
  const second = volumes.refresh(pod, facts);
  await Promise.resolve();
  await Promise.resolve();
  requests[1]?.(granted);
  await second;
  expect(read()).toBe("new");
});

test("a token is requested again when it is missing, and not for each change of a ConfigMap", async () => {
  using dir = tempDir();
  const { volumes, requests, page, read } = openVolumes(dir.path);
  using _ = volumes;
  for (const answer of [unreachable, granted]) {
    volumes.stale();
    const refreshed = volumes.refresh(pod, facts);
    await Promise.resolve();
    await Promise.resolve();
    requests.at(-1)?.(answer);
    await refreshed;
  }
  expect(requests).toHaveLength(2);
  page.text = "new";
  volumes.stale();
  await volumes.refresh(pod, facts);
  expect(read()).toBe("new");
  expect(requests).toHaveLength(2);
});
