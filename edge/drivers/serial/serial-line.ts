import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { describeError, UnavailableError } from "#shared/errors";

export interface LineSettings {
  readonly path: string;
  readonly baudRate: number;
  readonly dataBits: number;
  readonly parity: "even" | "none" | "odd";
  readonly stopBits: number;
}

/**
 * A serial port, set up by `stty`, which every Linux has: the npm packages for serial ports are native addons that Bun cannot run.
 * It is read on demand, in a thread, since streams on terminals end with EAGAIN.
 */
export class SerialLine implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #buffer = Buffer.alloc(512);
  #isOpen = true;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** @throws UnavailableError when there is no such port, or it cannot be set up */
  static async open(settings: LineSettings): Promise<SerialLine> {
    const { path } = settings;
    await setUp(settings);
    try {
      return new SerialLine(await open(path, constants.O_RDWR | constants.O_NOCTTY));
    } catch (error) {
      throw new UnavailableError("serial", `cannot open ${path}: ${describeError(error)}`);
    }
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** @throws when the line is gone */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#file.write(bytes);
  }

  /**
   * What has arrived; it waits for a tenth of a second at most.
   * @throws when the adapter was pulled out
   */
  async read(): Promise<Uint8Array> {
    const { bytesRead } = await this.#file.read(this.#buffer, 0, this.#buffer.length, null);
    return Buffer.from(this.#buffer.subarray(0, bytesRead));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.close();
  }
}

async function setUp({ path, baudRate, dataBits, parity, stopBits }: LineSettings): Promise<void> {
  const parityFlags = { none: ["-parenb"], even: ["parenb", "-parodd"], odd: ["parenb", "parodd"] }[parity];
  const flags = [
    String(baudRate),
    "raw",
    "-echo",
    "-hupcl",
    "clocal",
    "cread",
    // A read waits for the first byte, for a tenth of a second at most (termios(3), VMIN and VTIME).
    "min",
    "0",
    "time",
    "1",
    "-crtscts",
    `cs${dataBits}`,
    ...parityFlags,
    stopBits === 2 ? "cstopb" : "-cstopb",
  ];
  const child = Bun.spawn(["stty", "-F", path, ...flags], { stdout: "ignore", stderr: "pipe" });
  const [code, text] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  if (code !== 0) throw new UnavailableError("serial", `cannot set up ${path}: ${text.trim().slice(0, 200)}`);
}
