import type { ContainerState, PodStatus } from "#shared/kube";
import type { ContainerDetails } from "#edge/runtime";

/** What the status of a pod tells of a container that the engine may have lost. */
export interface KnownRuns {
  readonly restarts: number;
  /** How its last run ended, or that nobody knows; empty when it never ran. */
  readonly lastEnd: ContainerState;
  /** As reported: how the run before the last one ended. */
  readonly lastState: ContainerState;
}

/** kubelet's words for a run that somebody else has removed from the engine. */
const lost: ContainerState = {
  terminated: {
    exitCode: 137,
    reason: "ContainerStatusUnknown",
    message:
      "The container could not be located when the pod was terminated.  The container used to be Running",
  },
};

/** The runs of a container that the status shows. */
export function knownRuns(status: PodStatus | undefined, name: string): KnownRuns {
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const known = all.find((one) => one.name === name);
  const { state = {}, lastState = {}, restartCount = 0 } = known ?? {};
  const lastEnd = state.terminated ? state : state.running ? lost : lastState;
  return { restarts: restartCount, lastEnd, lastState };
}

/** The number of the next run: never less than what was reported, also where containers were removed from the engine. */
export function nextAttempt(known: KnownRuns, latest: ContainerDetails | undefined): number {
  const ofStatus = known.lastEnd.terminated ? known.restarts + 1 : known.restarts;
  return Math.max(ofStatus, latest ? latest.identity.attempt + 1 : 0);
}
