import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { AppError } from "#shared/errors";
import { openLibc } from "#shared/libc";

/** Of Linux, the same on all machines that the programs are built for. */
const linux = { unix: 1, datagram: 2, closeOnExec: 0o2_000_000, doNotWait: 0x40, noSignal: 0x4000 } as const;
const functions = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
} as const;
/** `sun_path` of unix(7). */
const mostPathBytes = 107;

/**
 * Sends one datagram to a Unix socket, which neither Node nor Bun has a function for. `path`: of the file system, or with "@" in
 * place of the zero byte of the abstract namespace. @throws AppError
 */
export function sendDatagram(path: string, text: string): void {
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > mostPathBytes) throw new AppError("datagram", `Path of a socket is too long: ${path}`);
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(linux.unix, 0);
  name.copy(address, 2);
  const libc = openLibc(functions);
  const socket = libc.symbols.socket(linux.unix, linux.datagram | linux.closeOnExec, 0);
  try {
    if (socket < 0) throw new AppError("datagram", "Cannot make a Unix socket");
    const bytes = Buffer.from(text);
    const flags = linux.doNotWait | linux.noSignal;
    const sent = libc.symbols.sendto(socket, ptr(bytes), bytes.length, flags, ptr(address), address.length);
    if (Number(sent) !== bytes.length) throw new AppError("datagram", `Cannot send to ${path}`);
  } finally {
    if (socket >= 0) closeSync(socket);
    libc.close();
  }
}
