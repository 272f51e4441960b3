import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mountNfs, mountPoints } from "#edge/edged/volumes/mounts";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { systemClock } from "#shared/clock";
import type { Pod, Volume } from "#shared/kube";
import { withClaimSource } from "#shared/volumes";

/**
 * Pods with NFS volumes, in a mount namespace of its own where a script stands for mount.nfs: it mounts what is in `exports`, and
 * does not answer for the server "hangs". Prints what was seen as JSON. Arguments: an empty directory, and the script.
 */
const [dir = "", helper = ""] = process.argv.slice(2);
const exported = join(dir, "exports");
const calls = join(dir, "calls");
mkdirSync(join(exported, "srv/sub"), { recursive: true });
writeFileSync(join(exported, "srv/file"), "from the server");
writeFileSync(
  helper,
  `#!/bin/sh
echo "$@" >> ${calls}
case $1 in hangs:*) sleep 1000 ;; esac
exec mount -o bind "${exported}\${1##*:}" "$2"
`,
  { mode: 0o755 },
);

function podOf(name: string, volume: Omit<Volume, "name">): Pod {
  const volumeMounts = [{ name: "data", mountPath: "/data" }];
  return {
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        { name: "a", image: "web:1", volumeMounts },
        { name: "b", image: "web:1", volumeMounts: [{ name: "data", mountPath: "/sub", subPath: "sub" }] },
      ],
      volumes: [{ name: "data", ...volume }],
    },
  };
}

const runtime = new FakeRuntime(systemClock);
runtime.addImage("web:1");
await using edge = new EdgedHarness();
const dataDir = join(dir, "edged");
await edge.start(runtime, systemClock, { dataDir });

const pathOf = (pod: Pod): string => join(dataDir, "pods", pod.metadata.uid ?? "", "volumes/data");
const isRunning = (pod: Pod): boolean => edge.status(pod.metadata.uid ?? "")?.phase === "Running";
const isGone = (pod: Pod): boolean => edge.terminated.some(({ uid }) => uid === pod.metadata.uid);
const callsOf = (server: string): string[] =>
  (existsSync(calls) ? readFileSync(calls, "utf8") : "")
    .split("\n")
    .filter((line) => line.startsWith(`${server}:`))
    .map((line) => line.replaceAll(dir, ""));
async function remove(pod: Pod): Promise<void> {
  await edge.apply({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
  await edge.until(`end of ${pod.metadata.name}`, () => isGone(pod));
}

const hangs = podOf("hangs", { nfs: { server: "hangs", path: "/srv" } });
await edge.apply(hangs);
while (callsOf("hangs").length === 0) await systemClock.sleep(20);

const plain = podOf("plain", { nfs: { server: "plain", path: "/srv" } });
await edge.apply(plain);
await edge.until("a pod beside one that hangs", () => isRunning(plain));
const text = readFileSync(join(pathOf(plain), "file"), "utf8");

const volume = {
  metadata: { name: "pv" },
  spec: {
    nfs: { server: "2001:db8::1", path: "/srv" },
    mountOptions: ["nfsvers=4.1", "soft"],
    capacity: { storage: "1Gi" },
  },
};
const claim = { metadata: { name: "shared", namespace: "default" }, spec: { volumeName: "pv" } };
edge.objects.set("default/persistentvolumeclaim/shared", withClaimSource(claim, volume));
const claimed = podOf("claimed", { persistentVolumeClaim: { claimName: "shared", readOnly: true } });
await edge.apply(claimed);
await edge.until("a pod with a claim", () => isRunning(claimed));
const points = await mountPoints();
const mounted = [plain, claimed].map((pod) => points.includes(pathOf(pod)));

for (const pod of [plain, claimed, hangs]) await remove(pod);
const left = (await mountPoints()).filter((point) => point.startsWith(dataDir));

const clock = new FakeClock();
mkdirSync(join(dir, "late"));
const late = mountNfs(
  { server: "hangs", path: "/late", readOnly: false, options: [] },
  join(dir, "late/data"),
  { clock, signal: new AbortController().signal },
).catch((error: unknown) => String(error));
while (callsOf("hangs").length === 1) await systemClock.sleep(20);
await clock.advance(60_000);

renameSync(helper, `${helper}.away`);
const poor = podOf("poor", { nfs: { server: "plain", path: "/srv" } });
await edge.apply(poor);
await edge.until("an Event", () => edge.reasons().includes("FailedMount"));

console.log(
  JSON.stringify({
    text,
    mounted,
    left,
    kept: readFileSync(join(exported, "srv/file"), "utf8"),
    calls: [...callsOf("plain"), ...callsOf("[2001")],
    late: await late,
    events: edge.events.filter(({ type }) => type === "Warning").map(({ message }) => message),
    errors: edge.errors,
  }),
);
