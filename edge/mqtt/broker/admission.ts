import { describeError } from "#shared/errors";
import type { Logger, RateLimitedLog } from "#shared/log";
import type { Access, ClientIdentity } from "#edge/mqtt/access";
import type { BrokerClient } from "#edge/mqtt/connection";
import { reasons, type Connect } from "#edge/mqtt/packet";
import { sessionName } from "#edge/mqtt/stored";
import type { SocketPeer } from "#edge/mqtt/sockets";

export interface AdmissionParts {
  readonly access: Access;
  readonly peers: WeakMap<object, SocketPeer>;
  readonly log: Logger;
  readonly seldom: RateLimitedLog;
}

/** Why a client may not connect. */
export interface Refusal {
  /** of MQTT 5; see `returnCodeOf` for MQTT 3 */
  readonly reason: number;
  /** for the log */
  readonly problem: string;
}

/**
 * Characters of a client id. Servers must allow 23 and may allow more (section 3.1.3.1); each session keeps its id in
 * memory and on disk with each of its messages.
 */
const longestClientId = 256;

/** The identity of a client for topic rules and logs: without a user until it is authenticated. */
export function identify(client: BrokerClient): ClientIdentity {
  return client.identity ?? { user: undefined, clientId: client.id };
}

/** What is wrong with a CONNECT, for all clients. */
export function problemOf({ clientId, clean, version, properties }: Connect): Refusal | undefined {
  // MQTT 3.1 requires a client id always, 3.1.1 for a persistent session (section 3.1.3.1); 5 never.
  const hasId = clientId !== "" || version === 5 || (clean && version === 4);
  if (!hasId || clientId.length > longestClientId)
    return { reason: reasons.badClientId, problem: "client id is missing or too long" };
  if (properties.authenticationMethod !== undefined)
    return { reason: reasons.badAuthenticationMethod, problem: "enhanced authentication is not supported" };
  return undefined;
}

/** Sets identity and session name of a client. @returns why it may not connect, undefined when it may */
export async function admit(
  parts: AdmissionParts,
  client: BrokerClient,
  connect: Connect & { readonly clientId: string },
): Promise<Refusal | undefined> {
  const { access, peers, log } = parts;
  const { clientId, username: user, password, will } = connect;
  const { certificateName, address } = peers.get(client.conn) ?? {};
  try {
    const attempt = { address, isClosed: () => client.isClosed };
    const admission = await access.admit({ user, password, certificateName }, attempt);
    if (!admission.ok) {
      const reason = admission.isBusy ? reasons.serverBusy : reasons.notAuthorized;
      return { reason, problem: admission.problem };
    }
    const identity = { user: admission.user, clientId };
    // Another user with the same client id does not take it over.
    client.id = sessionName(admission.user, clientId);
    client.identity = identity;
    if (will && !access.mayPublish(identity, will.topic ?? ""))
      return { reason: reasons.notAuthorized, problem: "the topic of its will is not allowed" };
    return undefined;
  } catch (error) {
    log.warn("cannot authenticate an MQTT client", { client: clientId, error: describeError(error) });
    return { reason: reasons.notAuthorized, problem: "authentication failed" };
  }
}

export function logRefused(
  { peers, seldom }: AdmissionParts,
  client: BrokerClient,
  { connect, refusal }: { readonly connect: Connect; readonly refusal: Refusal },
): void {
  const address = peers.get(client.conn)?.address;
  const { clientId, username: user } = connect;
  const fields = { client: clientId.slice(0, longestClientId), user, address, problem: refusal.problem };
  seldom.warn("refused an MQTT client", fields, `${address} ${fields.client}`);
}
