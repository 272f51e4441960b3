/**
 * Writes cloud/kube-api/http/wire-types.txt: the protobuf messages of the served Kubernetes kinds, read from the generated.proto
 * files of k8s.io/api, k8s.io/apimachinery, k8s.io/apiextensions-apiserver and k8s.io/kube-aggregator; how Go writes a field as JSON (its name, whether it
 * is inlined, whether an empty one is left out) is in the tags of the types.go files beside them. Pass the folder that has the
 * four modules as `api`, `apimachinery`, `apiextensions-apiserver` and `kube-aggregator`.
 */
import { Glob } from "bun";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { catalogRows, definitionOfRow } from "#internal/cloud/kube-api/schema/catalog-table.ts";

interface Field {
  readonly name: string;
  readonly number: string;
  readonly type: string;
}

/** How Go's JSON writes a field. */
interface Tag {
  readonly name: string;
  readonly inlined: boolean;
  readonly keepsEmpty: boolean;
}

const scalars: Readonly<Record<string, string>> = {
  string: "s",
  bytes: "b",
  bool: "B",
  double: "d",
  int32: "i",
  int64: "i",
  uint32: "i",
  uint64: "i",
};
const beside = ["autoscaling.v1.Scale", "policy.v1.Eviction", "authentication.v1.TokenRequest"];

const root = process.argv[2];
if (root === undefined)
  throw new Error("Usage: bun scripts/generate-wire-types.ts <folder of k8s.io modules>");
const messages = new Map<string, Field[]>();
const tags = new Map<string, Map<string, Tag>>();
for (const path of new Glob("**/generated.proto").scanSync(root)) readProto(join(root, path));
const lines = reachable().map((name) => [name, ...(messages.get(name) ?? []).map(textOf(name))].join(" "));
writeFileSync(join(import.meta.dir, "../cloud/kube-api/http/wire-types.txt"), `${lines.join("\n")}\n`);

function readProto(path: string): void {
  const text = readFileSync(path, "utf8").replaceAll(/^\s*\/\/.*$/gm, "");
  const prefix = shortName(/^package ([\w.]+);/m.exec(text)?.[1] ?? "");
  for (const [, name = "", body = ""] of text.matchAll(/^message (\w+) \{([\s\S]*?)^\}/gm))
    messages.set(`${prefix}.${name}`, [...fieldsOf(body, prefix)]);
  for (const file of ["types.go", "types_jsonschema.go"]) readTags(join(dirname(path), file), prefix);
}

function* fieldsOf(body: string, prefix: string): Generator<Field> {
  const pattern = /^\s*(optional|repeated|map<string,) ([\w.]+)>? (\w+) = (\d+);/gm;
  for (const [, rule, type = "", name = "", number = ""] of body.matchAll(pattern)) {
    const shape = rule === "optional" ? "" : rule === "repeated" ? "*" : "%";
    const full = type.includes(".") ? shortName(type.replace(/^\./, "")) : `${prefix}.${type}`;
    yield { name, number, type: `${shape}${scalars[type] ?? full}` };
  }
}

/** `core.v1` of `k8s.io.api.core.v1`, `intstr` of `k8s.io.apimachinery.pkg.util.intstr`. */
function shortName(name: string): string {
  return name.replace(
    /^k8s\.io\.(api|apimachinery\.pkg(\.apis|\.util|\.api)?|(apiextensions_apiserver|kube_aggregator)\.pkg\.apis)\./,
    "",
  );
}

function readTags(path: string, prefix: string): void {
  if (!existsSync(path)) return;
  for (const [, name = "", body = ""] of readFileSync(path, "utf8").matchAll(
    /^type (\w+) struct \{([\s\S]*?)^\}/gm,
  )) {
    const found = new Map<string, Tag>();
    for (const [, type = "", tag = ""] of body.matchAll(/^\s+(?:\w+\s+)?([*\w.[\]]+)\s+`([^`]*)`/gm)) {
      const bare = type.slice(type.lastIndexOf(".") + 1);
      const wire =
        /protobuf:"[^"]*name=(\w+)/.exec(tag)?.[1] ?? `${bare.charAt(0).toLowerCase()}${bare.slice(1)}`;
      if (tag.includes("protobuf:")) found.set(wire, readTag(tag, type, wire));
    }
    tags.set(`${prefix}.${name}`, found);
  }
}

function readTag(tag: string, type: string, wire: string): Tag {
  const [name = "", ...options] = (/json:"([^"]*)"/.exec(tag)?.[1] ?? "").split(",");
  return {
    name: name === "" || name === "-" ? wire : name,
    inlined: options.includes("inline"),
    keepsEmpty: type.startsWith("*") || !options.includes("omitempty"),
  };
}

function textOf(message: string): (field: Field) => string {
  return ({ name, number, type }) => {
    const tag = tags.get(message)?.get(name);
    const isScalar = /^[sBid]$/.test(type);
    const mark = tag?.inlined ? "^" : isScalar && (tag?.keepsEmpty ?? true) ? "!" : "";
    return `${tag?.name ?? name}=${number}:${type}${mark}`;
  };
}

function reachable(): string[] {
  const queue = [...catalogRows.map(definitionOfRow), ...beside, "meta.v1.DeleteOptions", "meta.v1.Status"];
  const seen = new Set<string>();
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const fields = messages.get(name);
    // Subject reviews of a user without fields, and other kinds that have JSON alone.
    if (seen.has(name) || !fields) continue;
    seen.add(name);
    queue.push(...fields.map(({ type }) => type.replace(/^[*%]/, "")));
  }
  return [...seen].sort();
}
