import { writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect } from "mqtt";
import { needs } from "#internal/test/support/needs.ts";

const mosquitto = Bun.which("mosquitto", { PATH: `${process.env["PATH"]}:/usr/sbin` });

/** Whether tests with mosquitto can run here. */
export function hasMosquitto(): boolean {
  return needs({ mosquitto: mosquitto !== null });
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}

/** A mosquitto that accepts everybody; `settings` are further lines of its configuration. */
export async function startMosquitto(
  directory: string,
  port: number,
  settings: readonly string[] = [],
): Promise<AsyncDisposable & { readonly pid: number }> {
  const file = join(directory, "mosquitto.conf");
  const lines = [`listener ${port} 127.0.0.1`, "allow_anonymous true", ...settings];
  writeFileSync(file, `${lines.join("\n")}\n`);
  const child = Bun.spawn([mosquitto ?? "", "-c", file], { stdout: "ignore", stderr: "ignore" });
  const client = connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 20 });
  client.on("error", () => undefined);
  await new Promise<void>((resolve) => client.once("connect", () => resolve()));
  await client.endAsync();
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}
