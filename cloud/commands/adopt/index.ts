/**
 * A database of the cloud has a name, told to the nodes, and a node that knows another one keeps what it has until an
 * operator adopts the cloud for it. Here is the name, the operator's command, and how the node is sent.
 */
export { adoptOperation } from "./adopt-command.ts";
export { startAdoption, type Adoption, type AdoptionPort } from "./adoption.ts";
