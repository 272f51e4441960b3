import { definitionName } from "#cloud/kube-api/schema";
import type { RevisionStore } from "#cloud/kube-api/store";
import { chooseStorageClass, protect } from "./claims.ts";
import type { NewObject } from "./new-object.ts";
import { checkPriorityClass } from "./priority-classes.ts";
import { checkAccount } from "./surroundings.ts";

type Step = (created: NewObject, store: RevisionStore) => void;

/** By kind, in the order of kube-apiserver's admission plugins. */
const steps: Readonly<Record<string, readonly Step[]>> = {
  "core.v1.Pod": [checkAccount],
  "core.v1.PersistentVolume": [protect("kubernetes.io/pv-protection")],
  "core.v1.PersistentVolumeClaim": [chooseStorageClass, protect("kubernetes.io/pvc-protection")],
  "scheduling.v1.PriorityClass": [checkPriorityClass],
};

/** Completes a new object by what others say. @throws Refusal (Forbidden) */
export function completeNew(created: NewObject, store: RevisionStore): void {
  for (const step of steps[definitionName(created.kind)] ?? []) step(created, store);
}
