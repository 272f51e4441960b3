export {
  encodeAck,
  encodePublish,
  encodePublishHead,
  encodeRefusal,
  encodeSuback,
  type AckKind,
  type Publication,
} from "./encode.ts";
export type {
  BrokerPacket,
  Inbound,
  Publish,
  QoS,
  PublishRelease,
  Subscribe,
  Subscription,
  Unsubscribe,
} from "./packets.ts";
export { lowerQos, parseQos } from "./packets.ts";
