import { randomUUID } from "node:crypto";
import { CloudTrust } from "#edge/edge-hub/trust";
import type { Store } from "#edge/store";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { Delivery, EdgeCatalog } from "#shared/topics";
import {
  cloudGroup,
  databaseHeader,
  decode,
  encode,
  groups,
  newMessage,
  ok,
  operations,
  responseTo,
  sources,
  type Stamp,
  type WireMessage,
} from "#shared/wire";
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
  readonly store: Pick<Store, "name" | "outbox" | "cloud">;
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
  const send = (message: WireMessage): boolean => link.send(encode(message));
  const requests = new Requests(clock, send);
  const redial = (reason: string) => (): void => link.redial(reason);
  const identity = stack.use(new Identity(config, { clock, log, onRenewed: redial("new certificate") }));
  const trust = stack.use(trustOf(config, parts, { stamp, send, requests, redial }));
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
    held: () => trust.held,
    send: (message) => void send(message),
    settle: settleFor(requests, sender),
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
    onUp: ({ answersAll, database: name }) => {
      log.info("link to the cloud is up", { url: config.edgeHub.url });
      const database = trust.meet(name);
      beat();
      if (!trust.held) sender.linkUp(answersAll);
      void port.emit("link.changed", { connected: true, reason: "", ...(database && { database }) });
    },
    onDown: (reason) => {
      trust.leave();
      sender.linkDown();
      requests.lost(reason);
      void port.emit("link.changed", { connected: false, reason });
    },
    onFrame: (frame) => receive(frame, { dispatch, trust, log }),
    onPong: (mark) => sender.ponged(mark),
  });
  stack.defer(() => dispatch.idle());
  stack.use(link);
  stack.use(clock.every(config.edgeHub.heartbeatMs, beat));
  stack.use(port.on("outbox.added", () => sender.wake()));
  stack.use(serveRequests({ port, requests, trust, stamp }));
  identity.start();
  link.start();
  return running("edgehub", stack.move());
}

interface ToCloud {
  readonly stamp: Stamp;
  readonly send: (message: WireMessage) => boolean;
  readonly requests: Requests;
  readonly redial: (reason: string) => () => void;
}

function trustOf({ nodeName }: EdgeHubStartConfig, parts: EdgeHubParts, to: ToCloud): CloudTrust {
  return new CloudTrust({
    node: nodeName,
    ...parts,
    record: (event) => to.requests.ask(newMessage(to.stamp, event), {}),
    answer: (message) => void to.send(responseTo(to.stamp, message, ok)),
    onAdopted: to.redial("the cloud was adopted"),
  });
}

/** Whoever asked: a module, or the outbox. */
function settleFor(
  requests: Requests,
  sender: OutboxShares,
): (response: WireMessage) => WireMessage | true | undefined {
  return (response) => {
    sender.answered();
    return requests.settle(response) ?? (sender.settle(response) || undefined);
  };
}

function headersFor({ nodeName, edgeHub }: EdgeHubStartConfig, database: string): Record<string, string> {
  return {
    node_id: nodeName,
    project_id: edgeHub.projectId,
    ConnectionUse: "msg",
    [databaseHeader]: database,
  };
}

function serveRequests(options: {
  readonly port: EdgeHubPort;
  readonly requests: Requests;
  readonly trust: CloudTrust;
  readonly stamp: Stamp;
}): Disposable {
  const { port, requests, trust, stamp } = options;
  return port.answer("cloud.request", async ({ timeoutMs, ...message }, { signal }) => {
    if (trust.admits(message)) return requests.ask(newMessage(stamp, message), { timeoutMs, signal });
    const what = `Cannot ask the cloud for "${message.resource}"`;
    throw new UnavailableError("cloud-held", `${what}: its database is not the one this node belongs to`);
  });
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

function receive(
  frame: string,
  to: { readonly dispatch: Dispatch; readonly trust: CloudTrust; readonly log: Logger },
): void {
  const decoded = decode(frame);
  if (!decoded.ok) to.log.warn("cannot read a frame of the cloud", { reason: decoded.reason });
  else if (decoded.message.route.group === cloudGroup) to.trust.take(decoded.message);
  else to.dispatch.take(decoded.message);
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
