import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { demoImage, findEngine, makeDemoImage } from "#internal/scripts/engine.ts";
import { startCloud, waitReady, type Cloud } from "#internal/scripts/cluster.ts";
import { eventually, startService, type ServiceProcess } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { portsOf } from "./pair.ts";

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const root = join(import.meta.dir, "../..");

/** Both executables on this machine: start to Ready, idle memory, and a Deployment beside the bare engine. */
export async function benchCluster(): Promise<Figure[]> {
  using dir = tempDir("bench");
  await using engine = await findEngine(join(root, ".run/docker"));
  await makeDemoImage(engine.socket);
  const startedCloud = performance.now();
  await using cloud = await startCloud({ root, folder: dir.path });
  const cloudMs = performance.now() - startedCloud;
  const words = await cloud.edgeWords("bench", engine.socket);
  const startedEdge = performance.now();
  const log = join(dir.path, "edgecore.log");
  await using edge = startService("edgecore", words, log);
  await eventually(30_000, () => cloud.kubectl("get", "node", "bench"));
  const registeredMs = performance.now() - startedEdge;
  await waitReady(cloud, "bench", 30_000);
  const readyMs = performance.now() - startedEdge;
  await Bun.sleep(10_000);
  const idle = [...memoryOf(cloud.cloud, "cloudcore idle"), ...memoryOf(edge, "edgecore idle")];
  const rounds = await rollOut(cloud, engine.socket);
  const after = [
    ...memoryOf(cloud.cloud, "cloudcore after rounds"),
    ...memoryOf(edge, "edgecore after rounds"),
  ];
  await edge[Symbol.asyncDispose]();
  await using again = startService("edgecore", words, log);
  await Bun.sleep(10_000);
  const enrolled = memoryOf(again, "edgecore idle, already enrolled");
  const device = await connectAsync(`mqtt://127.0.0.1:${portsOf(dir.path).mqtt}`, { protocolVersion: 4 });
  await device.publishAsync("room/temperature", "21", { qos: 1 });
  await Bun.sleep(5000);
  const met = memoryOf(again, "edgecore with one MQTT client");
  await device.endAsync();
  return [
    { name: "start of cloudcore to API answering kubectl", value: cloudMs, unit: "ms" },
    { name: "start of edgecore to node registered (enrollment included)", value: registeredMs, unit: "ms" },
    { name: "start of edgecore to node Ready (enrollment included)", value: readyMs, unit: "ms" },
    ...idle,
    ...rounds,
    ...after,
    ...enrolled,
    ...met,
  ];
}

function memoryOf(service: ServiceProcess, name: string): Figure[] {
  const status = readFileSync(`/proc/${service.pid}/status`, "utf8");
  const read = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0) / 1024;
  return [
    { name: `${name}, resident`, value: read("VmRSS"), unit: "MiB" },
    { name: `${name}, anonymous`, value: read("RssAnon"), unit: "MiB" },
  ];
}

/** Replicas 0 to 1 until Available, and the same two containers through the engine's API, in turns. */
async function rollOut(cloud: Cloud, socket: string): Promise<Figure[]> {
  await cloud.kubectl("apply", "-f", join(root, "conf/samples"));
  await cloud.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s");
  const ours: number[] = [];
  const floor: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    await cloud.kubectl("scale", "deployment/web", "--replicas=0");
    await cloud.kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s");
    floor.push(await engineFloor(socket));
    const started = performance.now();
    await cloud.kubectl("scale", "deployment/web", "--replicas=1");
    await cloud.kubectl(
      "wait",
      "--for=jsonpath={.status.availableReplicas}=1",
      "deployment/web",
      "--timeout=60s",
    );
    ours.push(performance.now() - started);
  }
  await cloud.kubectl("delete", "deployment/web");
  await cloud.kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=60s").catch(() => "");
  return [
    { name: "Deployment 0 to 1 until Available (kubectl included)", value: median(ours), unit: "ms" },
    { name: "the same containers through the engine's API", value: median(floor), unit: "ms" },
  ];
}

/** Creates and starts a holder of the network with the hostPort and a container in it; removes both. */
async function engineFloor(socket: string): Promise<number> {
  const call = async (method: string, path: string, body?: unknown): Promise<{ Id?: string }> => {
    const response = await fetch(`http://localhost${path}`, {
      method,
      unix: socket,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${text}`);
    return (text === "" ? {} : JSON.parse(text)) as { Id?: string };
  };
  const started = performance.now();
  const holder = await call("POST", "/containers/create", {
    Image: demoImage,
    Cmd: ["/bin/busybox", "sleep", "60"],
    ExposedPorts: { "8080/tcp": {} },
    HostConfig: { PortBindings: { "8080/tcp": [{ HostPort: "18081" }] } },
  });
  await call("POST", `/containers/${holder.Id}/start`);
  const web = await call("POST", "/containers/create", {
    Image: demoImage,
    Cmd: ["/bin/busybox", "httpd", "-f", "-p", "8080"],
    HostConfig: { NetworkMode: `container:${holder.Id}` },
  });
  await call("POST", `/containers/${web.Id}/start`);
  const spent = performance.now() - started;
  await call("DELETE", `/containers/${web.Id}?force=1`);
  await call("DELETE", `/containers/${holder.Id}?force=1`);
  return spent;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
