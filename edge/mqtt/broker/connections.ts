import type { Aedes, Client } from "aedes";
import { onNextMicrotask } from "#shared/clock";
import { subscriberFor, type BrokerClient } from "#edge/mqtt/connection";
import { identify } from "./admission.ts";
import { inner } from "./inner-client.ts";
import type { BrokerInternals } from "./internals.ts";

/** Attaches what the broker does when clients connect, fail and disconnect. */
export function watchConnections(broker: Aedes, internals: BrokerInternals): void {
  const { log } = internals;
  broker.on("clientError", (client, error) =>
    log.debug("MQTT client failed", { client: identify(inner(client)).clientId, error }),
  );
  broker.on("connectionError", (_, error) => log.debug("MQTT connection failed", { error }));
  // Missing in the types of aedes.
  (broker as NodeJS.EventEmitter).on("error", (error: Error) => log.error("MQTT broker failed", { error }));
  const register = guardRegister(broker);
  broker.on("client", (client) => {
    const { closed, clean, conn, subscriptions } = inner(client);
    if (closed) return register.unregisterClient(client);
    // Another client of this name may have ended the session meanwhile: this one has to connect again.
    if (!clean && !internals.sessions.holds(client.id, Object.keys(subscriptions)))
      return void conn.destroy();
    beginDelivery(internals, inner(client));
  });
  broker.on("connackSent", ({ returnCode }, client) => {
    // aedes sets `connackSent` right after this event and then sends the queue of the session: a microtask comes between.
    if (returnCode === 0) onNextMicrotask(() => inner(client).onConnack?.());
  });
  broker.on("clientReady", (client) => deliverQueued(inner(client), internals));
}

interface ClientRegister {
  readonly clients: Readonly<Record<string, unknown>>;
  unregisterClient(client: Client): void;
}

/**
 * aedes removes a client from its register by name: one that disconnects while it is connecting would remove the client
 * that took over its name.
 */
function guardRegister(broker: Aedes): ClientRegister {
  // Private fields of aedes, whose version is pinned.
  const register = broker as unknown as ClientRegister;
  const unregister = register.unregisterClient.bind(register);
  register.unregisterClient = (client) => {
    if (register.clients[client.id] === client) unregister(client);
  };
  return register;
}

function beginDelivery(internals: BrokerInternals, client: BrokerClient): void {
  const { sessions, fanOut, access } = internals;
  const identity = identify(client);
  const subscriber = makeSubscriber(internals, client);
  client.subscriber = subscriber;
  client.sendQueued = () => deliverQueued(client, internals);
  client.conn.once("close", () => fanOut.remove(subscriber));
  // Not those that aedes asked for: the connection before may have subscribed to more since.
  const stored = client.clean ? [] : sessions.subscriptions(client.id ?? "");
  fanOut.subscribe(
    subscriber,
    stored.filter(({ topic }) => access.maySubscribe(identity, topic)),
  );
}

function makeSubscriber(
  { sessions, log, access, traffic, seldom }: BrokerInternals,
  client: BrokerClient,
): ReturnType<typeof subscriberFor> {
  const identity = identify(client);
  const { clientId } = identity;
  return subscriberFor(client, {
    mayReceive: (topic) => access.isOpen || access.mayReceive(identity, topic),
    sessions,
    onFailed: (error) =>
      log.warn("cannot store the message id of a message for an MQTT client", { client: clientId, error }),
    onDropped: () => {
      traffic.dropped += 1;
      seldom.warn(
        "dropped a message for an MQTT client that acknowledges nothing",
        { client: clientId },
        client.id ?? "",
      );
    },
  });
}

/** Sends what arrived while the queue of a session was sent after a reconnect, or while the client subscribed. */
function deliverQueued(client: BrokerClient, { sessions }: BrokerInternals): void {
  const { subscriber } = client;
  if (client.clean || !client.connected || !subscriber) return;
  for (const packet of sessions.unsent(client.id ?? "")) {
    if (!subscriber.mayReceive(packet.topic ?? "")) subscriber.refuse(packet);
    else if (packet.qos > 0) subscriber.deliver(packet, packet.qos === 2 ? 2 : 1);
  }
}
