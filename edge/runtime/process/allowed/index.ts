/** What `edged.processes` allows: who programs run as, and which they are. */
export {
  findProgram,
  isWithin,
  placesOf,
  programOf,
  realPathOrNone,
  usualPath,
  type FoundProgram,
} from "./programs.ts";
export { findPath, readMountPoints, type FoundPath, type MountPoint } from "./paths.ts";
export {
  chooseUser,
  findBarrier,
  ownUser,
  unsteadyParent,
  type ProcessUser,
  type ProcessUsers,
} from "./users.ts";
