export { commit, version } from "./version.ts";
