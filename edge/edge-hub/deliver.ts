import {
  decodeObjectDelivery,
  decodeTwinDelivery,
  decodeUserDelivery,
  type CloudMessage,
} from "#edge/edge-hub/codec";
import type { Logger } from "#shared/log";
import type { Delivery } from "#shared/topics";
import type { ModuleReceiver } from "./dispatch.ts";
import type { EdgeHubPort } from "./port.ts";

const notTaken: Delivery = { ack: false };

/** Asks the module that a message of the cloud is for. What no module can read is logged and not acknowledged. */
export async function deliver(
  { port, log }: { readonly port: EdgeHubPort; readonly log: Logger },
  receiver: ModuleReceiver,
  message: CloudMessage,
): Promise<Delivery> {
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
      return notTaken;
    }
  }
}
