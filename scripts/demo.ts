import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "./cluster.ts";
import { compile, hostTarget, programs } from "./release/compile.ts";
import { findEngine, makeDemoImage } from "./engine.ts";
import { eventually, run, startService } from "./service.ts";

/** What scripts/demo.sh runs once Bun is there; see its heading. */
const root = join(import.meta.dir, "..");
const folder = join(root, ".run/demo");
const samples = join(root, "conf/samples");
const page = "http://127.0.0.1:18080/";
const patch = '[{"op":"replace","path":"/spec/properties/2/desired/value","value":"23.5"}]';
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
  step(`deployment "web" is Available; ${page} answers: ${text.trim()}`);
}

/** The same page through the cloud, by the rule of conf/samples/rules.yaml. */
async function showRule({ kubectl }: Cluster): Promise<void> {
  const data = join(folder, "cloud");
  await kubectl("wait", "rule/web", "--for=jsonpath={.status.state}=Active", "--timeout=10s");
  const { router } = JSON.parse(readFileSync(join(data, "ports.json"), "utf8")) as { router: number };
  const url = `https://127.0.0.1:${router}/edge-1/default/web`;
  const headers = {
    authorization: `Bearer ${readFileSync(join(data, "embedded/admin-token"), "utf8").trim()}`,
  };
  const tls = { ca: readFileSync(join(data, "ca/rootCA.crt"), "utf8") };
  const text = await eventually(10_000, async () => {
    const answer = await fetch(url, { headers, tls });
    if (!answer.ok) throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`);
    return answer.text();
  });
  step(`the rule "web" serves it in the cloud, with a token of the API: ${url} answers: ${text.trim()}`);
}

/** The node's own API, as its operator uses it, with a link to the cloud and without. */
async function showNodeApi(): Promise<void> {
  const kubeconfig = join(folder, "edge-1/kubeconfig");
  const pods = await run(["kubectl", "--kubeconfig", kubeconfig, "get", "pods", "-o", "name"]);
  step(`the node itself answers "kubectl --kubeconfig ${kubeconfig} get pods": ${pods.trim()}`);
}

/** A simulated thermostat on the broker of the node: what it reports, and a set-point on its way to it and back. */
async function showThermostat(cluster: Cluster): Promise<void> {
  const { mqtt } = JSON.parse(readFileSync(join(folder, "edge-1/ports.json"), "utf8")) as { mqtt: number };
  const simulator = [join(root, "dist/edgecore"), "simulate", "--devices", "1"];
  const broker = `mqtt://127.0.0.1:${mqtt}`;
  step(`a simulated thermostat "thermo-1" connects to ${broker}`);
  await using thermostat = startService(
    "simulator",
    [...simulator, "--broker", broker],
    join(folder, "simulator.log"),
  );
  const shown = followSetPoint(cluster).then(() => (once ? undefined : explain(cluster)));
  await Promise.race([shown, stopped.promise, thermostat.failed]);
  if (!once) await Promise.race([stopped.promise, thermostat.failed]);
}

async function followSetPoint({ kubectl }: Cluster): Promise<void> {
  const reported = async (property: string): Promise<string> => {
    const path = `jsonpath={.status.twins[?(@.propertyName=="${property}")].reported.value}`;
    const value = await kubectl("get", "device", "thermo-1", "-o", path);
    if (value === "") throw new Error(`thermo-1 has not reported its ${property}`);
    return value;
  };
  const temperature = await eventually(15_000, () => reported("temperature"));
  step(
    `its Device reports ${temperature} C, set-point ${await eventually(5000, () => reported("target"))} C`,
  );
  step(`kubectl patch device thermo-1 --type=json -p '${patch}'`);
  await kubectl("patch", "device", "thermo-1", "--type=json", "-p", patch);
  const since = performance.now();
  await eventually(15_000, async () => {
    const value = await reported("target");
    if (Number(value) !== 23.5) throw new Error(`thermo-1 still reports the set-point ${value}`);
  });
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  step(`thermo-1 took it: its Device reports the set-point 23.5 C after ${seconds} s`);
  console.log(await kubectl("get", "devices"));
}

/** Pods outlive edgecore on purpose; a demo leaves nothing behind. */
async function removeSamples({ kubectl }: Cluster): Promise<void> {
  step("removing the samples");
  for (const sample of ["rules.yaml", "web.yaml"])
    await kubectl("delete", "-f", join(samples, sample), "--ignore-not-found", "--timeout=60s");
  await kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s").catch(() => "");
}

function explain(cluster: Cluster): void {
  const kubectl = `kubectl --kubeconfig ${cluster.kubeconfig}`;
  console.log(`
Try, in another terminal:
  ${kubectl} get nodes,pods -o wide
  ${kubectl} scale deployment web --replicas=0
  ${kubectl} describe pod -l app=web
  ${kubectl} get devices
  ${kubectl} patch device thermo-1 --type=json \\
    -p '[{"op":"replace","path":"/spec/properties/2/desired/value","value":"19"}]'
  ${kubectl} get device thermo-1 -o yaml
  kubectl --kubeconfig ${join(folder, "edge-1/kubeconfig")} get pods,devices   # the API on the node
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
    await Promise.race([showRule(cluster), stopped.promise, cluster.cloud.failed, cluster.edge.failed]);
    console.log(await cluster.kubectl("get", "nodes,pods,devices", "-o", "wide"));
    await Promise.race([showNodeApi(), stopped.promise]);
    await Promise.race([showThermostat(cluster), stopped.promise, cluster.cloud.failed, cluster.edge.failed]);
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
