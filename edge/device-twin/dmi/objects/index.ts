export { DmiObjects, placeOf, type ChangedKeys } from "./dmi-objects.ts";
