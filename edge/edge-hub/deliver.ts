import {
  decodeObjectDelivery,
  decodeServiceDelivery,
  decodeTwinDelivery,
  decodeUserDelivery,
  encodeServiceReply,
  type CloudMessage,
  type Stamp,
} from "#edge/edge-hub/codec";
import type { Logger } from "#shared/log";
import type { Delivery, ServiceReply } from "#shared/topics";
import type { ModuleReceiver } from "./dispatch.ts";
import type { EdgeHubPort } from "./port.ts";

const notTaken: Delivery = { ack: false };

export interface DeliverParts {
  readonly port: EdgeHubPort;
  readonly log: Logger;
  readonly stamp: Stamp;
  readonly send: (frame: string) => void;
  /** Whether the cloud waits until commands of rules are confirmed; that of KubeEdge does not. */
  readonly confirms: () => boolean;
}

/** Asks the module that a message of the cloud is for. What no module can read is logged and not acknowledged. */
export async function deliver(
  parts: DeliverParts,
  receiver: ModuleReceiver,
  message: CloudMessage,
): Promise<Delivery> {
  const { port, log, confirms } = parts;
  const { subject: resource } = message;
  switch (receiver) {
    case "object": {
      const object = decodeObjectDelivery(message);
      if (object) return port.ask("object.deliver", object);
      log.warn("dropped a message without an object that can be read", { resource });
      return notTaken;
    }
    case "twin": {
      const twin = decodeTwinDelivery(message);
      return twin ? port.ask("twin.deliver", twin) : notTaken;
    }
    case "user": {
      const command = decodeUserDelivery(message);
      if (command) await port.ask("user.deliver", command);
      else log.debug("dropped a message of group user with an unknown operation", { resource });
      return { ack: confirms() && command !== undefined };
    }
    case "service":
      return deliverToServices(parts, message);
  }
}

async function deliverToServices(
  { port, stamp, send, confirms }: DeliverParts,
  message: CloudMessage,
): Promise<Delivery> {
  const delivery = decodeServiceDelivery(message);
  if (!delivery) {
    send(encodeServiceReply(stamp, message, unreadable));
    return notTaken;
  }
  const reply = await port.ask("service.deliver", delivery);
  if (reply) send(encodeServiceReply(stamp, message, reply));
  return { ack: reply === undefined && confirms() };
}

const unreadable: ServiceReply = {
  status: 400,
  headers: [["content-type", "application/json"]],
  body: new TextEncoder().encode('{"reason":"the node cannot read the message as a call of a server"}'),
};
