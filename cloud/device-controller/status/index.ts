/** What nodes report of devices, on its way into their status. */
export { hasStaleTwins, nothingNew, reportOf, stateUnknown } from "./reports.ts";
export { watchStatusLag } from "./status-lag.ts";
export { StatusWriter, type StatusFigures } from "./status-writer.ts";
