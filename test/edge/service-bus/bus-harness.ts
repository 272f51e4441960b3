import { join } from "node:path";
import { openStore, type Store } from "#edge/store";
import { startMetaManager } from "#edge/meta-manager";
import { startServiceBus, type ServiceBusOptions } from "#edge/service-bus";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import type { KubeObject, Pod, RuleEndpoint } from "#shared/kube";
import { fetchOver, type ByteStream } from "#shared/streams";
import type {
  EdgeCatalog,
  ReceivedObject,
  ServiceCall,
  ServiceReply,
  TargetAnswer,
  TargetCall,
} from "#shared/topics";
import { link } from "#internal/test/shared/streams/linked.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

type Headers = readonly (readonly [string, string])[];

/** A request of the cloud for a server on the node. */
export interface CloudRequest {
  readonly port: number;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Headers;
  readonly body?: ReadableStream<Uint8Array> | null;
  readonly timeoutMs?: number;
}

export interface BusWorld extends AsyncDisposable {
  readonly store: Store;
  readonly log: ReturnType<typeof silentLog>;
  readonly ports: number[];
  /** Calls as the cloud does, over a stream of a real link. */
  request(request: CloudRequest, signal?: AbortSignal): Promise<Response>;
  open(head: Record<string, unknown>): ByteStream;
  /** Cuts the link to the cloud. */
  cut(): void;
  /** Streams that are open at both ends of the link. */
  openStreams(): readonly [cloud: number, node: number];
  /** Calls with a message. */
  call(call: Partial<ServiceCall> & { readonly port: number }): Promise<ServiceReply>;
  started(targetUrl: string, isStarted: boolean): Promise<void>;
  deliver(object: KubeObject, operation?: ReceivedObject["operation"]): Promise<void>;
  changePod(pod: Pod | undefined, name?: string): Promise<void>;
  /** What the cloud answers to programs. */
  target: (call: TargetCall) => Promise<TargetAnswer>;
}

/** metamanager and service bus over a store of their own; the test is the cloud at the other end of a link. */
export async function startBus(config: Partial<ServiceBusOptions> = {}, folder?: string): Promise<BusWorld> {
  await using stack = new AsyncDisposableStack();
  const dir = folder ?? stack.use(tempDir("service-bus")).path;
  const log = silentLog();
  const store = stack.use(openStore(join(dir, "edge.db")));
  const bus = stack.use(new Bus<EdgeCatalog>({ onFailure: (topic) => log.error("failed", { topic }) }));
  const hub = bus.port<
    "pod.changed",
    "service.stream" | "service.deliver" | "object.deliver",
    never,
    "cloud.target"
  >("hub");
  hub.answer("cloud.target", (call) => world.target(call));
  const ends = stack.use(await link());
  const meta = { node: "e1", port: bus.port("metamanager"), store, clock: systemClock, log } as const;
  stack.use(await startMetaManager(meta));
  const ports: number[] = [];
  const options = {
    node: "e1",
    folder: dir,
    port: 0,
    timeoutMs: 5000,
    bodyLimitBytes: 1024 * 1024,
    allowedPorts: [],
    refusedPorts: [],
    ownPorts: () => [],
    ...config,
  };
  stack.use(
    await startServiceBus(options, {
      port: bus.port("servicebus"),
      store,
      clock: systemClock,
      log,
      reportPort: (port) => void ports.push(port),
    }),
  );
  const serving = serveAll(
    () => ends.atNode(),
    (stream) => hub.ask("service.stream", { stream }),
  );
  serving.catch(() => undefined);
  const owned = stack.move();
  const world: BusWorld = {
    store,
    log,
    ports,
    open: (head) => ends.cloud.open({ service: "service-bus", ...head }),
    cut: () => ends.cut(),
    openStreams: () => [ends.cloud.size, ends.node.size],
    request: ({ body = null, method = "GET", path = "/", headers = [], ...head }, signal) =>
      fetchOver(world.open({ method, path, headers, ...head }), body, signal),
    call: async (call) => {
      const whole = { method: "GET", path: "/", headers: [], body: new Uint8Array(), ...call };
      const reply = await hub.ask("service.deliver", { operation: "call", call: whole });
      if (!reply) throw new Error("no reply");
      return reply;
    },
    started: async (targetUrl, isStarted) =>
      void (await hub.ask("service.deliver", { operation: isStarted ? "start" : "stop", targetUrl })),
    deliver: async (object, operation = "create") => {
      const { kind = "", metadata } = object;
      const { name = "", namespace = "default" } = metadata;
      const type = kind.toLowerCase();
      await hub.ask("object.deliver", { type, namespace, name, operation, object, fromController: true });
    },
    changePod: (pod, name = pod?.metadata.name ?? "") =>
      hub.emit("pod.changed", { type: "pod", namespace: "default", name, object: pod }),
    target: async () => ({ ok: true, text: "" }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return world;
}

async function serveAll(next: () => Promise<ByteStream>, serve: (stream: ByteStream) => Promise<unknown>) {
  for (;;) {
    const stream = await next();
    serve(stream).catch((error: unknown) => stream.reset(String(error)));
  }
}

/** A server on the node. */
export function startApp(
  fetch: (request: Request) => Response | Promise<Response>,
): Disposable & { readonly port: number } {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch });
  return { port: server.port ?? 0, [Symbol.dispose]: () => void server.stop(true) };
}

/** A rule that leads requests to this port of the node, and its endpoints. */
export function serviceRule(port: number, name = "api"): KubeObject[] {
  const namespace = "default";
  const apiVersion = "rules.kubeedge.io/v1";
  const meta = (one: string) => ({ name: one, namespace, uid: `uid-${one}`, resourceVersion: "1" });
  const endpoint = (one: string, spec: RuleEndpoint["spec"]): RuleEndpoint => ({
    apiVersion,
    kind: "RuleEndpoint",
    metadata: meta(one),
    ...(spec && { spec }),
  });
  const rule = {
    apiVersion,
    kind: "Rule",
    metadata: meta(name),
    spec: {
      source: `${name}-in`,
      sourceResource: { path: `/${name}` },
      target: `${name}-out`,
      targetResource: { path: "/" },
    },
  };
  return [
    endpoint(`${name}-in`, { ruleEndpointType: "rest", properties: {} }),
    endpoint(`${name}-out`, { ruleEndpointType: "servicebus", properties: { service_port: String(port) } }),
    rule,
  ];
}

/** A rule that leads requests of programs on the node to this URL, and its endpoints. */
export function targetRule(targetUrl: string, node = "e1"): KubeObject[] {
  const [, , base] = serviceRule(1, "out");
  const objects = serviceRule(8080, "out").slice(0, 2);
  const rule = {
    ...base,
    metadata: { name: "out", namespace: "default", uid: "uid-out", resourceVersion: "1" },
    spec: {
      source: "out-out",
      sourceResource: { target_url: targetUrl, node_name: node },
      target: "out-in",
      targetResource: { resource: "http://cloud.example/echo" },
    },
  };
  return [...objects, rule];
}
