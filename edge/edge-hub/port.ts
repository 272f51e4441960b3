import type { Port } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";

/** The topics of edgehub. */
export type EdgeHubPort = Port<
  EdgeCatalog,
  "link.changed",
  | "object.deliver"
  | "twin.deliver"
  | "user.deliver"
  | "service.stream"
  | "pod.list"
  | "pod.stream"
  | "usage.stream"
  | "image.stream"
  | "service.deliver",
  "outbox.added",
  | "cloud.object"
  | "cloud.pod"
  | "cloud.mirror"
  | "cloud.token"
  | "cloud.node"
  | "cloud.lease"
  | "cloud.desired"
  | "cloud.members"
  | "cloud.stream"
  | "cloud.target"
>;
