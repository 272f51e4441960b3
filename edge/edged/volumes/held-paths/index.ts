/** Paths that mean one directory or file, whatever containers rename or link meanwhile. */
export { Directory, isErrno, type FileOwner } from "./directory.ts";
export { pinReadOnly } from "./read-only.ts";
export { pinServedSubPath } from "./served-sub-path.ts";
export { pinSubPath, subPathParts, type Pin, type SubPathOptions } from "./sub-path.ts";
