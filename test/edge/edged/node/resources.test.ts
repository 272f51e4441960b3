import { expect, test } from "bun:test";
import { nodeResources, readMachine, type MachineLoad } from "#edge/edged/node";

const GiB = 2 ** 30;
const disk = { capacityBytes: 100 * GiB, availableBytes: GiB };
const load: MachineLoad = {
  memoryBytes: 4 * GiB,
  memoryAvailableBytes: GiB,
  disk,
  processes: 1,
  mostProcesses: 10,
};
const machine = { ...readMachine(), cpus: 4, memoryBytes: 4 * GiB };
const kept = { memoryBytes: 100 * 2 ** 20, diskBytes: 10 * GiB };

test("allocatable is capacity without what is reserved and what eviction keeps free", () => {
  const reserved = [
    { cpu: "200m", memory: "256Mi" },
    { cpu: "50m", "ephemeral-storage": "1Gi" },
  ];
  expect(nodeResources({ machine, load, maxPods: 110, reserved, kept })).toEqual({
    capacity: { cpu: "4", memory: "4194304Ki", pods: "110", "ephemeral-storage": "104857600Ki" },
    allocatable: { cpu: "3750m", memory: "3829760Ki", pods: "110", "ephemeral-storage": String(89 * GiB) },
  });
});

test("allocatable is nothing rather than negative when more is reserved than there is", () => {
  const reserved = [{ cpu: "5", memory: "8Gi", "ephemeral-storage": "1Ti" }];
  const { allocatable } = nodeResources({ machine, load, maxPods: 1, reserved, kept });
  expect(allocatable).toEqual({ cpu: "0", memory: "0Ki", pods: "1", "ephemeral-storage": "0" });
});
