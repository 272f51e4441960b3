/** Which objects a list or watch is of: `labelSelector` and `fieldSelector`. */
export { selectAmong } from "./select-among.ts";
export {
  everything,
  fragmentsOf,
  matchesFields,
  needsShown,
  parseFieldSelector,
  requireLabelSelector,
  selects,
  type Selection,
} from "./selectors.ts";
