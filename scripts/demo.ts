import { rmSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "./cluster.ts";
import { compile, hostTarget, programs } from "./compile.ts";
import { findEngine, makeDemoImage } from "./engine.ts";
import { eventually, run } from "./service.ts";

/** What scripts/demo.sh runs once Bun is there; see its heading. */
const root = join(import.meta.dir, "..");
const folder = join(root, ".run/demo");
const samples = join(root, "conf/samples");
const page = "http://127.0.0.1:18080/";
const once = process.argv.includes("--once");

const stopped = Promise.withResolvers<void>();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopped.resolve());

function step(text: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)}  ${text}`);
}

async function build(): Promise<void> {
  step("building dist/cloudcore and dist/edgecore");
  for (const program of programs)
    await compile({ root, program, target: hostTarget(), folder: join(root, "dist") });
}

async function showPage({ kubectl }: Cluster): Promise<void> {
  step("kubectl apply -f conf/samples");
  await kubectl("apply", "-f", samples);
  await kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=90s");
  const text = await eventually(10_000, async () => (await fetch(page)).text());
  step(`deployment "web" is Available; ${page} says: ${text.trim()}`);
}

/** Pods outlive edgecore on purpose; a demo leaves nothing behind. */
async function removeSamples({ kubectl }: Cluster): Promise<void> {
  step("removing the samples");
  await kubectl("delete", "-f", join(samples, "web.yaml"), "--ignore-not-found", "--timeout=60s");
  await kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s").catch(() => "");
}

function explain(cluster: Cluster): void {
  const kubectl = `kubectl --kubeconfig ${cluster.kubeconfig}`;
  console.log(`
Try, in another terminal:
  ${kubectl} get nodes,pods -o wide
  ${kubectl} scale deployment web --replicas=0
  ${kubectl} describe pod -l app=web
  curl ${page}
Logs: ${cluster.cloud.log} and ${cluster.edge.log}
Ctrl-C stops everything that was started here.`);
}

async function main(): Promise<void> {
  await using engine = await findEngine(join(root, ".run/docker"));
  step(
    engine.own
      ? `started a container engine at ${engine.socket}`
      : `using the container engine at ${engine.socket}`,
  );
  await makeDemoImage(engine.socket);
  await build();
  rmSync(folder, { recursive: true, force: true });
  step("starting cloudcore and edgecore");
  await using cluster = await startCluster({ root, folder, socket: engine.socket, node: "edge-1" });
  step('node "edge-1" is Ready');
  try {
    await Promise.race([showPage(cluster), stopped.promise, cluster.cloud.failed, cluster.edge.failed]);
    console.log(
      await run(["kubectl", "--kubeconfig", cluster.kubeconfig, "get", "nodes,pods", "-o", "wide"]),
    );
    if (!once) {
      explain(cluster);
      await Promise.race([stopped.promise, cluster.cloud.failed, cluster.edge.failed]);
    }
  } finally {
    await removeSamples(cluster);
    step("stopping");
  }
}

try {
  await main();
  step("done");
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
