import type { Aedes, Client } from "aedes";
import { subscriberFor, type BrokerClient } from "#edge/mqtt/connection";
import { identify } from "./admission.ts";
import { inner } from "./inner-client.ts";
import type { Inside } from "./inside.ts";

export function watch(broker: Aedes, inside: Inside): void {
  const { log } = inside;
  broker.on("clientError", (client, error) =>
    log.debug("MQTT client failed", { client: identify(inner(client)).clientId, error }),
  );
  broker.on("connectionError", (_, error) => log.debug("MQTT connection failed", { error }));
  (broker as NodeJS.EventEmitter).on("error", (error: Error) => log.error("MQTT broker failed", { error }));
  const register = keepRegister(broker);
  broker.on("client", (client) => {
    const { closed, clean, conn, subscriptions } = inner(client);
    if (closed) return register.unregisterClient(client);
    // Another client of the name may have ended the session while this one was connecting: it comes again.
    if (!clean && !inside.sessions.holds(client.id, Object.keys(subscriptions))) return void conn.destroy();
    beginReading(inside, inner(client));
  });
  broker.on("connackSent", ({ returnCode }, client) => {
    // aedes notes it after this, and begins to send what waits for the client.
    if (returnCode === 0) queueMicrotask(() => inner(client).letIn?.());
  });
  broker.on("clientReady", (client) => deliverQueued(inner(client), inside));
}

interface Register {
  readonly clients: Readonly<Record<string, unknown>>;
  unregisterClient(client: Client): void;
}

/** aedes takes a client off its list by name: one that left while it was connecting would take off its successor. */
function keepRegister(broker: Aedes): Register {
  const register = broker as unknown as Register;
  const unregister = register.unregisterClient.bind(register);
  register.unregisterClient = (client) => {
    if (register.clients[client.id] === client) unregister(client);
  };
  return register;
}

function beginReading(inside: Inside, client: BrokerClient): void {
  const { sessions, fanOut, log, access, traffic, seldom } = inside;
  const who = identify(client);
  const subscriber = subscriberFor(client, {
    may: (topic) => access.open || access.mayReceive(who, topic),
    sessions,
    failed: (error) => log.warn("cannot number a message for a client", { client: who.clientId, error }),
    dropped: () => {
      traffic.dropped += 1;
      seldom.warn(
        "dropped a message for an MQTT client that acknowledges nothing",
        { client: who.clientId },
        client.id ?? "",
      );
    },
  });
  client.subscriber = subscriber;
  client.sendQueued = () => deliverQueued(client, inside);
  client.conn.once("close", () => fanOut.gone(subscriber));
  // Not what aedes was told when it asked: the connection before may have subscribed to more since.
  const lasting = client.clean ? [] : sessions.subscriptions(client.id ?? "");
  fanOut.join(
    subscriber,
    lasting.filter(({ topic }) => access.maySubscribe(who, topic)),
  );
}

/** Sends what came while a session's queue was being sent after its return, or while it was subscribing. */
function deliverQueued(client: BrokerClient, { sessions }: Inside): void {
  const { subscriber } = client;
  if (client.clean || !client.connected || !subscriber) return;
  for (const packet of sessions.unsent(client.id ?? "")) {
    if (!subscriber.may(packet.topic ?? "")) subscriber.refuse(packet);
    else if (packet.qos > 0) subscriber.deliver(packet, packet.qos === 2 ? 2 : 1);
  }
}
