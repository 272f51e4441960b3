export {
  readDeviceRule,
  type RuleAction,
  type RuleCondition,
  type DeviceRuleMeaning,
  type RuleProblem,
} from "./read-device-rule.ts";
