/** The C library, for system calls that Bun has no function for. */
export { openLibc, type Libc } from "./open.ts";
