import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startCloud, waitReady, type Cloud } from "#internal/scripts/cluster.ts";
import { demoImage, makeDemoImage } from "#internal/scripts/engine.ts";
import { eventually, tailOf } from "#internal/scripts/service.ts";
import { seeded } from "#internal/test/support/seeded.ts";
import { EdgeMachine, socketIn } from "./edge-machine.ts";
import { figuresOf, readState, type Figures, type State } from "./state.ts";
import { configMap, workloads } from "./workload.ts";

/**
 * `bun run soak [--minutes 10] [--pods 50] [--seed N] [--only WORD]`: pods on a node whose containers, engine, edgecore and power are killed at
 * random while Deployments change; every now and then everything has to be as it was asked for, and nothing may be left over.
 * `--only` leaves those whose name has the word. Runs dist/cloudcore and dist/edgecore with an engine of its own, in a network of its own; needs root.
 */
const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    pods: { type: "string", default: "50" },
    seed: { type: "string", default: String(Date.now() % 100_000) },
    only: { type: "string", default: "" },
    inside: { type: "boolean", default: false },
  },
});
const root = resolve(import.meta.dir, "../..");
const node = "soak";
const sets = 10;
/** The restart of a container that was killed again and again waits up to five minutes. */
const settleMs = 330_000;
const secondsBetweenChecks = 60;

/** What edgecore may take more than after the first check. */
const grownResidentMiB = 64;
const grownFiles = 20;
const mostDatabaseMiB = 32;

const random = seeded(Number(values.seed));
const below = (count: number): number => Math.floor(random() * count);

interface World {
  readonly cloud: Cloud;
  readonly machine: EdgeMachine;
  readonly done: Map<string, number>;
  /** Restarts by pod and container, which never get fewer. */
  readonly restarts: Map<string, number>;
  first: Figures | undefined;
  rollouts: number;
}

const log = (text: string): void => console.log(`${new Date().toISOString().slice(11, 19)}  ${text}`);

type Disturbance = (world: World) => Promise<unknown>;

/** Each with how often it comes among the others. */
const disturbances: readonly (readonly [name: string, weight: number, run: Disturbance])[] = [
  ["containers killed", 40, killContainers],
  ["edgecore killed", 20, async ({ machine }) => machine.kill(join(root, "dist/edgecore"))],
  ["engine killed", 6, async ({ machine }) => machine.kill("dockerd")],
  ["power cut", 4, cutPower],
  ["Deployment scaled", 12, scale],
  ["Deployment rolled out", 6, rollOut],
  ["ConfigMap changed", 6, changeConfig],
  ["pod deleted", 6, deletePod],
];

async function killContainers({ machine }: World): Promise<void> {
  const running = machine.processes().filter(({ command }) => command.startsWith("/bin/busybox sh -c"));
  for (let left = 1 + below(4); left > 0 && running.length > 0; left -= 1) {
    const [victim] = running.splice(below(running.length), 1);
    if (victim) process.kill(victim.pid, "SIGKILL");
  }
}

async function cutPower({ machine }: World): Promise<void> {
  await machine.cutPower();
  await Bun.sleep(below(3000));
  await machine.boot();
}

const anyName = (): string => `app-${below(sets)}`;

async function scale({ cloud }: World): Promise<void> {
  const each = Math.max(1, Math.round(Number(values.pods) / sets));
  await cloud.kubectl("scale", `deployment/${anyName()}`, `--replicas=${Math.max(1, each - 2 + below(5))}`);
}

async function rollOut(world: World): Promise<void> {
  world.rollouts += 1;
  await world.cloud.kubectl("set", "env", `deployment/${anyName()}`, `ROLLOUT=${world.rollouts}`);
}

async function changeConfig(world: World): Promise<void> {
  world.rollouts += 1;
  const patch = JSON.stringify(configMap(anyName(), world.rollouts));
  await world.cloud.kubectl(
    "patch",
    `configmap/${anyName()}`,
    "--type=merge",
    "-p",
    patch.replace(/"name":"[^"]*",?/, ""),
  );
}

async function deletePod({ cloud }: World): Promise<void> {
  const names = (await cloud.kubectl("get", "pods", "-o", "name")).split("\n").filter((name) => name !== "");
  const name = names[below(names.length)];
  if (name !== undefined) await cloud.kubectl("delete", name, "--wait=false", "--ignore-not-found");
}

async function disturb(world: World): Promise<void> {
  const chosen = disturbances.filter(([name]) => name.includes(values.only));
  let at = random() * chosen.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [name, weight, run] of chosen) {
    at -= weight;
    if (at >= 0) continue;
    await run(world);
    world.done.set(name, (world.done.get(name) ?? 0) + 1);
    return;
  }
}

/** Waits until everything is as it was asked for. @throws Error that says what is not */
async function settle(world: World): Promise<void> {
  const started = performance.now();
  const state = await eventually(settleMs, async () => {
    const seen = await readState(world.cloud, world.machine);
    if (seen.problems.length > 0) throw new Error(seen.problems.join("\n"));
    return seen;
  });
  checkRestarts(world, state);
  // Connections to the engine are closed a while after they were used.
  const figures = await eventually(30_000, async () => checkFigures(world));
  log(
    `as asked for after ${((performance.now() - started) / 1000).toFixed(1)} s: ${state.pods.length} pods, edgecore ` +
      `${figures.residentMiB.toFixed(0)} MiB, ${figures.openFiles} open files, database ${figures.databaseMiB.toFixed(1)} MiB`,
  );
}

function checkRestarts(world: World, { pods }: State): void {
  for (const { metadata, status } of pods)
    for (const { name, restartCount } of status.containerStatuses ?? []) {
      const key = `${metadata.name}/${name}`;
      const before = world.restarts.get(key) ?? 0;
      if (restartCount < before) throw new Error(`restarts of ${key} fell from ${before} to ${restartCount}`);
      world.restarts.set(key, restartCount);
    }
}

function checkFigures(world: World): Figures {
  const figures = figuresOf(world.machine);
  if (!figures) throw new Error("edgecore does not run");
  const first = (world.first ??= figures);
  if (figures.residentMiB > first.residentMiB + grownResidentMiB)
    throw new Error(`edgecore grew from ${first.residentMiB} to ${figures.residentMiB} MiB`);
  if (figures.openFiles > first.openFiles + grownFiles)
    throw new Error(`open files of edgecore grew from ${first.openFiles} to ${figures.openFiles}`);
  if (figures.databaseMiB > mostDatabaseMiB) throw new Error(`the database has ${figures.databaseMiB} MiB`);
  return figures;
}

async function soak(folder: string): Promise<void> {
  Bun.spawnSync(["busybox", "ip", "link", "set", "lo", "up"]);
  await using cloud = await startCloud({ root, folder });
  const edge = await cloud.edgeWords(node, socketIn(folder));
  await using machine = new EdgeMachine(folder, { edge, dataDir: join(folder, node) });
  const world: World = {
    cloud,
    machine,
    done: new Map(),
    restarts: new Map(),
    first: undefined,
    rollouts: 0,
  };
  await machine.boot();
  await makeDemoImage(machine.socket);
  await waitReady(cloud, node, 60_000);
  const manifest = join(folder, "workloads.json");
  const items = workloads(sets, Math.max(1, Math.round(Number(values.pods) / sets)));
  await Bun.write(manifest, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  await cloud.kubectl("apply", "-f", manifest);
  log(`seed ${values.seed}; image ${demoImage}; waiting for ${values.pods} pods`);
  await settle(world);
  const end = performance.now() + Number(values.minutes) * 60_000;
  while (performance.now() < end) {
    const pause = performance.now() + secondsBetweenChecks * 1000;
    while (performance.now() < Math.min(end, pause)) {
      await Promise.race([cloud.cloud.failed, disturb(world)]);
      await Bun.sleep(below(4000));
    }
    log([...world.done].map(([name, count]) => `${name} ${count}`).join(", "));
    await settle(world);
  }
  await cloud.kubectl("delete", "-f", manifest, "--timeout=120s");
  await eventually(60_000, async () => {
    const { problems, pods } = await readState(cloud, machine);
    if (problems.length + pods.length > 0) throw new Error(problems.join("\n") || "pods are left");
  });
  log("nothing is left");
  for (const complaint of complaintsIn(join(folder, "edgecore.log"))) log(complaint);
}

/** Warnings and errors in a log, how often each came, and the longest or the first of them. */
function* complaintsIn(file: string): Iterable<string> {
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => /"level":"(?:warn|error)"/.test(line));
  const messageOf = (line: string): string => /"msg":"([^"]*)"/.exec(line)?.[1] ?? "";
  const msOf = (line: string): number => Number(/"ms":(\d+)/.exec(line)?.[1] ?? 0);
  for (const [message, those] of Map.groupBy(lines, messageOf)) {
    const [shown] = those.toSorted((a, b) => msOf(b) - msOf(a));
    yield `edgecore logged ${those.length} times "${message}": ${shown?.slice(0, 400)}`;
  }
}

async function main(): Promise<number> {
  if (!values.inside) {
    const words = [
      "unshare",
      "--net",
      process.execPath,
      import.meta.path,
      "--inside",
      ...process.argv.slice(2),
    ];
    return Bun.spawn([...words, "--seed", values.seed], { stdio: ["ignore", "inherit", "inherit"] }).exited;
  }
  const folder = mkdtempSync(join(tmpdir(), "kubeedge-soak-"));
  try {
    await soak(folder);
  } catch (error) {
    console.error(error);
    for (const name of ["edgecore", "dockerd", "machine"])
      console.error(`${name}: ${tailOf(join(folder, `${name}.log`))}`);
    return 1;
  }
  rmSync(folder, { recursive: true, force: true });
  return 0;
}

process.exitCode = await main();
