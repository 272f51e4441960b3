/**
 * The two configuration files. `cloud-fields.ts` and `edge-fields.ts` are the one table each: names, defaults, meanings;
 * `conf/*.yaml`, `--defaultconfig` and docs/configuration.md are written from them. A file that cannot be used is
 * refused with every problem it has; KubeEdge 1.x files are read too.
 */
export {
  cloudDefaults,
  cloudMinimum,
  edgeDefaults,
  edgeMinimum,
  cloudReference,
  edgeReference,
} from "./samples.ts";
export { loadCloudConfig, loadEdgeConfig, readJoinToken, type ConfigPlaces, type Loaded } from "./load.ts";
export type {
  CloudConfig,
  CloudHubConfig,
  EmbeddedConfig,
  KubeAccess,
  Overrides,
  RouterConfig,
  StreamPortConfig,
  TelemetryConfig,
} from "./cloud-config.ts";
export type {
  BrokerConfig,
  EdgeConfig,
  EdgeHubConfig,
  EdgeOverrides,
  ExternalBrokerConfig,
  MetaServerConfig,
  MqttConfig,
  TokenSource,
  ServiceBusConfig,
  TwinConfig,
} from "./edge-config.ts";
export { evictionSignals } from "./edged.ts";
export type { EdgedConfig, EvictionAmounts, EvictionConfig, EvictionSignal } from "./edged.ts";
