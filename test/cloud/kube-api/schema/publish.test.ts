import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { builtinKinds, findKind, type KindInfo } from "#cloud/kube-api/kinds";
import { fieldsV1Of } from "#cloud/kube-api/schema";
import { openApiDocument } from "#cloud/kube-api/schema/openapi";
import type { JsonObject } from "#shared/json";
import { apiVersionOf, formatQuantity, parseQuantity } from "#shared/kube";

const byVersion = Map.groupBy(builtinKinds(), (kind) => apiVersionOf(kind));

describe("an OpenAPI document", () => {
  test.each([...byVersion])("of %s has every schema that it refers to", (apiVersion, kinds) => {
    const text = JSON.stringify(openApiDocument(apiVersion, kinds));
    const { components } = JSON.parse(text) as { components: { schemas: JsonObject } };
    const wanted = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name = ""]) => name);
    expect(wanted.filter((name) => components.schemas[name] === undefined)).toEqual([]);
  });

  test("has the merge keys of lists for kubectl", () => {
    const { components } = openApiDocument("v1", byVersion.get("v1") ?? []) as {
      components: { schemas: Record<string, JsonObject> };
    };
    const { properties } = components.schemas["io.k8s.api.core.v1.PodSpec"] as {
      properties: Record<string, JsonObject>;
    };
    expect(properties.containers).toMatchObject({
      type: "array",
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
      "x-kubernetes-patch-merge-key": "name",
      "x-kubernetes-patch-strategy": "merge",
      items: { $ref: "#/components/schemas/io.k8s.api.core.v1.Container" },
    });
  });
});

describe("managed fields", () => {
  test("name list items by their keys", () => {
    const kind = findKind("v1", "Pod") as KindInfo;
    const object = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "x", uid: "u", labels: { a: "b" } },
      spec: {
        containers: [{ name: "c", ports: [{ containerPort: 80 }], args: ["x"] }],
        nodeSelector: { a: "b" },
      },
    };
    expect(fieldsV1Of(kind, object)).toEqual({
      "f:metadata": { "f:labels": { "f:a": {} } },
      "f:spec": {
        "f:containers": {
          'k:{"name":"c"}': {
            ".": {},
            "f:name": {},
            "f:ports": {
              'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} },
            },
            "f:args": {},
          },
        },
        "f:nodeSelector": {},
      },
    });
  });
});

describe("quantities", () => {
  const canonical = (text: string): string | undefined => {
    const quantity = parseQuantity(text);
    return quantity && formatQuantity(quantity);
  };

  test.each([
    ["0.5", "500m"],
    ["1.5Gi", "1536Mi"],
    ["1000m", "1"],
    ["1024Ki", "1Mi"],
    ["1000k", "1M"],
    ["512Ki", "512Ki"],
    ["1e3", "1e3"],
    ["0.1m", "100u"],
    ["-2", "-2"],
    ["0", "0"],
    ["0Mi", "0"],
    ["4", "4"],
    ["8Gi", "8Gi"],
    ["x", undefined],
    ["1 Gi", undefined],
    ["", undefined],
  ])("read %s as %s", (text, want) => {
    expect(canonical(text)).toBe(want);
  });

  test("read the same when written and read again", () => {
    const suffix = fc.constantFrom("", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti");
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000 }), suffix, (number, unit) => {
        const once = canonical(`${number}${unit}`);
        expect(canonical(once ?? "")).toBe(once);
      }),
    );
  });
});
