import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createKubeClient, resources } from "#cloud/kube-client";
import { systemClock, type Clock } from "#shared/clock";
import type { ConfigMap } from "#shared/kube";
import { eventually } from "#internal/scripts/service.ts";
import { playApi, type PlayedApi, type PlayedWatch } from "#internal/test/support/fake/played-api.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { needs } from "#internal/test/support/needs.ts";

/** The system clock, 100 times as fast. */
const fastClock: Clock = {
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() * 100,
  sleep: (ms, options) => systemClock.sleep(ms / 100, options),
  after: (ms, run) => systemClock.after(ms / 100, run),
};

function object(name: string, version: string, uid = `uid-${name}`): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default", resourceVersion: version, uid },
  };
}

interface Following extends AsyncDisposable {
  readonly events: string[];
  readonly log: readonly string[];
  /** Resolves when `count` events were reported. */
  reached(count: number): Promise<void>;
}

async function follow(api: PlayedApi, clock: Clock = systemClock): Promise<Following> {
  const log = silentLog();
  const kube = await createKubeClient({ from: "master", url: api.url }, { clock, log });
  const informer = kube.informer<ConfigMap>(resources.configMaps);
  const events: string[] = [];
  let waiting: { count: number; wake: () => void } | undefined;
  const report = (sign: string, { metadata }: ConfigMap): void => {
    events.push(`${sign}${metadata.name} ${metadata.resourceVersion}`);
    if (waiting && events.length >= waiting.count) waiting.wake();
  };
  informer.watch({
    added: (made) => report("+", made),
    updated: (changed) => report("~", changed),
    removed: (gone) => report("-", gone),
  });
  return {
    events,
    log: log.lines,
    reached: async (count) => {
      if (events.length >= count) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting = { count, wake: resolve };
      await promise;
    },
    [Symbol.asyncDispose]: async () => {
      await informer[Symbol.asyncDispose]();
      await kube[Symbol.asyncDispose]();
    },
  };
}

/** The last event of a script, to wait for. */
const marker = (watch: PlayedWatch): void => watch.send("ADDED", object("end", "90"));

test("informer resumes at the last version when a connection is reset in the middle of a line", async () => {
  await using api = await playApi();
  api.state = { version: "10", items: [object("a", "5")] };
  api.watches.push(
    (watch) => {
      watch.send("MODIFIED", object("a", "11"));
      watch.raw(JSON.stringify({ type: "ADDED", object: object("b", "12") }).slice(0, 40));
      setTimeout(() => watch.cut(), 50);
    },
    (watch) => {
      watch.send("ADDED", object("b", "12"));
      marker(watch);
    },
  );
  await using following = await follow(api);
  await following.reached(4);
  expect([following.events, api.asked]).toEqual([
    ["+a 5", "~a 11", "+b 12", "+end 90"],
    ["list", "watch 10", "watch 11"],
  ]);
});

test.each([
  ["answers a watch with 410", (watch: PlayedWatch) => watch.refuse(410, "Expired")],
  [
    "sends a 410 as an event",
    (watch: PlayedWatch) => watch.send("ERROR", { kind: "Status", code: 410, message: "too old" }),
  ],
  ["sends a line that is not JSON", (watch: PlayedWatch) => watch.raw('{"type":"ADDED","obj\n')],
  [
    "sends an event without a version",
    (watch: PlayedWatch) => watch.send("ADDED", { metadata: { name: "b" } }),
  ],
  [
    "sends an event of an unknown type",
    (watch: PlayedWatch) => watch.send("NEWS" as "ADDED", object("b", "12")),
  ],
])("informer reports the differences of a new list when the server %s", async (_what, script) => {
  await using api = await playApi();
  api.state = { version: "10", items: [object("a", "5"), object("b", "6"), object("c", "7")] };
  api.watches.push((watch) => {
    // What the watch missed: a changed, b was deleted, c was deleted and created again, d was created.
    const items = [object("a", "21"), object("c", "22", "uid-second"), object("d", "23")];
    api.state = { version: "30", items };
    script(watch);
  }, marker);
  await using following = await follow(api);
  await following.reached(9);
  expect([following.events, api.asked]).toEqual([
    ["+a 5", "+b 6", "+c 7", "-b 6", "~a 21", "-c 7", "+c 22", "+d 23", "+end 90"],
    ["list", "watch 10", "list", "watch 30"],
  ]);
});

test("informer reports nothing twice when a watch repeats known events", async () => {
  await using api = await playApi();
  api.state = { version: "10", items: [object("a", "5")] };
  api.watches.push((watch) => {
    watch.send("ADDED", object("a", "5"));
    watch.send("MODIFIED", object("a", "11"));
    watch.send("MODIFIED", object("a", "11"));
    watch.send("DELETED", object("a", "12"));
    watch.send("DELETED", object("a", "12"));
    marker(watch);
  });
  await using following = await follow(api);
  await following.reached(4);
  expect(following.events).toEqual(["+a 5", "~a 11", "-a 12", "+end 90"]);
});

test("informer starts the next watch at the bookmark when the server ends one", async () => {
  await using api = await playApi();
  api.state = { version: "10", items: [] };
  api.watches.push((watch) => {
    watch.send("BOOKMARK", { kind: "ConfigMap", metadata: { resourceVersion: "77" } });
    watch.end();
  }, marker);
  await using following = await follow(api);
  await following.reached(1);
  expect(api.asked).toEqual(["list", "watch 10", "watch 77"]);
});

test("informer keeps a watch that is silent for four minutes", async () => {
  await using api = await playApi();
  api.state = { version: "10", items: [] };
  const silence = Promise.withResolvers<void>();
  api.watches.push((watch) => {
    watch.send("ADDED", object("a", "11"));
    systemClock.after(240_000 / 100, () => {
      marker(watch);
      silence.resolve();
    });
  });
  await using following = await follow(api, fastClock);
  await silence.promise;
  await following.reached(2);
  expect([following.events, api.asked, following.log]).toEqual([
    ["+a 11", "+end 90"],
    ["list", "watch 10"],
    [],
  ]);
});

test("informer reconnects when a server does not end a watch in time", async () => {
  await using api = await playApi();
  api.state = { version: "10", items: [] };
  api.watches.push((watch) => watch.send("ADDED", object("a", "11")), marker);
  const impatient: Clock = {
    ...systemClock,
    after: (ms, run) => systemClock.after(ms > 60_000 ? ms / 1000 : ms, run),
  };
  await using following = await follow(api, impatient);
  await following.reached(2);
  expect([following.events, api.asked]).toEqual([
    ["+a 11", "+end 90"],
    ["list", "watch 10", "watch 11"],
  ]);
  expect(following.log.map((line) => (JSON.parse(line) as { reason: string }).reason)).toEqual([
    "the server did not end the watch in time",
  ]);
});

/** Whether the kernel's next keepalive probe to a port of this machine comes within a minute. */
function isProbed(port: number): boolean {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const sockets = readFileSync("/proc/self/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const timers = sockets
    .filter(([, , peer = ""]) => peer.endsWith(remote))
    .map(([, , , , , timer = ""]) => timer);
  return timers.some((timer) => timer.startsWith("02:") && Number.parseInt(timer.slice(3), 16) <= 6000);
}

test.skipIf(!needs({ Linux: process.platform === "linux" }))(
  "watch connections are probed by TCP keepalive each minute",
  async () => {
    await using api = await playApi();
    api.state = { version: "10", items: [object("a", "5")] };
    const watched = Promise.withResolvers<void>();
    api.watches.push((watch) => {
      watch.raw("\n");
      watched.resolve();
    });
    await using _following = await follow(api);
    await watched.promise;
    await eventually(2_000, async () => expect(isProbed(Number(new URL(api.url).port))).toBe(true));
  },
);

test("informer ends at once when it is disposed during a silent watch", async () => {
  await using api = await playApi();
  const watching = Promise.withResolvers<void>();
  api.watches.push((watch) => {
    watch.send("ADDED", object("a", "11"));
    watching.resolve();
  });
  const following = await follow(api);
  await watching.promise;
  const startedMs = performance.now();
  await following[Symbol.asyncDispose]();
  expect(performance.now() - startedMs).toBeLessThan(1_000);
});

test("client retries a write answered with 429, not one answered with 503", async () => {
  await using api = await playApi();
  await using kube = await createKubeClient(
    { from: "master", url: api.url },
    { clock: fastClock, log: silentLog() },
  );
  api.refusals.push({ code: 429, retryAfter: "1" });
  await kube.create(resources.configMaps, object("a", "0"));
  api.refusals.push({ code: 503 });
  await expect(kube.create(resources.configMaps, object("a", "0"))).rejects.toMatchObject({
    httpStatus: 503,
  });
  expect(api.asked).toEqual(["POST", "POST", "POST"]);
});

test("client lists without pages when the continue token has expired", async () => {
  await using api = await playApi();
  await using kube = await createKubeClient(
    { from: "master", url: api.url },
    { clock: systemClock, log: silentLog() },
  );
  api.state = { version: "10", items: [object("a", "5")], expires: true };
  const { items } = await kube.list<ConfigMap>(resources.configMaps);
  expect([items, api.asked]).toEqual([[object("a", "5")], ["list", "list", "list"]]);
});

test("client stops retrying a read after four attempts", async () => {
  await using api = await playApi();
  await using kube = await createKubeClient(
    { from: "master", url: api.url },
    { clock: fastClock, log: silentLog() },
  );
  for (let turn = 0; turn < 8; turn += 1) api.refusals.push({ code: 503 });
  await expect(kube.list(resources.configMaps)).rejects.toMatchObject({ httpStatus: 503 });
  expect(api.asked).toHaveLength(4);
});
