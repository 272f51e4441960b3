import type { AedesOptions, AuthenticateError } from "aedes";
import { describeError } from "#shared/errors";
import type { Logger, RateLimitedLog } from "#shared/log";
import type { Access, ClientIdentity, LoginRefusal } from "#edge/mqtt/access";
import type { BrokerClient } from "#edge/mqtt/connection";
import { encodeRefusal } from "#edge/mqtt/packet";
import { sessionName, type Sessions } from "#edge/mqtt/sessions";
import type { SocketPeer } from "#edge/mqtt/sockets";
import { inner } from "./inner-client.ts";

export interface AdmissionParts {
  readonly access: Access;
  readonly sessions: Sessions;
  readonly peers: WeakMap<object, SocketPeer>;
  readonly log: Logger;
  readonly seldom: RateLimitedLog;
}

interface LoginRequest {
  readonly user: string | undefined;
  readonly password: Buffer | undefined;
  readonly done: (error: AuthenticateError | null, ok: boolean) => void;
}

/** CONNACK return codes (MQTT 3.1.1 section 3.2.2.3). */
const identifierRejected = 2;
const serverUnavailable = 3;
const notAuthorized = 5;
/**
 * Characters of a client id. Servers must allow 23 and may allow more (section 3.1.3.1); each session keeps its id in
 * memory and on disk with each of its messages.
 */
export const longestClientId = 256;

/** The identity of a client for topic rules and logs: without a user until it is authenticated. */
export function identify(client: BrokerClient): ClientIdentity {
  return client.identity ?? { user: undefined, clientId: client.id ?? "" };
}

/** The hooks by which aedes asks whether a client may connect. */
export function admitClients(parts: AdmissionParts): Pick<AedesOptions, "preConnect" | "authenticate"> {
  return {
    preConnect: (client, packet, done) => {
      // MQTT 3.1 requires a client id always, 3.1.1 for a persistent session (section 3.1.3.1).
      const hasId = packet.clientId !== "" || (packet.clean && packet.protocolVersion !== 3);
      if (hasId && packet.clientId.length <= longestClientId) return done(null, true);
      inner(client).conn.write(encodeRefusal(identifierRejected));
      done(new Error("client id is missing or too long"), false);
    },
    authenticate: (client, user, password, done) => {
      void admit(parts, inner(client), { user, password, done });
    },
  };
}

async function admit(parts: AdmissionParts, client: BrokerClient, request: LoginRequest): Promise<void> {
  const { peers, seldom, log } = parts;
  const { user, done } = request;
  const { clientId } = identify(client);
  try {
    const refusal = await authenticate(parts, client, request);
    if (!refusal) {
      peers.get(client.conn)?.markAccepted();
      return done(null, true);
    }
    if (client.closed) return;
    const { problem, isBusy } = refusal;
    const address = peers.get(client.conn)?.address;
    const fields = { client: clientId, user, address, problem };
    seldom.warn("refused an MQTT client", fields, `${address} ${clientId}`);
    return done(refuse(isBusy ? serverUnavailable : notAuthorized), false);
  } catch (error) {
    log.warn("cannot authenticate an MQTT client", { client: clientId, error: describeError(error) });
  }
  done(refuse(notAuthorized), false);
}

/** Sets the identity of a client. @returns why it may not connect, undefined when it may */
async function authenticate(
  { access, peers, sessions }: AdmissionParts,
  client: BrokerClient,
  { user, password }: LoginRequest,
): Promise<LoginRefusal | undefined> {
  const { conn, version, clean, _will: will } = client;
  const { certificateName, address } = peers.get(conn) ?? {};
  const attempt = { address, isClosed: () => client.closed };
  const admission = await access.admit({ user, password, certificateName }, attempt);
  if (!admission.ok) return admission;
  client.identity = { user: admission.user, clientId: client.id ?? "" };
  // From here on aedes knows it by its session: another user with the same client id does not take it over.
  client.id = sessionName(admission.user, client.identity.clientId);
  if (will) will.user = admission.user;
  if (will && !access.mayPublish(client.identity, will.topic ?? ""))
    return { problem: "the topic of its will is not allowed" };
  if (version === 3 && !clean && !client.closed) sessions.persistence.expectMqtt31(client.id);
  return undefined;
}

/** An error that aedes translates into this return code. */
function refuse(returnCode: number): AuthenticateError {
  const error: Error = Object.assign(new Error("refused"), { returnCode });
  // The type wants a member of an enum that aedes does not export.
  return error as AuthenticateError;
}
