import { createHash } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "#internal/scripts/cluster.ts";
import { makeDemoImage } from "#internal/scripts/engine.ts";
import { eventually, freePorts, startService } from "#internal/scripts/service.ts";
import { engineSocket, removeContainers } from "#internal/test/support/machine/container-engine.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { root } from "./markdown.ts";

/** Whose commands a block has: those of a checkout with its demo, or those of a machine where a program is installed. */
export const machines = ["demo", "cloud", "edge"] as const;
export type Machine = (typeof machines)[number];

const node = "edge-1";
/** The host port in `conf/samples`; another one here, so that a demo may run beside the tests. */
const samplePort = "18080";

/** A directory that looks like a checkout in which `scripts/demo.sh` is running. */
export interface DemoView extends AsyncDisposable {
  readonly path: string;
  readonly cluster: Cluster;
  readonly env: Readonly<Record<string, string>>;
  /** The commands as they have to be said here: free ports, own directories. */
  translate(commands: string, machine: Machine): string;
}

export async function startDemoView(): Promise<DemoView> {
  await using stack = new AsyncDisposableStack();
  const place = stack.use(tempDir("kubeedge-docs"));
  const [port = 0] = freePorts(1);
  const path = place.path;
  const folder = join(path, ".run/demo");
  layOut(path, String(port));
  await makeDemoImage(engineSocket);
  stack.defer(() => removeContainers(ownerOf(join(folder, node))));
  const cluster = stack.use(await startCluster({ root: path, folder, socket: engineSocket, node }));
  await cluster.kubectl("apply", "-f", join(path, "conf/samples/devices.yaml"));
  const { mqtt = 0 } = portsOf(folder);
  const simulator = [join(path, "dist/edgecore"), "simulate", "--devices", "1"];
  const broker = `mqtt://127.0.0.1:${mqtt}`;
  await eventually(10_000, () => cluster.kubectl("get", "device", "thermo-1"));
  stack.use(startService("simulator", [...simulator, "--broker", broker], join(folder, "simulator.log")));
  await eventually(15_000, () => reported(cluster));
  const owned = stack.move();
  return {
    path,
    cluster,
    env: { PATH: `${join(path, "bin")}:${process.env["PATH"] ?? ""}`, HOME: path },
    translate: (commands, machine) => translate(commands, { machine, folder, port: String(port) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** @throws Error until the simulated thermostat has reported */
async function reported({ kubectl }: Cluster): Promise<void> {
  const path = 'jsonpath={.status.twins[?(@.propertyName=="temperature")].reported.value}';
  if ((await kubectl("get", "device", "thermo-1", "-o", path)) === "")
    throw new Error("thermo-1 has reported nothing");
}

function portsOf(folder: string): Record<string, number> {
  return JSON.parse(readFileSync(join(folder, node, "ports.json"), "utf8")) as Record<string, number>;
}

/** How edgecore labels the containers of a data directory. */
function ownerOf(dataDir: string): string {
  return `${node}-${createHash("sha256").update(dataDir).digest("hex").slice(0, 12)}`;
}

function layOut(path: string, port: string): void {
  for (const folder of ["dist", "bin", ".run/demo"]) mkdirSync(join(path, folder), { recursive: true });
  cpSync(join(root, "conf"), join(path, "conf"), { recursive: true });
  for (const name of ["web.yaml", "rules.yaml"]) {
    const sample = join(path, "conf/samples", name);
    writeFileSync(sample, readFileSync(sample, "utf8").replaceAll(samplePort, port));
  }
  for (const name of readdirSync(root))
    if (!["conf", "dist", "bin", ".run", ".git"].includes(name))
      symlinkSync(join(root, name), join(path, name));
  for (const half of ["cloud", "edge"] as const) {
    const program = `${half}core`;
    const source = [process.execPath, join(root, half, "main.ts")];
    const words = process.env["KUBEEDGE_DIST"] === "1" ? [join(root, "dist", program)] : source;
    const file = join(path, ".run/demo", half === "cloud" ? "controller.yaml" : `${node}.yaml`);
    script(join(path, "dist", program), `exec ${words.join(" ")} "$@"`);
    script(join(path, "bin", program), installed(join(path, "dist", program), file));
  }
  script(join(path, "bin/sudo"), 'exec "$@"');
}

/** A program as it is on a machine where it finds its config file without a flag. */
const installed = (program: string, config: string): string => `
case " $* " in
  *" --config "*|*" --help "*|*" --version "*|*" --defaultconfig "*|*" --minconfig "*|*" simulate "*|*" hash-password "*) exec ${program} "$@" ;;
esac
exec ${program} "$@" --config ${config}`;

function script(file: string, body: string): void {
  writeFileSync(file, `#!/bin/sh\n${body}\n`);
  chmodSync(file, 0o755);
}

function translate(
  commands: string,
  place: { readonly machine: Machine; readonly folder: string; readonly port: string },
): string {
  const { machine, folder, port } = place;
  const text = commands.replaceAll(samplePort, port);
  if (machine === "demo") return text;
  return text
    .replaceAll("/var/lib/kubeedge", join(folder, machine === "cloud" ? "cloud" : node))
    .replaceAll("/etc/kubeedge/controller.yaml", join(folder, "controller.yaml"))
    .replaceAll("/etc/kubeedge/edge.yaml", join(folder, `${node}.yaml`));
}
