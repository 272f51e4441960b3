import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { demoImage, findEngine, makeDemoImage } from "#internal/scripts/engine.ts";
import { startCloud, waitReady } from "#internal/scripts/cluster.ts";
import { eventually, startService } from "#internal/scripts/service.ts";
import { Containerd } from "#internal/test/support/machine/containerd.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Call } from "./api.ts";
import { startPair } from "./pair.ts";
import { memoryOf, spending } from "./process-cost.ts";

interface FootprintFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const root = join(import.meta.dir, "../..");
const settleMs = 20_000;
const windowSeconds = 180;
const pods = 30;
const devices = 1000;

/** A node that joined before, without pods: memory and what it costs to be there, with Docker. */
export async function benchFootprintDocker(): Promise<FootprintFigure[]> {
  await using engine = await findEngine(join(root, ".run/docker"));
  return await idleNode("edgecore idle, Docker", (words) => words, engine.socket);
}

/** The same with containerd, which has no other process of its own without pods. */
export async function benchFootprintContainerd(): Promise<FootprintFigure[]> {
  await using engine = await Containerd.start();
  const figures = await idleNode("edgecore idle, containerd", (text) => toCri(text, engine), engine.socket);
  const ofEngine = memoryOf(engine.pid, "containerd without pods");
  const both = (figures[0]?.value ?? 0) + (ofEngine[0]?.value ?? 0);
  return [...figures, ...ofEngine, { name: "edgecore and containerd, resident", value: both, unit: "MiB" }];
}

function toCri(config: string, { endpoint }: Containerd): string {
  return config.replace(/docker-address: "[^"]*"/, `runtime-endpoint: "${endpoint}"`);
}

async function idleNode(
  name: string,
  edit: (config: string) => string,
  socket: string,
): Promise<FootprintFigure[]> {
  using dir = tempDir("bench");
  await using cloud = await startCloud({ root, folder: dir.path });
  const words = await cloud.edgeWords("bench", socket);
  const config = words[words.indexOf("--config") + 1] ?? "";
  await Bun.write(config, edit(readFileSync(config, "utf8")));
  {
    await using joining = startService("edgecore", words, join(dir.path, "joining.log"));
    await Promise.race([joining.failed, waitReady(cloud, "bench", 30_000)]);
  }
  // Pages that are in memory are mapped with their neighbors: only with all of them figures can be compared.
  await Bun.file(join(root, "dist/edgecore")).bytes();
  await using edge = startService("edgecore", words, join(dir.path, "edgecore.log"));
  await Bun.sleep(settleMs);
  const memory = memoryOf(edge.pid, name);
  return [...memory, ...(await spending(edge.pid, name, windowSeconds / 3))];
}

/** A node with 30 pods and 1,000 devices that nothing happens on. */
export async function benchFootprintPods(): Promise<FootprintFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, devices);
  await makeDemoImage(pair.socket);
  await runPods(pair.call);
  await pair.cloud.kubectl("wait", "--for=condition=Available", "deployment/quiet", "--timeout=120s");
  await Bun.sleep(settleMs * 3);
  const name = `edgecore, ${pods} pods and ${devices} devices`;
  const dockerd = findDockerd();
  const [spent, ofEngine] = await Promise.all([
    spending(pair.edge.pid, name, windowSeconds),
    dockerd === undefined ? [] : spending(dockerd, `dockerd, ${pods} pods`, windowSeconds),
  ]);
  const figures = [...memoryOf(pair.edge.pid, name), ...spent, ...ofEngine];
  await pair.call("DELETE", "/apis/apps/v1/namespaces/default/deployments/quiet");
  await eventually(120_000, async () => {
    const { items } = JSON.parse(await pair.call("GET", "/api/v1/namespaces/default/pods")) as {
      items: readonly unknown[];
    };
    if (items.length > 0) throw new Error(`${items.length} pods are left`);
  });
  return figures;
}

async function runPods(call: Call): Promise<void> {
  const labels = { app: "quiet" };
  const metadata = { name: "quiet", namespace: "default" };
  await call("POST", "/api/v1/namespaces/default/configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata,
    data: { "app.conf": "level=info\n" },
  });
  await call("POST", "/apis/apps/v1/namespaces/default/deployments", {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata,
    spec: {
      replicas: pods,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 0,
          containers: [
            {
              name: "main",
              image: demoImage,
              imagePullPolicy: "IfNotPresent",
              command: ["/bin/busybox", "sleep", "86400"],
              volumeMounts: [
                { name: "config", mountPath: "/config" },
                { name: "data", mountPath: "/data" },
              ],
            },
          ],
          volumes: [
            { name: "config", configMap: { name: "quiet" } },
            { name: "data", emptyDir: {} },
          ],
        },
      },
    },
  });
}

/** Undefined when the engine is on another machine, or several are here. */
function findDockerd(): number | undefined {
  const found = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && readName(name) === "dockerd");
  return found.length === 1 ? Number(found[0]) : undefined;
}

function readName(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    // It has ended.
    return "";
  }
}
