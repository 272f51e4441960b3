import type { AedesOptions } from "aedes";
import { describeError } from "#shared/errors";
import { clientIdOf, sessionMarker } from "#edge/mqtt/sessions";
import { admitClients, identify } from "./admission.ts";
import { inner } from "./inner-client.ts";
import type { Inside } from "./inside.ts";

export function rulesFor(inside: Inside): AedesOptions {
  const { access, publishing, seldom } = inside;
  return {
    ...admitClients(inside),
    // Asked for wills alone: they are told here, and aedes is told to leave them.
    authorizePublish: (client, will, done) => {
      if (client && access.mayPublish(identify(inner(client)), will.topic))
        publishing.publish(will, { ours: false });
      done(new Error("told"));
    },
    // Asked for those of a session that is back: rules may have changed.
    authorizeSubscribe: (client, subscription, done) => {
      const { topic } = subscription;
      const who = identify(inner(client));
      if (topic === sessionMarker || access.maySubscribe(who, topic)) return done(null, subscription);
      const fields = { client: who.clientId, user: who.user, topic, what: "subscribe" };
      seldom.warn("refused an MQTT client a topic", fields, client.id);
      void forgetSubscription(inside, client.id, topic);
      done(null, null);
    },
    authorizeForward: (client, packet) =>
      access.mayReceive(identify(inner(client)), packet.topic) ? packet : null,
  };
}

async function forgetSubscription({ sessions, log }: Inside, id: string, topic: string): Promise<void> {
  try {
    await sessions.unsubscribe(id, [topic]);
  } catch (error) {
    log.warn("cannot forget a subscription now", {
      client: clientIdOf(id),
      topic,
      error: describeError(error),
    });
  }
}
