/**
 * Writes cloud/kube-api/schema/schema-types.txt and schema-texts.txt: the shapes and descriptions of the served Kubernetes kinds.
 * Sources: the declarations of the npm package `kubernetes-types` (pass its unpacked folder as the first argument), the number and
 * byte formats in the models of @kubernetes/client-node, and the merge keys below, which neither package carries.
 *
 *   npm pack kubernetes-types@1.30.0 && tar xzf kubernetes-types-1.30.0.tgz && bun scripts/generate-schemas.ts package
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { catalogRows, definitionOfRow } from "#internal/cloud/kube-api/schema/catalog-table.ts";

interface Field {
  name: string;
  code: string;
  required: boolean;
  text: string;
}
interface Definition {
  text: string;
  fields: Field[];
}

const folders: Record<string, string> = {
  "core/v1": "core.v1",
  "apps/v1": "apps.v1",
  "batch/v1": "batch.v1",
  "autoscaling/v1": "autoscaling.v1",
  "autoscaling/v2": "autoscaling.v2",
  "admissionregistration/v1": "admissionregistration.v1",
  "authentication/v1": "authentication.v1",
  "authorization/v1": "authorization.v1",
  "certificates/v1": "certificates.v1",
  "coordination/v1": "coordination.v1",
  "discovery/v1": "discovery.v1",
  "events/v1": "events.v1",
  "flowcontrol/v1": "flowcontrol.v1",
  "networking/v1": "networking.v1",
  "node/v1": "node.v1",
  "policy/v1": "policy.v1",
  "rbac/v1": "rbac.v1",
  "scheduling/v1": "scheduling.v1",
  "storage/v1": "storage.v1",
  "meta/v1": "meta.v1",
  "apiextensions/v1": "apiextensions.v1",
};

/** Strategic merge and list semantics: `~key` merges by key, `~` merges primitives, `^` retains keys, `@` are list map keys. */
const conditions = "~type@type";
const merges: Record<string, string> = {
  "core.v1.PodSpec.containers": "~name@name",
  "core.v1.PodSpec.initContainers": "~name@name",
  "core.v1.PodSpec.ephemeralContainers": "~name@name",
  "core.v1.PodSpec.volumes": "~name^@name",
  "core.v1.PodSpec.imagePullSecrets": "~name@name",
  "core.v1.PodSpec.hostAliases": "~ip@ip",
  "core.v1.PodSpec.topologySpreadConstraints": "~topologyKey@topologyKey,whenUnsatisfiable",
  "core.v1.PodSpec.schedulingGates": "~name@name",
  "core.v1.PodSpec.resourceClaims": "~name^@name",
  "core.v1.PodStatus.conditions": conditions,
  "core.v1.PodStatus.podIPs": "~ip@ip",
  "core.v1.PodStatus.hostIPs": "~ip",
  "core.v1.PodStatus.resourceClaimStatuses": "~name^@name",
  "core.v1.NodeStatus.conditions": conditions,
  "core.v1.NodeStatus.addresses": "~type@type",
  "core.v1.NodeSpec.podCIDRs": "~@",
  "core.v1.ServiceSpec.ports": "~port@port,protocol",
  "core.v1.ServiceStatus.conditions": conditions,
  "core.v1.ServiceAccount.secrets": "~name@name",
  "core.v1.NamespaceStatus.conditions": conditions,
  "core.v1.PersistentVolumeClaimStatus.conditions": conditions,
  "core.v1.ReplicationControllerStatus.conditions": conditions,
  "core.v1.ResourceRequirements.claims": "@name",
  "meta.v1.ObjectMeta.finalizers": "~@",
  "meta.v1.ObjectMeta.ownerReferences": "~uid@uid",
  "apps.v1.DeploymentSpec.strategy": "^",
  "apps.v1.DeploymentStatus.conditions": conditions,
  "apps.v1.ReplicaSetStatus.conditions": conditions,
  "apps.v1.StatefulSetStatus.conditions": conditions,
  "apps.v1.DaemonSetStatus.conditions": conditions,
  "batch.v1.JobStatus.conditions": "~type",
  "policy.v1.PodDisruptionBudgetStatus.conditions": conditions,
  "apiextensions.v1.CustomResourceDefinitionStatus.conditions": "@type",
  "admissionregistration.v1.MutatingWebhookConfiguration.webhooks": "~name@name",
  "admissionregistration.v1.ValidatingWebhookConfiguration.webhooks": "~name@name",
  "admissionregistration.v1.MutatingWebhook.matchConditions": "~name@name",
  "admissionregistration.v1.ValidatingWebhook.matchConditions": "~name@name",
  "admissionregistration.v1.ValidatingAdmissionPolicySpec.matchConditions": "~name@name",
  "admissionregistration.v1.ValidatingAdmissionPolicySpec.variables": "~name@name",
  "admissionregistration.v1.ValidatingAdmissionPolicyStatus.conditions": "@type",
  "apiregistration.v1.APIServiceStatus.conditions": conditions,
  "autoscaling.v2.HorizontalPodAutoscalerStatus.conditions": conditions,
  "certificates.v1.CertificateSigningRequestStatus.conditions": "@type",
  "flowcontrol.v1.FlowSchemaStatus.conditions": conditions,
  "flowcontrol.v1.PriorityLevelConfigurationStatus.conditions": conditions,
  "storage.v1.CSIDriverSpec.volumeLifecycleModes": "@",
  "storage.v1.CSINodeSpec.drivers": "~name@name",
};
for (const container of ["Container", "EphemeralContainer"]) {
  merges[`core.v1.${container}.env`] = "~name@name";
  merges[`core.v1.${container}.ports`] = "~containerPort@containerPort,protocol";
  merges[`core.v1.${container}.volumeMounts`] = "~mountPath@mountPath";
  merges[`core.v1.${container}.volumeDevices`] = "~devicePath@devicePath";
}

/** Fields whose names the declarations leave out. */
const vendorFields: Field[] = [
  {
    name: "x-kubernetes-embedded-resource",
    code: "b",
    required: false,
    text: "x-kubernetes-embedded-resource",
  },
  { name: "x-kubernetes-int-or-string", code: "b", required: false, text: "x-kubernetes-int-or-string" },
  { name: "x-kubernetes-list-map-keys", code: "[]s", required: false, text: "x-kubernetes-list-map-keys" },
  { name: "x-kubernetes-list-type", code: "s", required: false, text: "x-kubernetes-list-type" },
  { name: "x-kubernetes-map-type", code: "s", required: false, text: "x-kubernetes-map-type" },
  {
    name: "x-kubernetes-preserve-unknown-fields",
    code: "b",
    required: false,
    text: "x-kubernetes-preserve-unknown-fields",
  },
  {
    name: "x-kubernetes-validations",
    code: "[]#apiextensions.v1.ValidationRule",
    required: false,
    text: "x-kubernetes-validations",
  },
];
/** Fields that the declarations lack, because their comments contain the end of one. */
const rule: Field[] = [
  {
    name: "resources",
    code: "[]s",
    required: false,
    text: "Resources this rule applies to, such as `pods`, `pods/log` or `*`.",
  },
  {
    name: "scope",
    code: "s",
    required: false,
    text: "Scope of the resources: `Cluster`, `Namespaced` or `*`, which is the default.",
  },
];
const lostFields: Record<string, Field[]> = {
  "admissionregistration.v1.RuleWithOperations": rule,
  "admissionregistration.v1.NamedRuleWithOperations": rule,
  "authorization.v1.ResourceRule": [
    { name: "verbs", code: "[]s", required: true, text: "Verbs of the API, such as `get`; `*` means all." },
    {
      name: "resources",
      code: "[]s",
      required: false,
      text: "Resources this rule applies to; `*` means all in the groups.",
    },
  ],
};
const rawNames = new Set([
  "JSON",
  "JSONSchemaPropsOrArray",
  "JSONSchemaPropsOrBool",
  "JSONSchemaPropsOrStringArray",
]);
const plainCodes: Record<string, string> = {
  string: "s",
  boolean: "b",
  "number | string": "x",
  Quantity: "q",
  Time: "t",
  MicroTime: "u",
  RawExtension: "o",
  FieldsV1: "o",
};

const modelsFile = "../node_modules/@kubernetes/client-node/dist/gen/models/all.js";
const models: unknown = await import(join(import.meta.dir, modelsFile));

const source = process.argv[2];
if (source === undefined)
  throw new Error("Usage: bun scripts/generate-schemas.ts <unpacked kubernetes-types folder>");
const definitions = new Map<string, Definition>();
for (const [folder, prefix] of Object.entries(folders)) await readFolder(folder, prefix);
definitions.get("apiextensions.v1.JSONSchemaProps")?.fields.push(...vendorFields);
for (const [name, fields] of Object.entries(lostFields)) definitions.get(name)?.fields.push(...fields);
for (const [name, definition] of [...metricsDefinitions(), ...aggregationDefinitions()])
  definitions.set(name, definition);
write(reachable());

async function readFolder(folder: string, prefix: string): Promise<void> {
  const text = await Bun.file(join(source ?? "", `${folder}.d.ts`)).text();
  const imports = importsOf(text, prefix);
  const pattern = /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?export interface (\w+) \{([\s\S]*?)\n?^\}/gm;
  for (const [, comment = "", name = "", body = ""] of text.matchAll(pattern)) {
    definitions.set(`${prefix}.${name}`, {
      text: clean(comment),
      fields: fieldsOf(body, { owner: `${prefix}.${name}`, imports, prefix }),
    });
  }
}

function importsOf(text: string, prefix: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, names = "", path = ""] of text.matchAll(/import \{([^}]*)\} from "([^"]*)"/g)) {
    const folder = path.replace(
      /^(\.\.\/|\.\/)/,
      path.startsWith("./") ? `${prefix.split(".")[0] ?? ""}/` : "",
    );
    for (const name of names.split(",")) found.set(name.trim(), folders[folder] ?? folder);
  }
  return found;
}

interface Scope {
  owner: string;
  imports: Map<string, string>;
  prefix: string;
}

function fieldsOf(body: string, scope: Scope): Field[] {
  const pattern =
    /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*)?^ {4}(?:readonly )?("?[$\w-]+"?)(\??): (\{\s*\[name: string\]: ([^;]*);\s*\}|[^;{]*);/gm;
  return [...body.matchAll(pattern)].map(([, comment = "", quoted = "", optional, type = "", value]) => {
    const name = quoted.replaceAll('"', "");
    const code = value === undefined ? codeOf(type, name, scope) : `{}${codeOf(value, name, scope)}`;
    return { name, code, required: optional === "", text: clean(comment) };
  });
}

function codeOf(type: string, field: string, scope: Scope): string {
  const array = /^Array<(.*)>$/.exec(type);
  if (array !== null) return `[]${codeOf(array[1] ?? "", field, scope)}`;
  if (type === "number") return formatOf(scope.owner, field, "i");
  if (type.startsWith('"')) return "s";
  if (rawNames.has(type)) return "j";
  const plain = plainCodes[type];
  if (plain !== undefined) return plain === "s" ? formatOf(scope.owner, field, "s") : plain;
  return `#${scope.imports.get(type) ?? scope.prefix}.${type}`;
}

interface Model {
  getAttributeTypeMap(): { baseName: string; format: string }[];
}

function formatOf(owner: string, field: string, fallback: string): string {
  const [group = "", version = "", name = ""] = owner.split(".");
  const title = group[0]?.toUpperCase() + group.slice(1);
  const known = models as Record<string, Model | undefined>;
  const upper = version.toUpperCase();
  const model = known[`${upper}${name}`] ?? known[`${title}${upper}${name}`];
  const format = model?.getAttributeTypeMap().find(({ baseName }) => baseName === field)?.format;
  return { int32: "i", int64: "l", double: "d", byte: "y" }[format ?? ""] ?? fallback;
}

function clean(comment: string): string {
  return comment
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trim())
    .join("\n")
    .trim();
}

function field(name: string, code: string, text: string, required = true): Field {
  return { name, code, required, text };
}

/** metrics.k8s.io is not in Kubernetes itself, and not in its package. */
function* metricsDefinitions(): Generator<[string, Definition]> {
  const usage = field("usage", "{}q", "Usage of the resources cpu and memory.");
  const measured = [
    field("apiVersion", "s", "", false),
    field("kind", "s", "", false),
    field("metadata", "#meta.v1.ObjectMeta", "", false),
    field("timestamp", "t", "When the usage was reported."),
    field("window", "s", "How long cpu was measured, until then."),
  ];
  const containers = field("containers", "[]#metrics.v1beta1.ContainerMetrics", "Usage of each container.");
  const named = field("name", "s", "Name of the container.");
  yield ["metrics.v1beta1.NodeMetrics", { text: "Usage of a node.", fields: [...measured, usage] }];
  yield ["metrics.v1beta1.PodMetrics", { text: "Usage of a pod.", fields: [containers, ...measured] }];
  yield ["metrics.v1beta1.ContainerMetrics", { text: "Usage of a container.", fields: [named, usage] }];
}

/** apiregistration.k8s.io is served by kube-aggregator, and is not in the package either. */
function* aggregationDefinitions(): Generator<[string, Definition]> {
  const prefix = "apiregistration.v1";
  const service = [
    field("name", "s", "Name of the Service.", false),
    field("namespace", "s", "Namespace of the Service.", false),
    field("port", "i", "Port of the Service; 443 by default.", false),
  ];
  const spec = [
    field("caBundle", "y", "CA certificates in PEM that verify the server's certificate.", false),
    field("group", "s", "API group that the server serves.", false),
    field("groupPriorityMinimum", "i", "Groups with a higher number come first in discovery."),
    field("insecureSkipTLSVerify", "b", "The server's certificate is not verified.", false),
    field(
      "service",
      `#${prefix}.ServiceReference`,
      "Where the server is; none for what this API serves itself.",
      false,
    ),
    field("version", "s", "Version of the group that the server serves.", false),
    field("versionPriority", "i", "Versions with a higher number come first within their group."),
  ];
  const condition = [
    field("lastTransitionTime", "t", "When the status of the condition changed last.", false),
    field("message", "s", "Why, for people.", false),
    field("reason", "s", "Why, in one word.", false),
    field("status", "s", "True, False or Unknown."),
    field("type", "s", "Name of the condition."),
  ];
  const whole = [
    field("apiVersion", "s", "", false),
    field("kind", "s", "", false),
    field("metadata", "#meta.v1.ObjectMeta", "", false),
    field("spec", `#${prefix}.APIServiceSpec`, "What is served, and by whom.", false),
    field("status", `#${prefix}.APIServiceStatus`, "Whether it is reached.", false),
  ];
  const conditions = field(
    "conditions",
    `[]#${prefix}.APIServiceCondition`,
    "Whether the server is available.",
    false,
  );
  yield [`${prefix}.APIService`, { text: "A server for one version of an API group.", fields: whole }];
  yield [`${prefix}.APIServiceSpec`, { text: "What a server serves, and where it is.", fields: spec }];
  yield [`${prefix}.APIServiceStatus`, { text: "What is known about a server.", fields: [conditions] }];
  yield [
    `${prefix}.APIServiceCondition`,
    { text: "One thing that is known about a server.", fields: condition },
  ];
  yield [`${prefix}.ServiceReference`, { text: "A Service and its port.", fields: service }];
}

function reachable(): string[] {
  const queue = [
    ...catalogRows.map(definitionOfRow),
    "autoscaling.v1.Scale",
    "policy.v1.Eviction",
    "authentication.v1.TokenRequest",
    "meta.v1.DeleteOptions",
    "meta.v1.ListMeta",
    "meta.v1.Status",
  ];
  const seen = new Set<string>();
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (seen.has(name)) continue;
    seen.add(name);
    const definition = definitions.get(name);
    if (definition === undefined) throw new Error(`No definition of ${name}`);
    for (const { code } of definition.fields) {
      const target = code.split("#")[1];
      if (target !== undefined) queue.push(target);
    }
  }
  return [...seen].sort();
}

function write(names: string[]): void {
  const types: Record<string, Record<string, string>> = {};
  const texts: Record<string, Record<string, string>> = {};
  for (const name of names) {
    const { text, fields } = definitions.get(name) ?? { text: "", fields: [] };
    types[name] = Object.fromEntries(
      fields.map((field) => [
        field.name,
        `${field.code}${merges[`${name}.${field.name}`] ?? ""}${field.required ? "!" : ""}`,
      ]),
    );
    texts[name] = { "": text, ...Object.fromEntries(fields.map((field) => [field.name, field.text])) };
  }
  const folder = join(import.meta.dir, "../cloud/kube-api/schema");
  writeFileSync(join(folder, "schema-types.txt"), `${lines(types)}\n`);
  writeFileSync(join(folder, "schema-texts.txt"), `${lines(texts)}\n`);
}

/** JSON with one definition a line, so that changes of the data can be read. */
function lines(table: Record<string, unknown>): string {
  const rows = Object.entries(table).map(([name, row]) => `${JSON.stringify(name)}:${JSON.stringify(row)}`);
  return `{\n${rows.join(",\n")}\n}`;
}
