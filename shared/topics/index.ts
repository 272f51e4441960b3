export type {
  AckedObject,
  CloudCatalog,
  DeliveredObject,
  DevicePlace,
  NodeMessage,
} from "./cloud-catalog.ts";
export type {
  CloudDatabase,
  EdgeCatalog,
  MqttMessage,
  ObjectChange,
  PodName,
  PodVerdict,
} from "./edge-catalog.ts";
export type {
  Delivery,
  JsonBody,
  ObjectDelivery,
  ObjectName,
  TwinDelivery,
  UserDelivery,
} from "./edge-deliveries.ts";
export type {
  ApiAnswer,
  LeaseRequest,
  MembersRequest,
  NodeRequest,
  ObjectRequest,
  PodRequest,
  RequestDeadline,
  TokenOfPodAnswer,
  TokenOfPodRequest,
} from "./edge-requests.ts";
