import type { KubeObject } from "#shared/kube";
import { recordOf } from "#shared/json";
import { resources, type KubeClient } from "./kube-client.ts";

/** As `spec` of a SubjectAccessReview. */
export interface AccessQuestion {
  readonly user: string;
  readonly groups: readonly string[];
  readonly uid?: string;
  readonly extra?: unknown;
  readonly resourceAttributes: Readonly<Record<string, string>>;
}

/** Asks the API whether a user may do something. @throws UnavailableError or KubeError when the API cannot say */
export async function isAllowed(kube: KubeClient, spec: AccessQuestion): Promise<boolean> {
  const review = await kube.create<KubeObject>(resources.subjectAccessReviews, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    metadata: {},
    spec,
  });
  return recordOf(review["status"])["allowed"] === true;
}
