export {
  encodeAnswer,
  encodePublish,
  encodePublishHead,
  encodeRefusal,
  encodeSuback,
  type Answer,
  type Publication,
} from "./encode.ts";
export type {
  BrokerPacket,
  Inbound,
  Publish,
  QoS,
  Release,
  Subscribe,
  Subscription,
  Unsubscribe,
} from "./packets.ts";
