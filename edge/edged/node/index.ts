export { NodeAgent, type LinkChange, type NodeAgentConfig } from "./agent.ts";
export { readAddress, readLoad, readMachine } from "./machine.ts";
export type { Machine, MachineLoad } from "./machine.ts";
export { nodeResources, type NodeResources } from "./resources.ts";
