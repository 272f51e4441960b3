export type { MapperInfo } from "./mapper-info.ts";
export { Mappers, type MapperData } from "./mappers.ts";
