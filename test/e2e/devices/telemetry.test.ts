import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, readFileSync, rmSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { run } from "#internal/scripts/service.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const uploadTopic = "SYS/dis/upload_records";
const able = hasPair() && needsCommands("mosquitto_pub");
const raw = "/apis/devices.kubeedge.io/v1beta1";

const device = (nodeName: string): object => ({
  apiVersion,
  kind: "Device",
  metadata: { name: "thermo", namespace: "default" },
  spec: { nodeName, properties: [{ name: "temperature" }] },
});

interface Page {
  readonly uploads: readonly { readonly id: number; readonly node: string; readonly content: string }[];
  readonly next: number;
  readonly dropped: number;
}

describe.skipIf(!able)("telemetry from devices to the cloud and back", () => {
  let pair: Pair;
  let said = 0;

  beforeAll(async () => {
    pair = await startPair();
    await pair.apply(device(pair.node));
    await until(10_000, () => pair.rows("SELECT name FROM device").length === 1 || "the device is unknown");
  }, 40_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  }, 20_000);

  /** Waits for it: tests come in any order, also after one that restarted edgecore. */
  async function portOf(listener: string): Promise<number> {
    const port = (): string | undefined =>
      new RegExp(`"listener":"${listener}","port":(\\d+)`).exec(pair.edgeLog())?.[1];
    await until(10_000, () => port() !== undefined || `edgecore does not listen for ${listener}`);
    return Number(port());
  }

  /** Publishes the next numbers, one after the other; returns when the node has them on disk. */
  async function upload(count: number, bytes = 0): Promise<void> {
    const numbers = Array.from({ length: count }, (_, n) => `${said + n} `.padEnd(bytes, "."));
    said += count;
    const where = ["-p", String(await portOf("mqtt")), "-q", "1", "-t", uploadTopic, "-l"];
    const child = Bun.spawn(["mosquitto_pub", ...where], { stdin: new Blob([numbers.join("\n")]) });
    expect(await child.exited).toBe(0);
  }

  /** All that stands in the cloud, followed page by page. */
  async function uploads(): Promise<Page["uploads"]> {
    const all: Page["uploads"][number][] = [];
    for (let after = 0; ;) {
      const words = ["get", "--raw", `${raw}/uploads?node=${pair.node}&after=${after}&limit=50`];
      const page = JSON.parse(await pair.kubectl(...words)) as Page;
      if (page.uploads.length === 0) return all;
      all.push(...page.uploads);
      after = page.next;
    }
  }

  async function arrived(): Promise<void> {
    await until(30_000, async () => {
      const count = (await uploads()).length;
      return count >= said || `${count} of ${said} uploads have arrived`;
    });
    const numbers = (await uploads()).map(({ content }) => Number.parseInt(content, 10));
    expect(numbers).toEqual(Array.from({ length: said }, (_, n) => n));
  }

  test("uploads of a cut link stand in the cloud after it, in order, also when cloudcore was killed", async () => {
    await upload(20);
    pair.link.cut({ refuse: true });
    await upload(100);
    await pair.killCloud();
    await upload(100);
    await pair.startCloud();
    pair.link.restore();
    await arrived();
    await pair.outboxEmpty();
  }, 90_000);

  test("kill -9 of cloudcore while uploads come in loses none and doubles none", async () => {
    for (let round = 0; round < 3; round += 1) {
      const uploading = upload(400);
      const before = said - 400;
      await until(20_000, async () => (await uploads()).length > before || "nothing has arrived");
      await Promise.all([pair.killCloud(), uploading]);
      await pair.startCloud();
    }
    await arrived();
    await pair.outboxEmpty();
  }, 120_000);

  test.skipIf(!hasSmallDisks())(
    "uploads for which cloudcore has no room wait at the node, and arrive in order when it has",
    async () => {
      using full = tempDir("telemetry-full");
      using _disk = smallDisk(full.path, "20m");
      const database = resolve(pair.edgeDir, "../cloud/telemetry.db");
      await pair.killCloud();
      emptyLog(database);
      copyFileSync(database, join(full.path, "x.db"));
      rmSync(database);
      symlinkSync(join(full.path, "x.db"), database);
      const filler = join(full.path, "filler");
      const { bavail, bsize } = statfsSync(full.path);
      writeFileSync(filler, Buffer.alloc(bavail * bsize - 2_000_000));
      await pair.startCloud();
      await upload(200, 20_000);
      const log = resolve(pair.edgeDir, "../cloudcore.log");
      await until(
        20_000,
        () => readFileSync(log, "utf8").includes("cannot store uploads") || "cloudcore does not log it",
      );
      rmSync(filler);
      await upload(20);
      await arrived();
      await pair.outboxEmpty(20_000);
      await pair.killCloud();
      emptyLog(join(full.path, "x.db"));
      rmSync(database);
      copyFileSync(join(full.path, "x.db"), database);
      await pair.startCloud();
    },
    90_000,
  );

  test("the history read in the cloud is that of the node", async () => {
    for (const value of ["20.5", "21", "21.5"]) {
      const where = [
        "-p",
        String(await portOf("mqtt")),
        "-q",
        "1",
        "-t",
        "$hw/events/device/thermo/twin/update",
      ];
      const twin = { temperature: { actual: { value } } };
      const message = JSON.stringify({ event_id: "1", timestamp: 0, twin });
      await run(["mosquitto_pub", ...where, "-m", message]);
    }
    const query = "since=0&limit=2";
    const history = (await (
      await fetch(`http://127.0.0.1:${await portOf("devices")}/devices/thermo/temperature?${query}`)
    ).json()) as { history: { value: string }[] };
    expect(history.history.map(({ value }) => value)).toEqual(["21", "21.5"]);
    const path = `${raw}/namespaces/default/devices/thermo/history?property=temperature&${query}`;
    // A node is Ready for a while after its link was cut, here with the cloudcore of the test before.
    await until(20_000, async () => {
      const said503 = await pair.kubectl("get", "--raw", path).catch(String);
      return !said503.includes("is not connected") || said503;
    });
    expect(JSON.parse(await pair.kubectl("get", "--raw", path))).toEqual({ node: pair.node, ...history });
    const ports = JSON.parse(readFileSync(resolve(pair.edgeDir, "../cloud/ports.json"), "utf8")) as Record<
      string,
      number
    >;
    const http = await fetch(
      `http://127.0.0.1:${ports["telemetry"]}/devices/default/thermo/temperature?${query}`,
    );
    expect(await http.json()).toEqual({ node: pair.node, ...history });
  }, 60_000);

  test("who may not is forbidden to ask, by kubectl", async () => {
    const as = ["--as=system:serviceaccount:default:default", "--as-group=system:serviceaccounts"];
    for (const path of ["uploads", "namespaces/default/devices/thermo/history?property=temperature"]) {
      const asked = pair.kubectl(...as, "get", "--raw", `${raw}/${path}`);
      await expect(asked).rejects.toThrow("Forbidden");
    }
  }, 20_000);

  test("the history of a node that is down is refused at once, with the reason", async () => {
    await pair.killEdge();
    const path = `${raw}/namespaces/default/devices/thermo/history?property=temperature`;
    await until(10_000, async () => {
      const said503 = await pair.kubectl("get", "--raw", path).catch(String);
      return said503.includes(`Node "${pair.node}" is not connected`) || said503;
    });
    await pair.startEdge();
  }, 30_000);
});

/** Leaves all of a database in its one file: a log keeps its size, and what it has is room on a full disk. */
function emptyLog(path: string): void {
  using database = new Database(path);
  database.run("PRAGMA journal_mode = DELETE");
}
