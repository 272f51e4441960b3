/** Mappers for KubeEdge: a driver with four methods for each device; registration, cycles, reports and retries are done here. */
export { runMapper, startMapper } from "./mapper.ts";
export type {
  Driver,
  DriverFactory,
  Mapper,
  MapperDevice,
  MapperOptions,
  MapperProperty,
  Settings,
  Value,
  ValueType,
} from "./driver.ts";
