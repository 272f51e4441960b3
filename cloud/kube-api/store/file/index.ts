/** The database file of the store: opened, read through, damaged rows found, Secrets encrypted. */
export { isExpendable, moveAside, nameOf, type DamagedRow } from "./damage.ts";
export { explainDatabase, openRevisionDatabase } from "./database.ts";
export { addKey, pruneKeys, readKeyRing } from "./key-ring.ts";
export {
  damagedSettings,
  loadDatabase,
  reservedName,
  saveSetting,
  scan,
  sealedWith,
  settingOf,
  usedKeys,
  type LoadedDatabase,
} from "./load.ts";
export { byText, ResourceIndex } from "./resource-index.ts";
export { openKeyRing, Sealing, type RowPlace } from "./sealing.ts";
