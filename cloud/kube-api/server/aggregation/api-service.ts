import { childOf, itemsOf, metadataOf, numberOf, textOf, type JsonObject } from "#shared/json";

/** A version of an API group that another server serves, as discovery shows it. */
export interface AggregatedVersion {
  readonly group: string;
  readonly version: string;
  readonly groupPriority: number;
  readonly versionPriority: number;
  readonly isAvailable: boolean;
  /** Of its `APIResourceList`, as last seen. */
  readonly resources: readonly JsonObject[];
  /** Names the OpenAPI v3 document of it; undefined without one. */
  readonly openApiHash: string | undefined;
}

/** An APIService that names a Service. */
export interface ApiService {
  readonly name: string;
  readonly uid: string;
  readonly group: string;
  readonly version: string;
  readonly groupPriority: number;
  readonly versionPriority: number;
  /** namespace, name and port */
  readonly service: JsonObject;
  /** `<namespace>/<name>` of it */
  readonly serviceKey: string;
  readonly ca: string | undefined;
  readonly insecure: boolean;
}

/** Undefined for one that this API serves itself. */
export function readApiService(object: JsonObject): ApiService | undefined {
  const spec = childOf(object, "spec");
  const service = childOf(spec, "service");
  if (!service) return undefined;
  const bundle = textOf(spec, "caBundle");
  const metadata = metadataOf(object);
  return {
    name: textOf(metadata, "name"),
    uid: textOf(metadata, "uid"),
    group: textOf(spec, "group"),
    version: textOf(spec, "version"),
    groupPriority: numberOf(spec, "groupPriorityMinimum") ?? 0,
    versionPriority: numberOf(spec, "versionPriority") ?? 0,
    service,
    serviceKey: `${textOf(service, "namespace")}/${textOf(service, "name")}`,
    ca: bundle === "" ? undefined : Buffer.from(bundle, "base64").toString("utf8"),
    insecure: spec?.["insecureSkipTLSVerify"] === true,
  };
}

/** Why a server is available or not, as the condition `Available` says it. */
export interface Verdict {
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
}

export const local: Verdict = {
  status: "True",
  reason: "Local",
  message: "Local APIServices are always available",
};

/** The conditions with a verdict; undefined when they say it already. */
export function withVerdict(
  object: JsonObject,
  { status, reason, message }: Verdict,
  now: string,
): JsonObject[] | undefined {
  const conditions = itemsOf(childOf(object, "status"), "conditions");
  const was = conditions.find(({ type }) => type === "Available");
  if (was?.["status"] === status && was["reason"] === reason && was["message"] === message) return undefined;
  const lastTransitionTime = was?.["status"] === status ? (was["lastTransitionTime"] ?? now) : now;
  const others = conditions.filter(({ type }) => type !== "Available");
  return [...others, { type: "Available", status, reason, message, lastTransitionTime }];
}
