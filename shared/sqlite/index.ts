export {
  findDamage,
  isDamage,
  openDatabase,
  sqliteCode,
  userVersion,
  type DatabaseSettings,
} from "./database.ts";
export { migrateDatabase, newerFormat, type DatabaseFormat } from "./format.ts";
export { openExpendableDatabase } from "./expendable.ts";
