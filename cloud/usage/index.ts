import type { ExtraResource } from "#cloud/kube-api/http";
import type { KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { running, type Running } from "#shared/lifecycle";
import { RateLimitedLog, type Logger } from "#shared/log";
import { metricsEndpoints } from "./endpoints.ts";
import { NodeUsage } from "./node-usage.ts";
import type { UsagePort } from "./port.ts";

export { CloudFigures } from "./figures.ts";
export type { UsagePort } from "./port.ts";

export interface UsageParts {
  readonly port: UsagePort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface CloudUsage extends Running {
  /** metrics.k8s.io, for the embedded API. */
  readonly apiEndpoints: readonly ExtraResource[];
}

/** What nodes and pods use, asked from the nodes when somebody wants to know: the part of metrics-server. */
export async function startUsage({ port, kube, clock, log }: UsageParts): Promise<CloudUsage> {
  await using stack = new AsyncDisposableStack();
  const usage = stack.use(new NodeUsage({ port, clock, log: new RateLimitedLog(log, clock) }));
  return { ...running("usage", stack.move()), apiEndpoints: metricsEndpoints({ kube, usage }) };
}
