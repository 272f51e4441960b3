import { randomUUID } from "node:crypto";
import type { Store } from "#edge/store";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import {
  databaseHeader,
  decode,
  encode,
  groups,
  newMessage,
  operations,
  sources,
  type Delivery,
  type EdgeCatalog,
  type Stamp,
  type WireMessage,
} from "#shared/message";
import { Dispatch, type Receiver } from "./dispatch.ts";
import { Identity, type IdentityConfig } from "./identity.ts";
import { Link } from "./link.ts";
import { OutboxShares } from "./outbox-shares.ts";
import { Requests } from "./requests.ts";

/** The parts of EdgeConfig edgehub needs; the whole fits. */
export type EdgeHubStartConfig = IdentityConfig;

export type EdgeHubPort = Port<
  EdgeCatalog,
  "link.changed",
  "object.deliver" | "twin.deliver" | "user.deliver",
  "outbox.added",
  "cloud.request"
>;

export interface EdgeHubParts {
  readonly port: EdgeHubPort;
  readonly store: Pick<Store, "name" | "outbox">;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * The link to the cloud: gets the node's certificate, keeps one WebSocket up, hands what comes to the modules and
 * acknowledges it when they have stored it, and sends the outbox until the cloud has answered. Starts without the network.
 */
export async function startEdgeHub(config: EdgeHubStartConfig, parts: EdgeHubParts): Promise<Running> {
  const { port, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const stamp: Stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
  const identity = stack.use(
    new Identity(config, { clock, log, onRenewed: () => link.redial("the certificate was renewed") }),
  );
  const requests = new Requests(clock, (message) => link.send(encode(message)));
  const sender = stack.use(
    new OutboxShares({
      outbox: parts.store.outbox,
      clock,
      log,
      send: (frame) => link.ready && link.send(frame),
      ping: (mark) => link.ping(mark),
    }),
  );
  const dispatch = new Dispatch({
    stamp,
    log,
    send: (message) => void link.send(encode(message)),
    settle: (response) => {
      sender.answered();
      return requests.settle(response) ?? (sender.settle(response) || undefined);
    },
    deliver: (to, message) => deliver(port, to, message),
  });
  const beat = (): void => void link.send(keepalive(stamp));
  const link = new Link({
    url: config.edgeHub.url,
    headers: headersFor(config, parts.store.name),
    handshakeTimeoutMs: config.edgeHub.handshakeTimeoutMs,
    clock,
    log,
    credentials: () => identity.credentials(),
    onRefused: () => identity.refused(),
    onUp: (answersAll) => {
      log.info("link to the cloud is up", { url: config.edgeHub.url });
      beat();
      sender.linkUp(answersAll);
      void port.emit("link.changed", { connected: true, reason: "" });
    },
    onDown: (reason) => {
      sender.linkDown();
      requests.lost(reason);
      void port.emit("link.changed", { connected: false, reason });
    },
    onFrame: (frame) => receive(frame, dispatch, log),
    onPong: (mark) => sender.ponged(mark),
  });
  stack.defer(() => dispatch.idle());
  stack.use(link);
  stack.use(clock.every(config.edgeHub.heartbeatMs, beat));
  stack.use(port.on("outbox.added", () => sender.wake()));
  stack.use(serveRequests(port, requests, stamp));
  identity.start();
  link.start();
  return running("edgehub", stack.move());
}

function headersFor({ nodeName, edgeHub }: EdgeHubStartConfig, database: string): Record<string, string> {
  return {
    node_id: nodeName,
    project_id: edgeHub.projectId,
    ConnectionUse: "msg",
    [databaseHeader]: database,
  };
}

function serveRequests(port: EdgeHubPort, requests: Requests, stamp: Stamp): Disposable {
  return port.answer("cloud.request", ({ timeoutMs, ...message }, { signal }) =>
    requests.ask(newMessage(stamp, message), { timeoutMs, signal }),
  );
}

function deliver(port: EdgeHubPort, to: Receiver, message: WireMessage): Promise<Delivery> {
  switch (to) {
    case "object":
      return port.ask("object.deliver", message);
    case "twin":
      return port.ask("twin.deliver", message);
    case "user":
      return port.ask("user.deliver", message);
  }
}

function receive(frame: string, dispatch: Dispatch, log: Logger): void {
  const decoded = decode(frame);
  if (decoded.ok) dispatch.take(decoded.message);
  else log.warn("cannot read a frame of the cloud", { reason: decoded.reason });
}

function keepalive(stamp: Stamp): string {
  return encode(
    newMessage(stamp, {
      source: sources.websocket,
      group: groups.resource,
      operation: operations.keepalive,
      resource: "node",
      content: "ping",
    }),
  );
}
