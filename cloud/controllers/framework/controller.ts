import type { KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import type { SharedInformers } from "./shared-informers.ts";

/** The dependencies of a controller; informers are shared, and synced before a controller starts. */
export interface ControllerDeps extends SharedInformers {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Starts a controller; disposing it ends its watches and waits for work under way. */
export type StartController = (deps: ControllerDeps) => AsyncDisposable;
