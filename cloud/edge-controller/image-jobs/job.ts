import type { PulledImage } from "#shared/image-jobs";
import { asText, recordOf } from "#shared/json";
import {
  edgeNodeLabel,
  matchesLabelSelector,
  type KubeObject,
  type LabelSelector,
  type Node,
} from "#shared/kube";

/** operations.kubeedge.io/v1alpha1, as KubeEdge declares it from 1.16 on. */
export interface ImagePrePullJob extends KubeObject {
  spec?: { imagePrePullTemplate?: ImagePrePullTemplate };
  status?: ImagePrePullStatus;
}

interface ImagePrePullTemplate {
  images?: string[];
  nodeNames?: string[];
  labelSelector?: LabelSelector;
  checkItems?: string[];
  failureTolerate?: string;
  concurrency?: number;
  timeoutSeconds?: number;
  /** `<namespace>/<name>` */
  imageSecrets?: string;
  retryTimes?: number;
}

export type JobState = "Init" | "Checking" | "Pulling" | "Successful" | "Failed";

/** What KubeEdge shows of a job, and of a node of it. */
interface TaskStatus {
  state?: JobState;
  event?: string;
  action?: "Success" | "Failure";
  reason?: string;
  time?: string;
}

export interface NodeStatus {
  nodeStatus: TaskStatus & { nodeName: string };
  imageStatus?: PulledImage[];
}

export interface ImagePrePullStatus extends TaskStatus {
  status?: NodeStatus[];
}

/** A job as it is carried out. */
export interface JobPlan {
  readonly images: readonly string[];
  readonly checkItems: readonly string[];
  readonly retryTimes: number;
  readonly concurrency: number;
  readonly timeoutMs: number;
  /** Share of the nodes that may fail. */
  readonly tolerance: number;
  readonly secret: { readonly namespace: string; readonly name: string } | undefined;
}

export type ReadJob =
  { readonly ok: true; readonly plan: JobPlan } | { readonly ok: false; readonly reason: string };

/** KubeEdge's defaults. */
const usualTimeoutSeconds = 300;
const usualTolerance = 0.1;

/** What is to be done for a job, or why nothing can be. */
export function readJob({ spec }: ImagePrePullJob): ReadJob {
  const template = spec?.imagePrePullTemplate ?? {};
  const reason = findFault(template);
  if (reason !== undefined) return { ok: false, reason };
  const { images = [], checkItems = [], imageSecrets, retryTimes = 0, concurrency = 1 } = template;
  return {
    ok: true,
    plan: {
      images,
      checkItems,
      retryTimes: Math.max(0, retryTimes),
      concurrency: Math.max(1, concurrency),
      timeoutMs: (template.timeoutSeconds || usualTimeoutSeconds) * 1000,
      tolerance: toleranceOf(template),
      secret: secretOf(imageSecrets),
    },
  };
}

function findFault(template: ImagePrePullTemplate): string | undefined {
  const { images = [], nodeNames = [], labelSelector, imageSecrets = "" } = template;
  const tolerance = toleranceOf(template);
  if (images.length === 0) return "there are no images";
  if (nodeNames.length > 0 === (labelSelector !== undefined))
    return "expected either nodeNames or labelSelector";
  if (imageSecrets !== "" && !secretOf(imageSecrets))
    return "imageSecrets: expected {namespace}/{secretName}";
  if (!(tolerance >= 0 && tolerance <= 1)) return "failureTolerate: expected a number from 0 to 1";
  return undefined;
}

function toleranceOf({ failureTolerate = "" }: ImagePrePullTemplate): number {
  return failureTolerate === "" ? usualTolerance : Number(failureTolerate);
}

function secretOf(text = ""): JobPlan["secret"] {
  const [, namespace, name] = /^([^/]+)\/([^/]+)$/.exec(text) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/** Names of the nodes of a job; those that are named need not be there yet. */
export function nodesOf({ spec }: ImagePrePullJob, nodes: readonly Node[]): string[] {
  const { nodeNames = [], labelSelector } = spec?.imagePrePullTemplate ?? {};
  if (nodeNames.length > 0) return [...new Set(nodeNames)];
  return nodes
    .filter(({ metadata: { labels = {} } }) => Object.hasOwn(labels, edgeNodeLabel))
    .filter(({ metadata: { labels = {} } }) => matchesLabelSelector(labelSelector, labels))
    .flatMap(({ metadata: { name = "" } }) => (name === "" ? [] : [name]))
    .sort();
}

export function isOver(state: string | undefined): boolean {
  return state === "Successful" || state === "Failed";
}

/** The docker config of a Secret; undefined when it has none. */
export function dockerConfigOf(secret: KubeObject): string | undefined {
  const data = recordOf(secret["data"]);
  const encoded = asText(data[".dockerconfigjson"]) || asText(data[".dockercfg"]);
  return encoded === "" ? undefined : Buffer.from(encoded, "base64").toString();
}
