import { resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import type { Event, KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";

export interface EventText {
  readonly type: Event["type"];
  readonly reason: string;
  readonly message: string;
  /** Who tells it, e.g. "deployment-controller". */
  readonly component: string;
}

export interface EventDeps {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

let sequence = 0;

/**
 * Tells about `object` (an instance of `type`) as a v1 Event. Nobody waits for it: when it cannot be stored that is
 * logged and nothing else.
 */
export async function recordEvent(
  deps: EventDeps,
  type: ResourceType,
  object: KubeObject,
  text: EventText,
): Promise<void> {
  const now = rfc3339(deps.clock.nowMs());
  const { name = "", namespace = "default", uid, resourceVersion } = object.metadata;
  sequence = (sequence + 1) % 1_000_000;
  const suffix = (BigInt(Math.trunc(deps.clock.nowMs())) * 1_000_000n + BigInt(sequence)).toString(16);
  const event: Event = {
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${suffix}`, namespace },
    involvedObject: {
      apiVersion: type.group === "" ? type.version : `${type.group}/${type.version}`,
      kind: type.kind,
      name,
      ...(type.namespaced && { namespace }),
      ...(uid !== undefined && { uid }),
      ...(resourceVersion !== undefined && { resourceVersion }),
    },
    reason: text.reason,
    message: text.message.slice(0, 1024),
    type: text.type,
    count: 1,
    firstTimestamp: now,
    lastTimestamp: now,
    source: { component: text.component },
    reportingComponent: text.component,
    reportingInstance: "",
  };
  try {
    await deps.kube.create(resources.events, event);
  } catch (error) {
    deps.log.warn("event not recorded", { reason: text.reason, object: name, error: asError(error) });
  }
}
