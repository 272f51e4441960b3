export { openDockerRuntime, type DockerRuntimeOptions } from "./runtime.ts";
