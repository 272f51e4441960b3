import {
  decodeAdoption,
  decodeCloudFrame,
  encodeAnswer,
  encodeKeepalive,
  encodeRequest,
  eventRequests,
  handshakeHeaders,
  type CloudMessage,
  type OutgoingRequest,
  stampOf,
  type Stamp,
} from "#edge/edge-hub/codec";
import { NodeIdentity, type IdentityConfig } from "#edge/edge-hub/enrollment";
import { Link, type LinkOptions } from "#edge/edge-hub/link";
import { OutboxShares } from "#edge/edge-hub/outbox";
import { CloudTrust } from "#edge/edge-hub/trust";
import { KubeletServer, TunnelKeeper } from "#edge/edge-hub/tunnel";
import type { Store } from "#edge/store";
import type { Clock } from "#shared/clock";
import type { EdgedConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { kubeletService } from "#shared/kubelet-tunnel";
import { imageJobService } from "#shared/image-jobs";
import { podService } from "#shared/pod-streams";
import { usageService } from "#shared/usage";
import { deliver } from "./deliver.ts";
import { Dispatch } from "./dispatch.ts";
import { LinkStreams } from "./link-streams.ts";
import { PendingRequests } from "./pending-requests.ts";
import type { EdgeHubPort } from "./port.ts";
import { serveRequests } from "./serve-requests.ts";

export type { EdgeHubPort } from "./port.ts";

/** The parts of EdgeConfig edgehub needs; the whole fits. */
export interface EdgeHubStartConfig extends IdentityConfig {
  readonly edged?: Pick<EdgedConfig, "nodeIp">;
}

export interface EdgeHubParts {
  readonly port: EdgeHubPort;
  readonly store: Pick<Store, "name" | "outbox" | "cloud">;
  readonly clock: Clock;
  readonly log: Logger;
  /** The text of `/metrics` and of the paths below it, for the tunnel to a cloud of KubeEdge. */
  readonly figures?: (part: string) => Promise<string | undefined>;
}

/** An Event beside the outbox is dropped after this time. */
const eventTimeoutMs = 60_000;

/**
 * The link to the cloud: gets the node's certificate, keeps one WebSocket up, hands what comes to the modules and
 * acknowledges it when they have stored it, and sends the outbox until the cloud has answered. Starts without the network.
 */
export async function startEdgeHub(config: EdgeHubStartConfig, parts: EdgeHubParts): Promise<Running> {
  const { port, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const stamp = stampOf(clock);
  const send = (frame: string): boolean => link.send(frame);
  const requests = new PendingRequests(clock, send);
  const redial = (reason: string) => (): void => link.redial(reason);
  const identity = stack.use(new NodeIdentity(config, { clock, log, onRenewed: redial("new certificate") }));
  const trust = stack.use(makeTrust(config, parts, { stamp, requests, redial }));
  const outbox = stack.use(
    new OutboxShares({
      outbox: parts.store.outbox,
      clock,
      log,
      send: (frame) => link.ready && link.send(frame),
      ping: (mark) => link.ping(mark),
    }),
  );
  const kubelet = makeKubelet(parts);
  const streams = makeStreams(parts, { trust, kubelet, broken: (reason) => link.redial(reason) });
  const confirms = (): boolean => streams.areSupported;
  const deliverParts = { port, log, stamp, send: (frame: string) => void send(frame), confirms } as const;
  const dispatch = new Dispatch({
    stamp,
    log,
    isHeld: () => trust.isHeld,
    send: (frame) => void send(frame),
    settle: (answer) => settle(answer, requests, outbox),
    confirms,
    deliver: (receiver, message) => deliver(deliverParts, receiver, message),
  });
  const beat = (): void => void send(encodeKeepalive(stamp));
  const tunnel = makeTunnel(config, parts, { identity, server: kubelet });
  const link = new Link({
    ...dialOptions(config, parts),
    ...linkEvents(parts, { stamp, send, beat, requests, trust, outbox, dispatch, streams, tunnel }),
    credentials: () => identity.credentials(),
    onRefused: () => identity.refused(),
  });
  stack.defer(() => dispatch.idle());
  if (tunnel) stack.use(tunnel);
  stack.use(link);
  stack.use(clock.every(config.edgeHub.heartbeatMs, beat));
  stack.use(port.on("outbox.added", () => outbox.wake()));
  stack.use(port.answer("cloud.stream", async ({ head }) => streams.open(head)));
  const isForeign = (): boolean => link.ready && !streams.areSupported;
  stack.use(serveRequests({ port, requests, trust, stamp, isForeign }));
  identity.start();
  link.start();
  return running("edgehub", stack.move());
}

interface TrustDeps {
  readonly stamp: Stamp;
  readonly requests: PendingRequests;
  readonly redial: (reason: string) => () => void;
}

function makeTrust(
  { nodeName }: EdgeHubStartConfig,
  parts: EdgeHubParts,
  { stamp, requests, redial }: TrustDeps,
): CloudTrust {
  return new CloudTrust({
    node: nodeName,
    ...parts,
    record: async (event) => {
      await requests.ask(encodeRequest(eventRequests, stamp, event), { timeoutMs: eventTimeoutMs });
    },
    onAdopted: redial("the cloud was adopted"),
  });
}

interface StreamDeps {
  readonly trust: CloudTrust;
  readonly kubelet: KubeletServer;
  readonly broken: (reason: string) => void;
}

function makeStreams(
  { port, clock, log }: EdgeHubParts,
  { trust, kubelet, broken }: StreamDeps,
): LinkStreams {
  return new LinkStreams({
    clock,
    log,
    isHeld: () => trust.isHeld,
    services: new Map([
      ["service-bus", (stream) => port.ask("service.stream", { stream })],
      [podService, (stream) => port.ask("pod.stream", { stream })],
      [usageService, (stream) => port.ask("usage.stream", { stream })],
      [imageJobService, (stream) => port.ask("image.stream", { stream })],
      [kubeletService, async (stream) => void kubelet.serveStream(stream)],
    ]),
    broken,
  });
}

function makeKubelet({ port, clock, log, figures }: EdgeHubParts): KubeletServer {
  return new KubeletServer({
    listPods: () => port.ask("pod.list", {}),
    serve: (stream) => port.ask("pod.stream", { stream }),
    figures: async (part) => figures?.(part),
    clock,
    log,
  });
}

interface TunnelDeps {
  readonly identity: NodeIdentity;
  readonly server: KubeletServer;
}

/** A cloud of KubeEdge reaches the pods of this node by it: its link carries messages alone. */
function makeTunnel(
  { nodeName: node, edgeHub: { tunnelUrl: url, handshakeTimeoutMs }, edged }: EdgeHubStartConfig,
  { clock, log }: EdgeHubParts,
  { identity, server }: TunnelDeps,
): TunnelKeeper | undefined {
  if (url === undefined) return undefined;
  const credentials = (): ReturnType<NodeIdentity["credentials"]> => identity.credentials();
  const nodeIp = edged?.nodeIp;
  return new TunnelKeeper({ url, node, nodeIp, handshakeTimeoutMs, credentials, server, clock, log });
}

function dialOptions(
  { nodeName: node, edgeHub }: EdgeHubStartConfig,
  { store, clock, log }: EdgeHubParts,
): Pick<LinkOptions, "url" | "headers" | "handshakeTimeoutMs" | "clock" | "log"> {
  const { url, projectId: project, handshakeTimeoutMs } = edgeHub;
  const headers = handshakeHeaders({ node, project, database: store.name });
  return { url, headers, handshakeTimeoutMs, clock, log };
}

interface LinkUsers {
  readonly stamp: Stamp;
  readonly send: (frame: string) => boolean;
  readonly beat: () => void;
  readonly requests: PendingRequests;
  readonly trust: CloudTrust;
  readonly outbox: OutboxShares;
  readonly dispatch: Dispatch;
  readonly streams: LinkStreams;
  readonly tunnel: TunnelKeeper | undefined;
}

/** Who learns what of the link. */
function linkEvents(
  { port, log }: EdgeHubParts,
  users: LinkUsers,
): Pick<LinkOptions, "onUp" | "onDown" | "onText" | "onBinary" | "onPong"> {
  const { trust, outbox, requests, streams, tunnel, beat } = users;
  return {
    onUp: ({ answersAll, database: name, streams: supported }, transport) => {
      const database = trust.meet(name);
      streams.linkUp(transport, supported);
      if (!supported && !trust.isHeld) tunnel?.open();
      beat();
      if (!trust.isHeld) outbox.linkUp(answersAll);
      void port.emit("link.changed", { connected: true, reason: "", ...(database && { database }) });
    },
    onDown: (reason) => {
      streams.linkDown(reason);
      tunnel?.close();
      trust.leave();
      outbox.linkDown();
      requests.linkLost(reason);
      void port.emit("link.changed", { connected: false, reason });
    },
    onText: (frame) => receive(frame, users, log),
    onBinary: (frame) => streams.take(frame),
    onPong: (mark) => outbox.ponged(mark),
  };
}

function receive(frame: string, { dispatch, trust, send, stamp }: LinkUsers, log: Logger): void {
  const decoded = decodeCloudFrame(frame);
  if (!decoded.ok) {
    log.warn("cannot read a frame of the cloud", { reason: decoded.reason });
    return;
  }
  const { message } = decoded;
  if (message.receiver !== "link") {
    dispatch.take(message);
    return;
  }
  const database = decodeAdoption(message);
  if (database !== undefined) trust.adopt(database, () => void send(encodeAnswer(stamp, message)));
}

/** Hands an answer to what asked: a module's request, or an entry of the outbox. */
function settle(
  answer: CloudMessage,
  requests: PendingRequests,
  outbox: OutboxShares,
): OutgoingRequest | true | undefined {
  outbox.answered();
  return requests.settle(answer) ?? (outbox.settle(answer) || undefined);
}
