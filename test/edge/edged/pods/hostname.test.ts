import { expect, test } from "bun:test";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Pod, PodSpec } from "#shared/kube";

test.each<[string, Partial<PodSpec>, string]>([
  [
    "too long with its domain",
    { hostname: "h".repeat(40), subdomain: "s", setHostnameAsFQDN: true },
    `Failed to construct FQDN from pod hostname and cluster domain, FQDN ${"h".repeat(40)}.s.default.svc.cluster.local is too long (64 characters is the max, 68 characters requested)`,
  ],
  ["no label", { hostname: "A_b" }, 'pod Hostname "A_b" is not a valid DNS label'],
  ["below no label", { subdomain: "a.b" }, 'pod Subdomain "a.b" is not a valid DNS label'],
])("a pod whose host name is %s is refused, as by kubelet", async (_what, spec, expected) => {
  using dir = tempDir();
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  await using edge = new EdgedHarness();
  await edge.start(runtime, clock, { dataDir: dir.path });
  const pod: Pod = {
    metadata: { name: "web", namespace: "default", uid: "uid-web" },
    spec: { containers: [{ name: "c", image: "web:1" }], ...spec },
  };
  await edge.apply(pod);
  await clock.advance(0);
  expect(edge.events.map(({ reason, message }) => [reason, message])).toEqual([
    ["FailedCreatePodSandBox", `Failed to create pod sandbox: ${expected}`],
  ]);
  expect([edge.status("uid-web")?.phase, runtime.specs()]).toEqual(["Pending", []]);
});
