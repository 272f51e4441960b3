import { quote } from "#shared/errors";
import type { ContainerStatus, PodStatus } from "#shared/kube";
import { refusePod } from "#shared/pod-streams";

/** Reasons of waiting for which kubelet has a text of its own. */
const waitingTexts: Readonly<Record<string, string>> = {
  ErrImagePull: "image can't be pulled",
  ImagePullBackOff: "trying and failing to pull image",
};

export interface LogSubject {
  readonly podName: string;
  readonly container: string;
  readonly previous: boolean;
}

/**
 * Which run of a container has the log that is asked for, as kubelet's `validateContainerLogStatus`.
 * @returns the engine's id
 * @throws PodRefusal in kubelet's words when there is none
 */
export function logContainerOf(status: PodStatus | undefined, subject: LogSubject): string {
  const { podName, container, previous } = subject;
  const which = `container ${quote(container)} in pod ${quote(podName)}`;
  const found = statusOf(status, container);
  if (!found) throw refusePod.badRequest(`${which} is not available`);
  const id = previous ? found.lastState?.terminated?.containerID : runOf(found);
  if (id) return engineId(id);
  if (previous) throw refusePod.badRequest(`previous terminated ${which} not found`);
  throw refusePod.badRequest(`${which} is ${whyNone(found)}`);
}

/** The run that goes on, else the last that has ended. */
function runOf({ state, lastState, containerID }: ContainerStatus): string | undefined {
  return state?.running ? containerID : state?.terminated?.containerID || lastState?.terminated?.containerID;
}

function whyNone({ state }: ContainerStatus): string {
  if (state?.terminated) return "terminated";
  const reason = state?.waiting?.reason;
  if (reason === undefined) return "waiting to start - no logs yet";
  return `waiting to start: ${waitingTexts[reason] ?? reason}`;
}

function statusOf(status: PodStatus | undefined, container: string): ContainerStatus | undefined {
  const {
    containerStatuses = [],
    initContainerStatuses = [],
    ephemeralContainerStatuses = [],
  } = status ?? {};
  const all = [...containerStatuses, ...initContainerStatuses, ...ephemeralContainerStatuses];
  return all.find(({ name }) => name === container);
}

/** Without the engine: "docker://…" */
function engineId(containerId: string): string {
  return containerId.slice(containerId.indexOf("://") + "://".length);
}
