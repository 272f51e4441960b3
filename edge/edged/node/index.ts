export { readAddress, readLoad, readMachine, type Machine, type MachineLoad } from "./machine.ts";
export {
  newNode,
  nodeLabels,
  nodeResources,
  nodeStatus,
  type NodeInput,
  type NodeWanted,
} from "./node-status.ts";
export { isInUse } from "./in-use.ts";
