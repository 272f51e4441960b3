import { join } from "node:path";
import { startEdgeHub, type EdgeHubStartConfig } from "#edge/edge-hub";
import { openStore, type Store } from "#edge/store";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import type {
  ApiAnswer,
  Delivery,
  DesiredRequest,
  EdgeCatalog,
  ObjectRequest,
  ReceivedObject,
  ServiceDelivery,
  ServiceReply,
  TargetAnswer,
  TwinDelivery,
  UserDelivery,
} from "#shared/topics";
import type { ByteStream, StreamHead } from "#shared/streams";
import { newMessage, type WireMessage } from "#shared/wire";
import { silentLog } from "#internal/test/support/silent-log.ts";

export const stamp = { id: () => crypto.randomUUID(), nowMs: () => 1 };

/** Configuration of a node whose cloud is on `port`, or behind a proxy there with enrollment on `httpsPort`. */
export function configOf(
  dataDir: string,
  port: number,
  token: string | undefined,
  httpsPort = port,
): EdgeHubStartConfig {
  return {
    dataDir,
    nodeName: "edge-1",
    edgeHub: {
      url: `wss://127.0.0.1:${port}/project/edge-1/events`,
      tunnelUrl: undefined,
      httpsUrl: `https://127.0.0.1:${httpsPort}`,
      projectId: "project",
      token,
      tokenFile: undefined,
      rotateCertificates: true,
      caFile: undefined,
      certFile: undefined,
      keyFile: undefined,
      handshakeTimeoutMs: 5000,
      writeDeadlineMs: 5000,
      readDeadlineMs: 5000,
      heartbeatMs: 15_000,
      outboxLimitBytes: 1e6,
    },
  };
}

export interface HubWorld extends AsyncDisposable {
  readonly log: ReturnType<typeof silentLog>;
  readonly store: Store;
  readonly delivered: (ReceivedObject | TwinDelivery)[];
  /** Takes the streams of the cloud for the service bus. */
  serve: (stream: ByteStream) => void;
  /** Takes commands of rules. */
  publish: (command: UserDelivery) => void;
  /** Takes calls of servers on this node. */
  call: (delivery: ServiceDelivery) => Promise<ServiceReply | undefined>;
  readonly callTarget: (targetUrl: string, payload: string, timeoutMs?: number) => Promise<TargetAnswer>;
  readonly openStream: (head: StreamHead) => Promise<ByteStream>;
  readonly ask: (body: ObjectRequest) => Promise<KubeObject | undefined>;
  readonly desire: (body: DesiredRequest) => Promise<ApiAnswer>;
  /** Puts reports into the outbox. @returns their ids */
  readonly put: (lane: string, count: number) => string[];
}

/** EdgeHub over a real store; `take` is what every module answers to a delivery. */
export async function startEdge(
  config: EdgeHubStartConfig,
  take: () => Promise<Delivery> = () => Promise.resolve({ ack: true }),
): Promise<HubWorld> {
  await using stack = new AsyncDisposableStack();
  const log = silentLog();
  const store = stack.use(openStore(join(config.dataDir, "edge.db")));
  const bus = stack.use(new Bus<EdgeCatalog>({ onFailure: () => undefined }));
  const modules = bus.port<
    "outbox.added",
    "cloud.object" | "cloud.stream" | "cloud.target" | "cloud.desired",
    never,
    "object.deliver" | "twin.deliver" | "service.stream" | "service.deliver" | "user.deliver"
  >("test");
  modules.answer("service.stream", async ({ stream }) => {
    world.serve(stream);
    return undefined;
  });
  modules.answer("user.deliver", async (command) => {
    world.publish(command);
    return undefined;
  });
  modules.answer("service.deliver", (delivery) => world.call(delivery));
  const delivered: (ReceivedObject | TwinDelivery)[] = [];
  for (const topic of ["object.deliver", "twin.deliver"] as const)
    modules.answer(topic, (delivery) => {
      delivered.push(delivery);
      return take();
    });
  stack.use(await startEdgeHub(config, { port: bus.port("edgehub"), store, clock: systemClock, log }));
  const owned = stack.move();
  const world: HubWorld = {
    log,
    store,
    delivered,
    serve: (stream) => stream.reset("nothing is served here"),
    publish: () => undefined,
    call: async () => undefined,
    callTarget: (targetUrl, payload, timeoutMs = 5000) =>
      modules.ask("cloud.target", { targetUrl, payload: Buffer.from(payload), timeoutMs }),
    openStream: (head) => modules.ask("cloud.stream", { head }),
    ask: (body) => modules.ask("cloud.object", body),
    desire: (body) => modules.ask("cloud.desired", body),
    put: (lane, count) => {
      const messages = Array.from({ length: count }, (_, index) =>
        newMessage(stamp, {
          source: "twin",
          group: "resource",
          operation: "update",
          resource: `device/d${index}/twin/edge_updated`,
          content: { index },
        }),
      );
      store.transaction(() => {
        for (const message of messages) store.outbox.put(lane, undefined, JSON.stringify(message));
      });
      void modules.emit("outbox.added", {});
      return messages.map((message) => message.header.msg_id);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
  return world;
}

/** Looks each few milliseconds. @throws when the condition does not hold within 20 s */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not seen: ${what}`);
    await Bun.sleep(5);
  }
}

export const isKeepalive = ({ route }: WireMessage): boolean => route.operation === "keepalive";
