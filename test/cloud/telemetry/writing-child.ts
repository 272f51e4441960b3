import { systemClock } from "#shared/clock";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { UploadStore } from "#internal/cloud/telemetry/upload-store.ts";

/** Stores uploads of several nodes side by side until killed and prints the name of each once it is on disk. */
const [path = ""] = process.argv.slice(2);
const bounds = { limitBytes: 1e9, maxAgeMs: 1e12 };
const store = new UploadStore({
  log: silentLog(),
  path,
  bounds,
  clock: systemClock,
  onDropped: () => undefined,
  onError: () => undefined,
});

async function writeOn(worker: number): Promise<never> {
  for (let number = 0; ; number += 1) {
    const node = `edge-${worker}`;
    const content = String(number).repeat(50);
    const at = Date.now();
    await store.add({ node, messageId: `${number}`, topic: "t", sentAt: at, receivedAt: at, content });
    process.stdout.write(`${node}/${number}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, (_, worker) => writeOn(worker)));
