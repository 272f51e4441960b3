export { NodeAgent, type LinkChange, type NodeAgentConfig } from "./agent.ts";
export { readAddress, readLoad, readMachine } from "./machine.ts";
export { nodeResources } from "./status.ts";
