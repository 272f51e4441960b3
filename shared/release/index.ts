export { kubernetesVersion } from "./kubernetes-version.ts";
export { commit, version } from "./version.ts";
