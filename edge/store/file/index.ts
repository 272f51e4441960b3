/** The file of the edge's database: opening it, its schema, and what can be wrong with it. */
export {
  explainEdgeDatabase,
  findEdgeDatabaseFault,
  isUnreadable,
  openEdgeDatabase,
  type DatabaseFault,
} from "./database.ts";
export { openSoundEdgeDatabase, type SoundOptions } from "./salvage.ts";
export { findHeldCloud, type HeldCloud } from "./held-cloud.ts";
