import { isMirrorPod, objectKey, type Pod } from "#shared/kube";
import { claimsOf, reference, referencesOf, type Reference } from "./references.ts";

interface Placed {
  readonly pod: Pod;
  readonly references: ReadonlySet<Reference>;
}

interface PlacementChange {
  /** references the node needs from now on */
  readonly gained: readonly Reference[];
  /** references no pod of the node needs any more */
  readonly lost: readonly Reference[];
}

/** Pods that have left a node and about which it may still send Events. */
const mostLeft = 200;

/** Which pods are bound to which node and what they read: an index, so that no lookup walks over all pods. */
export class Placement {
  readonly #nodes = new Map<string, Map<string, Placed>>();
  /** reference → node → pods of the node that read it */
  readonly #readers = new Map<Reference, Map<string, number>>();
  /** Uids of the pods that have left a node, the latest of each. */
  readonly #left = new Map<string, Set<string>>();

  /** Adds the pod, or puts it in the place of the one of the same name. */
  set(pod: Pod): PlacementChange {
    const node = pod.spec.nodeName ?? "";
    const key = objectKey(pod);
    const references = referencesOf(pod);
    const pods = this.#nodes.get(node) ?? new Map<string, Placed>();
    const old = pods.get(key)?.references ?? new Set<Reference>();
    this.#nodes.set(node, pods.set(key, { pod, references }));
    const gained = [...references].filter((name) => !old.has(name) && this.#count(name, node, 1) === 1);
    const lost = [...old].filter((name) => !references.has(name) && this.#count(name, node, -1) === 0);
    return { gained, lost };
  }

  /** @returns the references no pod of the node needs any more. */
  remove(pod: Pod): readonly Reference[] {
    const node = pod.spec.nodeName ?? "";
    const pods = this.#nodes.get(node);
    const old = pods?.get(objectKey(pod));
    if (!pods || !old) return [];
    pods.delete(objectKey(pod));
    this.#remember(node, pod.metadata.uid ?? "");
    if (pods.size === 0) this.#nodes.delete(node);
    return [...old.references].filter((name) => this.#count(name, node, -1) === 0);
  }

  podsOf(node: string): Pod[] {
    return [...(this.#nodes.get(node)?.values() ?? [])].map(({ pod }) => pod);
  }

  referencesOf(node: string): Set<Reference> {
    const placed = [...(this.#nodes.get(node)?.values() ?? [])];
    return new Set(placed.flatMap(({ references }) => [...references]));
  }

  reads(node: string, name: Reference): boolean {
    return this.#readers.get(name)?.has(node) ?? false;
  }

  readersOf(name: Reference): string[] {
    return [...(this.#readers.get(name)?.keys() ?? [])];
  }

  /** The pod of that name that is bound to the node. */
  find(node: string, namespace: string, name: string): Pod | undefined {
    return this.#nodes.get(node)?.get(`${namespace}/${name}`)?.pod;
  }

  /** Whether a pod of that name is bound to the node, or the one of that uid was not long ago. */
  knows(node: string, { namespace, name, uid }: { namespace: string; name: string; uid: string }): boolean {
    return this.find(node, namespace, name) !== undefined || this.#left.get(node)?.has(uid) === true;
  }

  forgetNode(node: string): void {
    this.#left.delete(node);
  }

  mirrorsOf(node: string): number {
    return this.podsOf(node).filter(isMirrorPod).length;
  }

  claims(node: string, namespace: string, claim: string): boolean {
    const wanted = reference("persistentvolumeclaim", namespace, claim);
    return this.podsOf(node).some((pod) => claimsOf(pod).includes(wanted));
  }

  #remember(node: string, uid: string): void {
    const left = this.#left.get(node) ?? new Set<string>();
    this.#left.set(node, left.add(uid));
    const [oldest] = left;
    if (left.size > mostLeft && oldest !== undefined) left.delete(oldest);
  }

  #count(name: Reference, node: string, step: number): number {
    const nodes = this.#readers.get(name) ?? new Map<string, number>();
    const count = (nodes.get(node) ?? 0) + step;
    if (count > 0) nodes.set(node, count);
    else nodes.delete(node);
    if (nodes.size > 0) this.#readers.set(name, nodes);
    else this.#readers.delete(name);
    return count;
  }
}
