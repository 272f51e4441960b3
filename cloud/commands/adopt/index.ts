/**
 * Nodes know the name of the cloud's database. A node that is offered another one keeps what it has and rejects the cloud
 * until an operator adopts it. Here are the name, the operator's command, and the request to the node.
 */
export { adoptNodesOperation } from "./adopt-command.ts";
export { startAdoption, type Adoption, type AdoptionPort } from "./adoption.ts";
