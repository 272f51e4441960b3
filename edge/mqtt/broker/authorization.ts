import type { AedesOptions } from "aedes";
import { describeError } from "#shared/errors";
import { clientIdOf, sessionMarker } from "#edge/mqtt/sessions";
import { admitClients, identify } from "./admission.ts";
import { inner } from "./inner-client.ts";
import type { BrokerInternals } from "./internals.ts";

/** The hooks by which aedes asks who may connect and which topics they may use. */
export function authorizationHooks(internals: BrokerInternals): AedesOptions {
  const { access, publishing, seldom } = internals;
  return {
    ...admitClients(internals),
    // Called only for wills: they are published here, and the error makes aedes leave them alone.
    authorizePublish: (client, will, done) => {
      if (client && access.mayPublish(identify(inner(client)), will.topic))
        publishing.publish(will, { ours: false });
      done(new Error("published already"));
    },
    // Called only for the subscriptions of a session that is resumed: the topic rules may have changed.
    authorizeSubscribe: (client, subscription, done) => {
      const { topic } = subscription;
      const identity = identify(inner(client));
      if (topic === sessionMarker || access.maySubscribe(identity, topic)) return done(null, subscription);
      const fields = { client: identity.clientId, user: identity.user, topic, what: "subscribe" };
      seldom.warn("denied an MQTT client access to a topic", fields, client.id);
      void removeSubscription(internals, client.id, topic);
      done(null, null);
    },
    authorizeForward: (client, packet) =>
      access.mayReceive(identify(inner(client)), packet.topic) ? packet : null,
  };
}

async function removeSubscription(
  { sessions, log }: BrokerInternals,
  session: string,
  topic: string,
): Promise<void> {
  try {
    await sessions.unsubscribe(session, [topic]);
  } catch (error) {
    log.warn("cannot remove a subscription of an MQTT session", {
      client: clientIdOf(session),
      topic,
      error: describeError(error),
    });
  }
}
