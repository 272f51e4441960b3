/** Reason codes of MQTT 5 (section 2.4). Those from 0x80 on are failures. */
export const reasons = {
  success: 0x00,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  unspecified: 0x80,
  malformed: 0x81,
  protocolError: 0x82,
  implementation: 0x83,
  unsupportedVersion: 0x84,
  badClientId: 0x85,
  badUserOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  shuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  takenOver: 0x8e,
  filterInvalid: 0x8f,
  topicInvalid: 0x90,
  unknownMessageId: 0x92,
  receiveMaximum: 0x93,
  aliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
} as const;

/** Return codes of a CONNACK of MQTT 3.1 and 3.1.1 (section 3.2.2.3) for the reasons of MQTT 5. */
const returnCodes: Readonly<Record<number, number>> = {
  [reasons.success]: 0,
  [reasons.unsupportedVersion]: 1,
  [reasons.badClientId]: 2,
  [reasons.serverUnavailable]: 3,
  [reasons.serverBusy]: 3,
  [reasons.quotaExceeded]: 3,
};
const notAuthorized = 5;

export function returnCodeOf(reason: number): number {
  return returnCodes[reason] ?? notAuthorized;
}

/** A packet that violates MQTT: the connection has to be closed, with this reason if the client speaks MQTT 5. */
export class PacketError extends Error {
  readonly reason: number;

  constructor(problem: string, reason: number = reasons.malformed) {
    super(problem);
    this.name = "PacketError";
    this.reason = reason;
  }
}
