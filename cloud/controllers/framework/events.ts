import { objectAt, resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import { apiVersionOf, type Event, type KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";

/** Type, reason and message, as `kubectl describe` shows them. */
export type EventText = Pick<Event, "type" | "reason" | "message">;

export interface EventDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Characters that Kubernetes allows in the message of an Event. */
const longestMessage = 1024;

/** A v1 Event about `object`, an instance of `type`; `component` is its source, e.g. "deployment-controller". */
export function newEvent(
  type: ResourceType,
  object: KubeObject,
  text: EventText & { readonly component: string },
  nowMs: number,
): Event {
  const { name = "", namespace = "default", uid, resourceVersion } = object.metadata;
  const { component, message, ...rest } = text;
  const now = rfc3339(nowMs);
  return {
    apiVersion: "v1",
    kind: "Event",
    // Unique without a counter, as client-go's use of nanoseconds.
    metadata: { name: `${name}.${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`, namespace },
    involvedObject: {
      apiVersion: apiVersionOf(type),
      kind: type.kind,
      ...objectAt(object),
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
    },
    ...rest,
    message: message.slice(0, longestMessage),
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
    source: { component },
    reportingComponent: component,
    reportingInstance: "",
  };
}

/** Creates an Event about `object`. Events are best effort: a failure is logged and nothing else. */
export async function recordEvent(
  deps: EventDeps,
  type: ResourceType,
  object: KubeObject,
  text: EventText & { readonly component: string },
): Promise<void> {
  try {
    await deps.kube.create(resources.events, newEvent(type, object, text, deps.clock.nowMs()));
  } catch (error) {
    const { name = "" } = object.metadata;
    deps.log.warn("event not recorded", { reason: text.reason, object: name, error: asError(error) });
  }
}
