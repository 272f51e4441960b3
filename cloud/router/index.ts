import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { resources, type KubeClient } from "#cloud/kube-client";
import { DeliveryQueue, DeliveryStore } from "#cloud/router/delivery";
import {
  Access,
  BrokerRequests,
  RequestGate,
  RestEntry,
  ServiceRequests,
  Tunnels,
} from "#cloud/router/entry";
import { EntryServer, type EntryPems } from "#cloud/router/http";
import { Attempts, NodeMessages } from "#cloud/router/messages";
import { NodeDirectory, RuleDeliveries } from "#cloud/router/nodes";
import type { CompiledRule, RuleBook } from "#cloud/router/rules";
import { NodeSender, UrlPoster } from "#cloud/router/senders";
import { RuleStatusWriter } from "#cloud/router/state";
import type { Clock } from "#shared/clock";
import type { RouterConfig } from "#shared/config";
import { budgetOfProcess, type ConnectionBudget } from "#shared/connections";
import type { Node, Rule, RuleEndpoint } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { RouterPort } from "./port.ts";
import { RuleWatch } from "./rule-watch.ts";

export { createRuleAdmission } from "./admission.ts";
export type { EntryPems } from "#cloud/router/http";
export type { RouterPort } from "./port.ts";

/** `RouterConfig` of cloudcore's configuration, and where it keeps its database. */
export interface RouterStartConfig extends RouterConfig {
  readonly dataDir: string;
}

export interface RouterParts {
  readonly port: RouterPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pems: EntryPems;
  /** Places for connections, shared with the other servers of the process; of its own unless given. */
  readonly connections?: ConnectionBudget;
  /** The REST entry listens there. */
  readonly reportPort: (port: number) => void;
}

export interface Router extends Running {
  /** Where the REST entry listens, or will when the port is free. */
  readonly port: number;
  /** Uses another certificate for new connections. */
  renew(pems: EntryPems): Promise<void>;
}

/**
 * Carries out Rules, as KubeEdge's router: HTTP requests go to MQTT brokers and HTTP servers on nodes, what nodes send goes to
 * URLs and to other nodes. Requests need a token and the right for their rule; messages of nodes are kept on disk until they
 * are delivered.
 * @throws ConfigError when the database cannot be used
 */
export async function startRouter(config: RouterStartConfig, parts: RouterParts): Promise<Router> {
  const { port, kube, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const informers = {
    rules: stack.use(kube.informer<Rule>(resources.rules)),
    endpoints: stack.use(kube.informer<RuleEndpoint>(resources.ruleEndpoints)),
    nodes: stack.use(kube.informer<Node>(resources.nodes)),
  };
  const nodes = new NodeDirectory(informers.nodes);
  const path = join(config.dataDir, "router.db");
  const store = stack.use(new DeliveryStore({ path, mostBytesARule: config.queueBytes, clock, log }));
  await Promise.all(Object.values(informers).map(({ synced }) => synced));
  const watch = stack.use(new RuleWatch({ ...informers, clock }));
  const book = (): RuleBook => watch.book();
  const queued = (key: string): number => store.countOf(key);
  const rules = (): ReadonlyMap<string, CompiledRule> => book().rules;
  const status = stack.use(new RuleStatusWriter({ kube, rules, queued, clock, log }));
  const { counters } = status;
  const endpoint = (key: string): RuleEndpoint | undefined => informers.endpoints.get(key);
  const deliveries = stack.use(new RuleDeliveries({ port, nodes, book, endpoint, log }));
  const sender = new NodeSender({ port, nodes });
  const poster = stack.use(new UrlPoster(clock, { allowLocal: config.localTargets }));
  const attempts = new Attempts({ book, sender, poster });
  const queue = stack.use(
    new DeliveryQueue({
      store,
      attempt: (delivery, signal) => attempts.attempt(delivery, signal),
      ended: (key, outcome, count) => counters.ended(key, outcome, count),
      changed: (key) => status.changed(key),
      mostAgeMs: config.queueAgeMs,
      clock,
      log,
    }),
  );
  const messages = new NodeMessages({ book, nodes, queue, poster, counters, log });
  stack.use(follow({ port, watch, nodes, deliveries, queue, status, messages }));
  const access = new Access(kube, clock);
  const prove = (request: IncomingMessage, user: string): boolean => server.prove(request.socket, user);
  const entry = new RestEntry({
    gate: new RequestGate({ book, nodes, access, prove, log }),
    nodes,
    services: new ServiceRequests({ sender, queue, counters, mostBodyBytes: config.bodyBytes, clock }),
    brokers: new BrokerRequests({ sender, queue, counters, clock }),
    tunnels: new Tunnels({ sender, counters, clock }),
    log,
  });
  const { address } = config;
  const handlers = { handle: entry.handle.bind(entry), upgrade: entry.upgrade.bind(entry) };
  const connections = parts.connections ?? budgetOfProcess(clock);
  const { pems, reportPort } = parts;
  const listening = { address, port: config.port, pems, connections, clock, log, reportPort, ...handlers };
  const server = stack.use(await EntryServer.start(listening));
  log.info("router started", { rules: book().rules.size });
  return { ...running("router", stack.move()), port: server.port, renew: (next) => server.renew(next) };
}

interface Followed {
  readonly port: RouterPort;
  readonly watch: RuleWatch;
  readonly nodes: NodeDirectory;
  readonly deliveries: RuleDeliveries;
  readonly queue: DeliveryQueue;
  readonly status: RuleStatusWriter;
  readonly messages: NodeMessages;
}

/** Follows rules and nodes, and takes what nodes send. */
function follow({ port, watch, nodes, deliveries, queue, status, messages }: Followed): Disposable {
  const stack = new DisposableStack();
  watch.start({
    changed: (touched) => {
      deliveries.changed();
      for (const key of watch.book().rules.keys()) status.changed(key);
      for (const key of touched) queue.changed(key);
    },
    removed: (key) => void queue.dropRule(key),
  });
  stack.use(
    port.on("node.connected", ({ node, streams = false }) => {
      nodes.connected(node, streams);
      deliveries.connected(node);
      queue.connected(node);
    }),
  );
  stack.use(
    port.on("node.disconnected", ({ node }) => {
      nodes.disconnected(node);
      deliveries.disconnected(node);
    }),
  );
  stack.use(port.on("node.resync", ({ node }) => deliveries.compare(node)));
  stack.use(port.answer("rule.upload", (upload) => messages.upload(upload)));
  stack.use(port.answer("rule.request", (request) => messages.request(request)));
  return stack;
}
