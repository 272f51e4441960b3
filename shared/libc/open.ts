import { dlopen, type FFIFunction } from "bun:ffi";

/** glibc, and musl of either architecture. */
const libraries = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"] as const;

/** The C library of this machine with these functions of it. */
export type Libc<Functions extends Record<string, FFIFunction>> = ReturnType<typeof dlopen<Functions>>;

/** For system calls that Bun has no function for. @throws Error when there is none of the C libraries known here */
export function openLibc<const Functions extends Record<string, FFIFunction>>(
  functions: Functions,
): Libc<Functions> {
  const errors: unknown[] = [];
  for (const name of libraries)
    try {
      return dlopen(name, functions);
    } catch (error) {
      errors.push(error);
    }
  throw new AggregateError(errors, "found no C library");
}
