import type { Container, Probe } from "#shared/kube";
import type { ContainerRuntime } from "#edge/runtime";
import { grpcHealth } from "./grpc-health.ts";

export interface ProbeTarget {
  readonly id: string;
  readonly container: Container;
  /** Where the pod is reached from the host. */
  readonly ip: string;
  readonly startedAtMs: number;
  /** Was ready before edgecore restarted: stays so until a probe fails. */
  readonly wasReady: boolean;
}

/** kubelet: maxReadLength of exec probes. */
const mostOutputBytes = 10_240;

interface ProbeTools {
  readonly runtime: ContainerRuntime;
  readonly signal: AbortSignal;
}

/** Tries a probe once. @returns the failure; undefined when it passed. @throws what kept it from being tried */
export async function runProbe(
  target: ProbeTarget,
  probe: Probe,
  tools: ProbeTools,
): Promise<string | undefined> {
  const { runtime, signal } = tools;
  if (probe.exec) {
    const result = await runtime.runCommand(target.id, probe.exec.command ?? [], {
      signal,
      maxOutputBytes: mostOutputBytes,
    });
    return result.exitCode === 0 ? undefined : result.output.trim() || `exit code ${result.exitCode}`;
  }
  if (probe.httpGet) return httpGet(target, probe.httpGet, signal);
  if (probe.tcpSocket) {
    const { host, port } = probe.tcpSocket;
    return tcpConnect(host || target.ip, portOf(target.container, port));
  }
  if (probe.grpc) {
    const { port, service = "" } = probe.grpc;
    return grpcHealth({ host: target.ip, port, service }, signal);
  }
  return "missing probe handler";
}

/** Passes with status 200 to 399, as in kubelet. Also used for hooks. @returns the failure */
export async function httpGet(
  target: Pick<ProbeTarget, "container" | "ip">,
  get: NonNullable<Probe["httpGet"]>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const scheme = (get.scheme ?? "HTTP").toLowerCase();
  const host = get.host || target.ip;
  const path = get.path?.startsWith("/") ? get.path : `/${get.path ?? ""}`;
  const url = `${scheme}://${host.includes(":") ? `[${host}]` : host}:${portOf(target.container, get.port)}${path}`;
  const headers = new Headers({ "User-Agent": "kube-probe/1.26", Accept: "*/*" });
  for (const { name, value } of get.httpHeaders ?? []) headers.set(name, value);
  // As kubelet: certificates of pods are not verified.
  const response = await fetch(url, {
    headers,
    signal,
    redirect: "manual",
    tls: { rejectUnauthorized: false },
    keepalive: false,
  });
  await response.body?.cancel();
  const { status } = response;
  return status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`;
}

async function tcpConnect(hostname: string, port: number): Promise<string | undefined> {
  const socket = await Bun.connect({ hostname, port, socket: { data: () => undefined } });
  socket.end();
  return undefined;
}

function portOf(container: Container, port: number | string): number {
  if (typeof port === "number") return port;
  const named = container.ports?.find((one) => one.name === port)?.containerPort;
  return named ?? Number(port);
}
