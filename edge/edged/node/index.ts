export { NodeAgent, type LinkChange, type NodeAgentConfig } from "./agent.ts";
export { isInUse } from "./in-use.ts";
export { readAddress, readLoad, readMachine } from "./machine.ts";
export { nodeResources } from "./status.ts";
