import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startCloud } from "#internal/scripts/cluster.ts";
import { connectTo, inFlight } from "#internal/test/bench/api.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const root = join(import.meta.dir, "../../..");

/** The embedded API over TLS: writes one at a time and 32 in flight, and a list of 10,000 pods. */
export async function benchKubeApi(): Promise<{ name: string; value: number; unit: string }[]> {
  using dir = tempDir("bench");
  await using cloud = await startCloud({ root, folder: dir.path });
  const call = connectTo(cloud.kubeconfig);
  const one = await inFlight(500, 1, (at) =>
    call("POST", "/api/v1/namespaces/default/configmaps", configMap(`a${at}`)),
  );
  const many = await inFlight(5000, 32, (at) =>
    call("POST", "/api/v1/namespaces/default/configmaps", configMap(`b${at}`)),
  );
  await inFlight(10_000, 32, (at) => call("POST", "/api/v1/namespaces/default/pods", pod(`p${at}`)));
  const lists: number[] = [];
  let bytes = 0;
  for (let round = 0; round < 5; round += 1) {
    const started = performance.now();
    bytes = (await call("GET", "/api/v1/namespaces/default/pods")).length;
    lists.push(performance.now() - started);
  }
  const status = readFileSync(`/proc/${cloud.cloud.pid}/status`, "utf8");
  return [
    { name: "API writes, one at a time", value: one, unit: "/s" },
    { name: "API writes, 32 in flight", value: many, unit: "/s" },
    { name: "list of 10,000 pods", value: lists.sort((a, b) => a - b)[2] ?? 0, unit: "ms" },
    { name: "bytes of that list", value: bytes / 1e6, unit: "MB" },
    {
      name: "cloudcore resident with 10,000 pods",
      value: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
      unit: "MiB",
    },
  ];
}

function configMap(name: string): unknown {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data: { text: "x".repeat(500) } };
}

/** A pod no scheduler of ours looks at. */
function pod(name: string): unknown {
  const containers = [{ name: "c", image: "busybox:1", env: [{ name: "A", value: "b" }] }];
  return { apiVersion: "v1", kind: "Pod", metadata: { name }, spec: { schedulerName: "nobody", containers } };
}
