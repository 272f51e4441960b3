import { cloudFields } from "./cloud-fields.ts";
import { edgeFields } from "./edge-fields.ts";
import { renderTable, renderYaml } from "./render.ts";

/** `cloudcore --defaultconfig` and `conf/controller.yaml`. */
export function cloudDefaults(): string {
  const heading = ["Configuration of cloudcore. Every field is optional; what stands here are the defaults."];
  return renderYaml(heading, cloudFields);
}

/** `edgecore --defaultconfig` and `conf/edge.yaml`. */
export function edgeDefaults(): string {
  const heading = ["Configuration of edgecore. Every field is optional; what stands here are the defaults."];
  return renderYaml(heading, edgeFields);
}

export function cloudMinimum(): string {
  return `# What cloudcore usually needs to be told; \`cloudcore --defaultconfig\` shows everything.
cloudhub:
  # Addresses and names under which edge nodes reach this machine.
  advertise: []
`;
}

export function edgeMinimum(): string {
  return `# What edgecore usually needs to be told; \`edgecore --defaultconfig\` shows everything.
edgehub:
  # Host or host:port of cloudcore.
  server: 127.0.0.1
  # What \`cloudcore token\` prints; needed once.
  token: ""
`;
}

/** Markdown tables of all fields. */
export function cloudTable(): string {
  return renderTable(cloudFields);
}

export function edgeTable(): string {
  return renderTable(edgeFields);
}
