import { join } from "node:path";
import type { ContainerStatus } from "#shared/kube";
import { PodRefusal } from "#shared/pod-streams";
import { logContainerOf } from "#internal/edge/edged/streams/log-container.ts";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";

runScenarios(join(import.meta.dir, "scenarios"), () => ({
  container: ({ input: [status], options }) => {
    const found = { name: "main", ...(status as object) } as ContainerStatus;
    const container = options.get("name") ?? "main";
    const previous = options.has("previous");
    try {
      return logContainerOf({ containerStatuses: [found] }, { podName: "web", container, previous });
    } catch (error) {
      if (error instanceof PodRefusal) return `${error.httpStatus} ${error.message}`;
      throw error;
    }
  },
}));
