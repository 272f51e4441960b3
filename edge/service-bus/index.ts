import type { Store } from "#edge/store";
import type { Clock } from "#shared/clock";
import type { ServiceBusConfig } from "#shared/config";
import { UnavailableError } from "#shared/errors";
import type { Pod } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { RuleMeaning } from "#shared/rules";
import { serveOver, type ByteStream } from "#shared/streams";
import type { ObjectChange } from "#shared/topics";
import { AllowedPorts } from "./allowed-ports.ts";
import { ServiceFailure } from "./failure.ts";
import { LocalServices } from "./local-services.ts";
import type { ServiceBusPort } from "./port.ts";
import { TargetServer } from "./target-server.ts";
import { tunnel } from "./tunnel.ts";

export type { ServiceBusPort } from "./port.ts";

export interface ServiceBusOptions extends ServiceBusConfig {
  readonly node: string;
  /** Where it may keep files. */
  readonly folder: string;
  /** Ports where edgecore itself, or what it runs on, listens. */
  readonly ownPorts: () => Iterable<number>;
}

export interface ServiceBusParts {
  readonly port: ServiceBusPort;
  readonly store: Pick<Store, "metas">;
  readonly clock: Clock;
  readonly log: Logger;
  /** It listens for programs, or on another port than before. */
  readonly reportPort: (port: number) => void;
}

/**
 * HTTP between programs on this node and the cloud: the cloud calls servers on 127.0.0.1, over streams and in messages of
 * KubeEdge, and programs call targets that rules name. `metamanager` has to be started before, since it answers `rule.list`.
 */
export async function startServiceBus(options: ServiceBusOptions, parts: ServiceBusParts): Promise<Running> {
  const { node, allowedPorts: allowed, refusedPorts: refused, ownPorts } = options;
  const { port, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const targets = stack.use(new TargetServer(options, parts));
  const own = (): Iterable<number> => [...ownPorts(), targets.port];
  const ports = new AllowedPorts({ node, allowed, refused, own });
  const services = new LocalServices({ ...options, ports, clock });
  const setRules = (rules: readonly RuleMeaning[]): void => {
    ports.setRules(rules);
    targets.setRules(rules);
  };
  stack.use(port.on("rules.changed", ({ rules }) => setRules(rules)));
  stack.use(port.on("pod.changed", (change) => ports.setPod(keyOf(change), podOf(change))));
  setRules(await port.ask("rule.list", {}));
  for (const pod of await port.ask("pod.list", {})) ports.setPod(keyOf(pod.metadata), pod);
  stack.use(
    port.answer("service.stream", async ({ stream }) => {
      void serve(stream, services, clock);
      return undefined;
    }),
  );
  stack.use(
    port.answer("service.deliver", async (delivery) => {
      if (delivery.operation === "call") return services.call(delivery.call);
      targets.setStarted(delivery.targetUrl, delivery.operation === "start");
      return undefined;
    }),
  );
  log.info("service bus started");
  return running("servicebus", stack.move());
}

/** In the place of the service bus when it is disabled. */
export function refuseServices(port: Pick<ServiceBusPort, "answer">): AsyncDisposable {
  const text = "the service bus of this node is disabled";
  const stack = new AsyncDisposableStack();
  stack.use(port.answer("service.stream", () => Promise.reject(new UnavailableError("disabled", text))));
  stack.use(port.answer("service.deliver", async () => new ServiceFailure("disabled", text).toReply()));
  return stack;
}

/** One stream is one request, or one WebSocket. */
function serve(stream: ByteStream, services: LocalServices, clock: Clock): Promise<void> {
  const { port, path, timeoutMs, upgrade } = stream.head;
  if (upgrade === "websocket") return tunnel(stream, services, clock);
  return serveOver(stream, "http://127.0.0.1", ({ method, headers, body, signal }) =>
    services.fetch({
      port,
      method,
      path: typeof path === "string" ? path : "",
      headers: [...headers],
      body,
      signal,
      timeoutMs,
    }),
  );
}

function keyOf({
  namespace = "",
  name = "",
}: {
  readonly namespace?: string;
  readonly name?: string;
}): string {
  return `${namespace}/${name}`;
}

function podOf({ object }: ObjectChange): Pod | undefined {
  // A row of type pod, which the API validated.
  return object as Pod | undefined;
}
