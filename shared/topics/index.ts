export type {
  AckedObject,
  CloudCatalog,
  DeliveredObject,
  DevicePlace,
  NodeMessage,
} from "./cloud-catalog.ts";
export type {
  CloudDatabase,
  Delivery,
  EdgeCatalog,
  MqttMessage,
  ObjectChange,
  ObjectName,
  PodName,
  PodVerdict,
} from "./edge-catalog.ts";
