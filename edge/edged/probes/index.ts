export { Prober, probeTargets } from "./prober.ts";
export { httpGet } from "./run-probe.ts";
