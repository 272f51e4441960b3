import { beforeAll, expect, test } from "bun:test";
import {
  admitCreate,
  admitUpdate,
  builtinKinds,
  decodeBody,
  establishCrd,
  kindsOfCrd,
  tableCells,
  tableColumns,
  type KindInfo,
  type UpdateVia,
} from "#cloud/kube-api/kinds";
import { strategicMerge } from "#cloud/kube-api/patch";
import { isObject, type Json, type JsonObject } from "#shared/json";
import recorded from "./recorded.json";

/** Answers of a real kube-apiserver 1.26, in order; each is made again by the pure rules from the objects made before. */
interface Step {
  name: string;
  method: string;
  path: string;
  status: number;
  body?: Json;
  contentType?: string;
  want: Json;
}

const now = "2026-01-01T00:00:00Z";
const volatile = new Set(["<volatile>", "<age>", "<ip>", "<time>"]);
const kinds: KindInfo[] = [...builtinKinds()];
const objects = new Map<string, JsonObject>();

const answers = new Map<string, Json>();

beforeAll(() => {
  for (const step of recorded as Step[]) answers.set(step.name, structuredClone(answer(step)));
});

for (const step of recorded as Step[])
  test(`kinds answer as recorded: ${step.name}`, () => {
    expect(differences(step.want, answers.get(step.name), "")).toEqual([]);
  });

interface Target {
  kind: KindInfo;
  namespace: string;
  name: string;
  via: UpdateVia;
}

function answer(step: Step): Json {
  const target = read(step.path);
  if (step.method === "GET") return table(target, step);
  if (step.method === "POST") return create(target, step.body ?? null, step.path.includes("Strict"));
  return patch(target, step);
}

function read(path: string): Target {
  const pattern =
    /^\/(?:api|apis\/(?<group>[^/]+))\/(?<version>[^/?]+)(?:\/namespaces\/(?<namespace>[^/]+)(?=\/))?\/(?<plural>[^/?]+)(?:\/(?<name>[^/?]+))?(?:\/(?<via>\w+))?/;
  const {
    group = "",
    version,
    namespace = "",
    plural,
    name = "",
    via = "",
  } = pattern.exec(path)?.groups ?? {};
  const kind = kinds.find((one) => one.group === group && one.version === version && one.plural === plural);
  if (kind === undefined) throw new Error(`no kind for ${path}`);
  return { kind, namespace, name, via: via as UpdateVia };
}

function create({ kind, namespace }: Target, body: Json, strict: boolean): Json {
  const decoded = decodeBody(kind, structuredClone(body), { validation: strict ? "Strict" : "Warn" });
  if (!decoded.ok) return decoded.status as unknown as Json;
  const metadata = decoded.value.metadata as JsonObject;
  if (namespace !== "") metadata.namespace = namespace;
  metadata.name ??= `${metadata.generateName as string}abcde`;
  const admitted = admitCreate(kind, decoded.value, { now });
  if (!admitted.ok) return admitted.status as unknown as Json;
  const stored =
    kind.kind === "CustomResourceDefinition" ? establishCrd(admitted.value, [], now) : admitted.value;
  kinds.push(...(stored === admitted.value ? [] : kindsOfCrd(stored)));
  objects.set(`${kind.plural}/${namespace}/${metadata.name as string}`, stored);
  return stored;
}

function patch({ kind, namespace, name, via }: Target, step: Step): Json {
  const key = `${kind.plural}/${namespace}/${name}`;
  const current = objects.get(key) ?? {};
  const patched = step.contentType?.includes("strategic")
    ? strategicMerge(kind, current, step.body as JsonObject)
    : ({ ok: true, value: mergePatch(structuredClone(current), step.body ?? null) } as const);
  if (!patched.ok) return patched.status as unknown as Json;
  const decoded = decodeBody(kind, patched.value, { validation: "Ignore" });
  if (!decoded.ok) return decoded.status as unknown as Json;
  const admitted = admitUpdate(kind, { next: decoded.value, current: structuredClone(current), via });
  if (!admitted.ok) return admitted.status as unknown as Json;
  objects.set(key, admitted.value);
  return admitted.value;
}

function table({ kind, namespace, name }: Target, step: Step): Json {
  const wanted = name === "" ? /metadata\.name%3D([\w-]+)/.exec(step.path)?.[1] : name;
  const prefix = `${kind.plural}/${namespace}/`;
  const found = [...objects].filter(
    ([key]) => key.startsWith(prefix) && (wanted === undefined || key === prefix + wanted),
  );
  return {
    columnDefinitions: tableColumns(kind) as unknown as Json,
    rows: found.map(([, object]) => ({ cells: tableCells(kind, object, Date.parse(now)) })),
  };
}

function mergePatch(target: Json, change: Json): Json {
  if (!isObject(change)) return change;
  const merged = isObject(target) ? target : {};
  for (const [key, value] of Object.entries(change))
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key] ?? null, value);
  return merged;
}

/** Leaves of the recorded answer that are missing or other; what changes from run to run is passed over. */
function differences(want: Json | undefined, got: Json | undefined, path: string): string[] {
  if (typeof want === "string" && volatile.has(want)) return [];
  if (isEmpty(want) && got === undefined) return [];
  if (Array.isArray(want)) {
    if (!Array.isArray(got) || got.length !== want.length) return [`${path}: ${JSON.stringify(got)}`];
    return want.flatMap((item, index) => differences(item, got[index], `${path}[${index}]`));
  }
  if (!isObject(want))
    return want === got ? [] : [`${path}: want ${JSON.stringify(want)}, got ${JSON.stringify(got)}`];
  if (!isObject(got)) return [`${path}: ${JSON.stringify(got)}`];
  return Object.entries(want).flatMap(([key, value]) => differences(value, got[key], `${path}.${key}`));
}

function isEmpty(value: Json | undefined): boolean {
  return (
    value === null ||
    value === "" ||
    (typeof value === "object" && value !== undefined && Object.keys(value).length === 0)
  );
}
