import { once } from "node:events";
import { WebSocket } from "ws";
import { demoImage, makeDemoImage } from "#internal/scripts/engine.ts";
import { eventually } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { readAccess, sendTo } from "./api.ts";
import { quantile } from "./devices.ts";
import { startPair, type Pair } from "./pair.ts";

interface StreamFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const requests = 50;
const keystrokes = 200;
const logBytes = 32 << 20;
const execBytes = 256 << 20;
const lineBytes = 1024;
const writeLog = `/bin/busybox yes ${"x".repeat(lineBytes - 1)} | /bin/busybox head -n ${logBytes / lineBytes}`;
const pods = "/api/v1/namespaces/default/pods";
const stdinChannel = 0;
const stdoutChannel = 1;
const shortBytes = "hello\n".length;

/**
 * Logs and processes of a pod through the API, the link and the node; the rival is the client of the engine beside it,
 * which passes neither the link nor TLS.
 */
export async function benchStreams(): Promise<StreamFigure[]> {
  using dir = tempDir("bench");
  await using pair = await startPair(dir.path, 1);
  await makeDemoImage(pair.socket);
  await using _pods = { [Symbol.asyncDispose]: () => removePods(pair) };
  const { kubeconfig } = pair.cloud;
  const send = sendTo(kubeconfig);
  await pair.call("POST", pods, podOf("short", "echo hello"));
  await pair.call("POST", pods, podOf("long", writeLog));
  const readLog = async (pod: string): Promise<number> => bytesOf(await send("GET", `${pods}/${pod}/log`));
  await eventually(60_000, async () => expectBytes(await readLog("short"), shortBytes));
  await eventually(120_000, async () => expectBytes(await readLog("long"), logBytes));
  const first = await timesOf(requests, async () => {
    const response = await send("GET", `${pods}/short/log`);
    for await (const chunk of response.body ?? []) return expectBytes(chunk.length, shortBytes);
    throw new Error("the log is empty");
  });

  const container = await containerOf(pair, "long");
  const docker = (...words: readonly string[]): Promise<number> =>
    printed(["docker", "--host", `unix://${pair.socket}`, ...words]);
  const output = ["/bin/busybox", "dd", "if=/dev/zero", "bs=64k", `count=${execBytes / 65_536}`];
  const echo = await measureEcho(kubeconfig);
  return [
    { name: "log of a pod, first byte p50", value: quantile(first, 0.5), unit: "ms" },
    { name: "log of a pod, first byte p99", value: quantile(first, 0.99), unit: "ms" },
    await rateOf("log of 32 MiB", logBytes, () => readLog("long")),
    await rateOf("log of 32 MiB, docker logs", logBytes, () => docker("logs", container)),
    await rateOf("exec, output of 256 MiB", execBytes, () => outputOf(kubeconfig, output)),
    await rateOf("exec, output of 256 MiB, docker exec", execBytes, () =>
      docker("exec", container, ...output),
    ),
    { name: "exec, echo of a key p50", value: quantile(echo, 0.5), unit: "ms" },
    { name: "exec, echo of a key p99", value: quantile(echo, 0.99), unit: "ms" },
  ];
}

/** It stays after it has written. */
function podOf(name: string, script: string): object {
  const command = ["/bin/busybox", "sh", "-c", `${script}; exec /bin/busybox sleep 100000`];
  const container = { name: "main", image: demoImage, imagePullPolicy: "IfNotPresent", command };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { nodeName: "bench", terminationGracePeriodSeconds: 1, containers: [container] },
  };
}

/** Their containers would stay in the engine. */
async function removePods({ call }: Pair): Promise<void> {
  await call("DELETE", pods);
  await eventually(30_000, async () => {
    const { items } = JSON.parse(await call("GET", pods)) as { items: readonly unknown[] };
    if (items.length > 0) throw new Error(`${items.length} pods are left`);
  });
}

async function containerOf({ call }: Pair, pod: string): Promise<string> {
  const { status } = JSON.parse(await call("GET", `${pods}/${pod}`)) as {
    status: { containerStatuses: readonly { containerID: string }[] };
  };
  return status.containerStatuses[0]?.containerID.replace("docker://", "") ?? "";
}

async function bytesOf(response: Response): Promise<number> {
  let bytes = 0;
  for await (const chunk of response.body ?? []) bytes += chunk.length;
  return bytes;
}

function expectBytes(got: number, wanted: number): void {
  if (got !== wanted) throw new Error(`got ${got} bytes instead of ${wanted}`);
}

async function printed(words: readonly string[]): Promise<number> {
  const child = Bun.spawn([...words], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  return bytesOf(new Response(child.stdout));
}

async function timesOf(count: number, work: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  for (let turn = 0; turn < count; turn += 1) {
    const started = performance.now();
    await work();
    times.push(performance.now() - started);
  }
  return times;
}

/** The best of three, in MB/s. */
async function rateOf(name: string, bytes: number, work: () => Promise<number>): Promise<StreamFigure> {
  const times = await timesOf(3, async () => expectBytes(await work(), bytes));
  return { name, value: bytes / 1000 / Math.min(...times), unit: "MB/s" };
}

function openExec(kubeconfig: string, words: readonly string[], options: string): WebSocket {
  const { url, tls, headers } = readAccess(kubeconfig);
  const command = words.map((word) => `&command=${encodeURIComponent(word)}`).join("");
  const path = `${pods}/long/exec?stdout=1${options}${command}`;
  return new WebSocket(`${url.replace("https", "wss")}${path}`, ["v5.channel.k8s.io"], {
    ...tls,
    headers,
    perMessageDeflate: false,
  });
}

async function outputOf(kubeconfig: string, words: readonly string[]): Promise<number> {
  const socket = openExec(kubeconfig, words, "");
  let bytes = 0;
  socket.on("message", (data: Buffer) => {
    if (data[0] === stdoutChannel) bytes += data.length - 1;
  });
  await once(socket, "close");
  return bytes;
}

/** Times in ms from a key sent to a terminal until it is shown. */
async function measureEcho(kubeconfig: string): Promise<number[]> {
  const socket = openExec(kubeconfig, ["/bin/busybox", "cat"], "&stdin=1&tty=1");
  await once(socket, "open");
  const key = async (): Promise<void> => {
    const shown = once(socket, "message");
    socket.send(Buffer.from([stdinChannel, 0x61]));
    await shown;
  };
  await key();
  const times = await timesOf(keystrokes, key);
  socket.terminate();
  return times;
}
