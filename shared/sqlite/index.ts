export {
  findDamage,
  isDamage,
  openDatabase,
  sqliteCode,
  userVersion,
  type DatabaseSettings,
} from "./database.ts";
