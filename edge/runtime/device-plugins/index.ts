/** Kubernetes' device plugin API v1beta1, over gRPC. */
export {
  loadPluginApi,
  type AllocatedContainer,
  type PluginApi,
  type PluginClient,
  type PluginDevice,
  type PluginOptions,
  type Registration,
} from "./plugin-api.ts";
