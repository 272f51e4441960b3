export { Prober, probeTargets, type FailedProbe } from "./prober.ts";
export { httpGet } from "./run-probe.ts";
