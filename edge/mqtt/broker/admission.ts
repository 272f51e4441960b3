import type { AedesOptions, AuthenticateError } from "aedes";
import { describeError } from "#shared/errors";
import type { Logger, Seldom } from "#shared/log";
import type { Access, ClientIdentity, LoginRefusal } from "#edge/mqtt/access";
import { sessionName, type Sessions } from "#edge/mqtt/sessions";
import type { SocketPeer } from "#edge/mqtt/sockets";
import type { BrokerClient } from "#edge/mqtt/connection";
import { inner } from "./inner-client.ts";
import { encodeRefusal } from "#edge/mqtt/packet";

export interface AdmissionParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly peers: WeakMap<object, SocketPeer>;
  readonly log: Logger;
  readonly seldom: Seldom;
}

interface Asked {
  readonly user: string | undefined;
  readonly password: Buffer | undefined;
  readonly done: (error: AuthenticateError | null, ok: boolean) => void;
}

const identifierRejected = 2;
const unavailable = 3;
const notAuthorized = 5;
export const longestIdentifier = 256;

/** Who it is as far as its messages are concerned: one that was not let in yet is nobody. */
export function identify(client: BrokerClient): ClientIdentity {
  return client.identity ?? { user: undefined, clientId: client.id ?? "" };
}

/** What aedes asks before it lets a client in. */
export function admitClients(parts: AdmissionParts): Pick<AedesOptions, "preConnect" | "authenticate"> {
  return {
    preConnect: (client, packet, done) => {
      // MQTT 3.1 wants a name of every client, 3.1.1 of each that wants a lasting session.
      const named = packet.clientId !== "" || (packet.clean && packet.protocolVersion !== 3);
      if (named && packet.clientId.length <= longestIdentifier) return done(null, true);
      inner(client).conn.write(encodeRefusal(identifierRejected));
      done(new Error("client without an identifier, or with a very long one"), false);
    },
    authenticate: (client, user, password, done) => {
      void admit(parts, inner(client), { user, password, done });
    },
  };
}

async function admit(parts: AdmissionParts, client: BrokerClient, asked: Asked): Promise<void> {
  const { peers, seldom, log } = parts;
  const { user, done } = asked;
  const { clientId } = identify(client);
  try {
    const refusal = await judge(parts, client, asked);
    if (!refusal) {
      peers.get(client.conn)?.letIn();
      return done(null, true);
    }
    if (client.closed) return;
    const { problem, isBusy } = refusal;
    const address = peers.get(client.conn)?.address;
    const fields = { client: clientId, user, address, problem };
    seldom.warn("refused an MQTT client", fields, `${address} ${clientId}`);
    return done(refuse(isBusy ? unavailable : notAuthorized), false);
  } catch (error) {
    log.warn("cannot let an MQTT client in", { client: clientId, error: describeError(error) });
  }
  done(refuse(notAuthorized), false);
}

/** Finds out who a client is. @returns why it may not come in, undefined when it may */
async function judge(
  { access, peers, sessions }: AdmissionParts,
  client: BrokerClient,
  { user, password }: Asked,
): Promise<LoginRefusal | undefined> {
  const { conn, version, clean, _will: will } = client;
  const { certificateName, address } = peers.get(conn) ?? {};
  const visitor = { address, isGone: () => client.closed };
  const admission = await access.admit({ user, password, certificateName }, visitor);
  if (!admission.ok) return admission;
  client.identity = { user: admission.user, clientId: client.id ?? "" };
  // aedes knows it by this from here on: who says the same id as another user takes nothing from it.
  client.id = sessionName(admission.user, client.identity.clientId);
  if (will) will.user = admission.user;
  if (will && !access.mayPublish(client.identity, will.topic ?? ""))
    return { problem: "its will is for a topic it may not use" };
  if (version === 3 && !clean && !client.closed) sessions.persistence.expectMqtt31(client.id);
  return undefined;
}

/** An error aedes turns into that return code. */
function refuse(returnCode: number): AuthenticateError {
  const error: Error = Object.assign(new Error("not let in"), { returnCode });
  return error as AuthenticateError;
}
