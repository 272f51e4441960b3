import { randomUUID } from "node:crypto";
import {
  decodeObject,
  decodeTwin,
  decodeUser,
  eventMessage,
  leaseRequests,
  memberRequests,
  nodeRequests,
  objectRequests,
  podRequests,
  tokenRequests,
  type RequestCodec,
} from "#edge/edge-hub/codec";
import { Identity, type IdentityConfig } from "#edge/edge-hub/enrolment";
import { Link } from "#edge/edge-hub/link";
import { OutboxShares } from "#edge/edge-hub/outbox";
import { CloudTrust } from "#edge/edge-hub/trust";
import type { Store } from "#edge/store";
import type { AskOptions, Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { Delivery, EdgeCatalog, RequestDeadline } from "#shared/topics";
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
import { Requests } from "./requests.ts";

/** The parts of EdgeConfig edgehub needs; the whole fits. */
export type EdgeHubStartConfig = IdentityConfig;

export type EdgeHubPort = Port<
  EdgeCatalog,
  "link.changed",
  "object.deliver" | "twin.deliver" | "user.deliver",
  "outbox.added",
  "cloud.object" | "cloud.pod" | "cloud.token" | "cloud.node" | "cloud.lease" | "cloud.members"
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
    deliver: (to, message) => deliver({ port, log }, to, message),
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
    record: (event) => to.requests.ask(newMessage(to.stamp, eventMessage(event)), {}),
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
  const ask =
    <Request extends RequestDeadline, Reply>({ encode: write, decode: read }: RequestCodec<Request, Reply>) =>
    async (request: Request, { signal }: AskOptions): Promise<Reply> => {
      const message = write(request, stamp.nowMs());
      if (!trust.admits(message)) {
        const what = `Cannot ask the cloud for "${message.resource}"`;
        throw new UnavailableError("cloud-held", `${what}: its database is not the one this node belongs to`);
      }
      const { timeoutMs } = request;
      return read(await requests.ask(newMessage(stamp, message), { timeoutMs, signal }), request);
    };
  const stack = new DisposableStack();
  stack.use(port.answer("cloud.object", ask(objectRequests)));
  stack.use(port.answer("cloud.pod", ask(podRequests)));
  stack.use(port.answer("cloud.token", ask(tokenRequests)));
  stack.use(port.answer("cloud.node", ask(nodeRequests)));
  stack.use(port.answer("cloud.lease", ask(leaseRequests)));
  stack.use(port.answer("cloud.members", ask(memberRequests)));
  return stack;
}

async function deliver(
  { port, log }: Pick<EdgeHubParts, "port" | "log">,
  to: Receiver,
  message: WireMessage,
): Promise<Delivery> {
  switch (to) {
    case "object": {
      const object = decodeObject(message);
      if (object) return port.ask("object.deliver", object);
      const { resource, operation } = message.route;
      log.warn("object from the cloud cannot be read", { resource, operation });
      return { ack: false };
    }
    case "twin": {
      const twin = decodeTwin(message);
      return twin ? port.ask("twin.deliver", twin) : { ack: false };
    }
    case "user": {
      const command = decodeUser(message);
      if (command) await port.ask("user.deliver", command);
      else log.debug("message of group user with an unknown operation", { ...message.route });
      return { ack: false };
    }
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
