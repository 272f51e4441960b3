export type { CloudCatalog } from "./cloud-catalog.ts";
export type { AckedObject, DeliveredObject, ObjectDelivery } from "./deliveries.ts";
export type { Desired, DesiredConflict, LocalDesiredValue, LocalDesiredValues } from "./desired-values.ts";
export type {
  DeviceMember,
  DevicePlace,
  DeviceStatusReport,
  DiscoveredDevice,
  RuleStatusReport,
  HistoryAnswer,
  HistoryQuestion,
  MembershipDelivery,
  ReportedTwin,
  StateReport,
  TwinsReport,
} from "./device-reports.ts";
export type {
  CloudDatabase,
  DeviceName,
  EdgeCatalog,
  MqttMessage,
  ObjectChange,
  PodName,
  PodVerdict,
  StoredObject,
} from "./edge-catalog.ts";
export type {
  Delivery,
  DeviceValuesReported,
  JsonBody,
  ReceivedObject,
  ObjectName,
  ServiceDelivery,
  TwinDelivery,
  UserDelivery,
} from "./edge-deliveries.ts";
export type {
  ApiAnswer,
  DesiredChange,
  DesiredRequest,
  LeaseRequest,
  DriverReport,
  MapperReport,
  MembersRequest,
  MirrorRequest,
  NodeObjectRequest,
  ObjectRequest,
  PodRequest,
  RefusedValue,
  ReportedProperty,
  RequestDeadline,
  TargetAnswer,
  TargetCall,
  TokenOfPodAnswer,
  TokenOfPodRequest,
} from "./edge-requests.ts";
export type { NodeAnswer, NodeRequest, NodeResource, NodeVerb } from "./node-requests.ts";
export type { HeaderFields, RuleCommand, ServiceCall, ServiceReply, TargetRequest } from "./service-calls.ts";
export type { DeviceUpload } from "./uploads.ts";
