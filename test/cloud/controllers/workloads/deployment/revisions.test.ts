import { expect, test } from "bun:test";
import {
  annotationsFor,
  nextRevision,
  revisionAnnotation,
  revisionOf,
} from "#internal/cloud/controllers/workloads/deployment/revisions.ts";
import type { Deployment, ReplicaSet } from "#internal/cloud/controllers/framework/workloads.ts";

function replicaSet(revision: string): ReplicaSet {
  const selector = { matchLabels: { a: "b" } };
  return {
    metadata: { name: "w", annotations: { [revisionAnnotation]: revision } },
    spec: { selector, template: { metadata: { labels: { a: "b" } }, spec: { containers: [] } } },
  };
}

const deployment: Deployment = { metadata: { name: "w" }, spec: replicaSet("0").spec };

test("the next revision follows the largest, however large that of an adopted ReplicaSet is", () => {
  const next = nextRevision(["2", "3546343826724305832", "many"].map(replicaSet));
  expect(annotationsFor(deployment, undefined, next)).toEqual({
    [revisionAnnotation]: "3546343826724305833",
  });
  expect(nextRevision([])).toBe(1n);
});

test("what is no revision counts as none", () => {
  expect(["-1", "1e3", "", "99999999999999999999"].map((text) => revisionOf(replicaSet(text)))).toEqual([
    0n,
    0n,
    0n,
    0n,
  ]);
});
