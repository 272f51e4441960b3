import {
  cloudMessage,
  decodeObjectDelivery,
  decodeTwinDelivery,
  decodeUserDelivery,
  type CloudMessage,
  type RequestCodec,
} from "#edge/edge-hub/codec";
import type { ReceivedObject, TwinDelivery, UserDelivery } from "#shared/topics";
import { newMessage, type NewMessage, type WireMessage } from "#shared/wire";

const stamp = { id: () => crypto.randomUUID(), nowMs: () => 1 };

/** A cloud that answers messages. */
export type MessageCloud = (message: NewMessage) => WireMessage | Promise<WireMessage>;

/** Asks a cloud that knows messages alone, as edgehub does for a module. */
export function overTheWire<Request, Reply>(
  { encode, decode }: RequestCodec<Request, Reply>,
  cloud: MessageCloud,
): (request: Request) => Promise<Reply> {
  return async (request) => decode(cloudMessage(await cloud(encode(request, stamp.nowMs()))), request);
}

type Parts = Pick<NewMessage, "operation" | "resource" | "content"> & { readonly source?: string };

/** What edgehub makes of an object that the cloud sends. */
export function objectFrom(parts: Parts): ReceivedObject {
  return required(decodeObjectDelivery(messageOf("resource", { source: "edgecontroller", ...parts })));
}

export function twinFrom(parts: Parts): TwinDelivery {
  return required(decodeTwinDelivery(messageOf("twin", { source: "devicecontroller", ...parts })));
}

export function userFrom(parts: Parts): UserDelivery {
  return required(decodeUserDelivery(messageOf("user", { source: "router", ...parts })));
}

function messageOf(group: string, parts: Parts): CloudMessage {
  return cloudMessage(newMessage(stamp, { source: "", group, ...parts }));
}

function required<T>(delivery: T | undefined): T {
  if (delivery === undefined) throw new Error("the message is none that a module gets");
  return delivery;
}
