import { readDefinition, type Definition } from "#shared/grpc";
import v1alpha1 from "./v1alpha1.proto.txt" with { type: "text" };
import v1beta1 from "./v1beta1.proto.txt" with { type: "text" };

/** The versions of the device mapper interface: of KubeEdge 1.12 to 1.14, and later. */
export type DmiVersion = "v1alpha1" | "v1beta1";

/** What a version defines: read it once. */
export function readDmi(version: DmiVersion): Definition {
  return readDefinition(version === "v1alpha1" ? v1alpha1 : v1beta1);
}
