export { startOwnMappers, type OwnMapperParts } from "./own-mappers.ts";
