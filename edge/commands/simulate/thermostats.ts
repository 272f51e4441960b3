import sampleDevices from "#conf/samples/devices.yaml" with { type: "text" };
import { BugError, ConfigError, UnavailableError } from "#shared/errors";

interface Sample {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: object;
}

export interface ThermostatsToApply {
  readonly names: readonly string[];
  readonly node: string;
  readonly kubeconfig: string | undefined;
}

/** The thermostat of conf/samples under each of the names, and its model. */
export function thermostatObjects({ names, node }: Omit<ThermostatsToApply, "kubeconfig">): object[] {
  // A file of this repository, compiled into the program.
  const samples = Bun.YAML.parse(sampleDevices) as readonly Sample[];
  const model = samples.find(({ metadata }) => metadata.name === "thermostat");
  const device = samples.find(({ metadata }) => metadata.name === "thermo-1");
  if (!model || !device) throw new BugError("conf/samples/devices.yaml has no thermostat");
  const { namespace } = device.metadata;
  const devices = names.map((name) => ({
    ...device,
    metadata: { name, namespace },
    spec: { ...device.spec, nodeName: node },
  }));
  return [model, ...devices];
}

/** Applies them with kubectl. @throws UnavailableError with kubectl's message when it fails */
export async function applyThermostats(wanted: ThermostatsToApply): Promise<void> {
  const kubectl = Bun.which("kubectl");
  if (kubectl === null)
    throw new ConfigError("no-kubectl", "--apply needs kubectl, which was not found; install it");
  const access = wanted.kubeconfig === undefined ? [] : ["--kubeconfig", wanted.kubeconfig];
  const list = { apiVersion: "v1", kind: "List", items: thermostatObjects(wanted) };
  const child = Bun.spawn([kubectl, ...access, "apply", "-f", "-"], {
    stdin: new Blob([JSON.stringify(list)]),
    stdout: "ignore",
    stderr: "pipe",
  });
  const [output, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  const first = output.trim().split("\n").slice(0, 3).join("; ");
  if (code !== 0) throw new UnavailableError("kubectl", `kubectl apply failed: ${first}`);
}
