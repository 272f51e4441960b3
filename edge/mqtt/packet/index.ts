export {
  encodeAck,
  encodeConnack,
  encodeDisconnect,
  encodePublish,
  encodePublishHead,
  encodeSuback,
  encodeUnsuback,
  type AckKind,
  type ConnackProperties,
  type Publication,
  type PublicationProperties,
} from "./encode.ts";
export { PacketStream } from "./framing.ts";
export type {
  Acknowledgement,
  BrokerPacket,
  Connect,
  Disconnect,
  Inbound,
  Publish,
  PublishRelease,
  QoS,
  RequestedSubscription,
  RetainHandling,
  Subscribe,
  Subscription,
  Unsubscribe,
  Version,
  Will,
} from "./packets.ts";
export { lowerQos, parseQos } from "./packets.ts";
export { encodeIdentifiers } from "./properties.ts";
export { PacketError, reasons } from "./reasons.ts";
export { isTopicName, parseShared } from "./topics.ts";
