/**
 * The program that holds a pod's namespaces, as bytes: it blocks SIGTERM and SIGINT, waits for one of them and
 * exits 0. Blocking them is what makes them reach a process that is the first of its PID namespace. No libc, no
 * loader: the file is an ELF header, one program header and these instructions.
 */
const programs = {
  // rt_sigprocmask(BLOCK, {INT,TERM}); do rt_sigtimedwait while negative; exit_group(0)
  amd64: {
    machine: 0x3e,
    code:
      "b80e00000031ff488d353200000031d241ba080000000f05b88000000048" +
      "8d3d1c00000031f631d241ba080000000f0585c078e431ffb8e70000000f" +
      "050f1f000240000000000000",
  },
  arm64: {
    machine: 0xb7,
    code:
      "e81080d2000080d2c1010010020080d2030180d2010000d4281180d22001" +
      "0010010080d2020080d2030180d2010000d440ffffb7000080d2c80b80d2" +
      "010000d40240000000000000",
  },
} as const;

export type PauseArchitecture = keyof typeof programs;

export const pauseImageName = "kubeedge.local/pause:1";

const baseAddress = 0x400000n;
const headerBytes = 64;
const programHeaderBytes = 56;

/** The executable for one architecture. */
export function pauseProgram(architecture: PauseArchitecture): Uint8Array {
  const { machine, code } = programs[architecture];
  const text = Buffer.from(code, "hex");
  const start = headerBytes + programHeaderBytes;
  const file = Buffer.alloc(start + text.length);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0);
  file.writeUInt16LE(2, 16); // ET_EXEC
  file.writeUInt16LE(machine, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(baseAddress + BigInt(start), 24);
  file.writeBigUInt64LE(BigInt(headerBytes), 32);
  file.writeUInt16LE(headerBytes, 52);
  file.writeUInt16LE(programHeaderBytes, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt32LE(1, 64); // PT_LOAD
  file.writeUInt32LE(5, 68); // read, execute
  file.writeBigUInt64LE(baseAddress, 80);
  file.writeBigUInt64LE(baseAddress, 88);
  file.writeBigUInt64LE(BigInt(file.length), 96);
  file.writeBigUInt64LE(BigInt(file.length), 104);
  file.writeBigUInt64LE(0x10000n, 112);
  file.set(text, start);
  return file;
}

/** Id of the only layer an image of it has, so that an image of another content is not taken for it. */
export function pauseLayer(architecture: PauseArchitecture): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(pauseArchive(architecture)).digest("hex")}`;
}

/** A root file system holding only `/pause`, as a tar. */
export function pauseArchive(architecture: PauseArchitecture): Uint8Array {
  const program = pauseProgram(architecture);
  const padded = Math.ceil(program.length / 512) * 512;
  const archive = Buffer.alloc(512 + padded + 1024);
  archive.write("pause", 0);
  archive.write("0000755\0", 100);
  archive.write("0000000\0", 108);
  archive.write("0000000\0", 116);
  archive.write(`${program.length.toString(8).padStart(11, "0")}\0`, 124);
  archive.write("00000000000\0", 136);
  archive.write("        ", 148);
  archive.write("0", 156);
  archive.write("ustar\u000000", 257);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  archive.set(program, 512);
  return archive;
}
