export { admitRules } from "./admission.ts";
