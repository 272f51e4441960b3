/** The nodes that rules are about, and the rules on them. */
export { NodeDirectory } from "./node-directory.ts";
export { RuleDeliveries, type RuleDeliveryPort } from "./rule-deliveries.ts";
