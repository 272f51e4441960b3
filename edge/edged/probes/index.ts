export { httpGet, Prober, probeTargets } from "./prober.ts";
