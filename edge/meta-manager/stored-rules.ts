import type { KubeObject, Rule, RuleEndpoint } from "#shared/kube";
import { readRule, type RuleMeaning } from "#shared/rules";
import type { ObjectChange, ObjectName } from "#shared/topics";
import type { Store } from "#edge/store";
import { parseRow } from "./object-rows.ts";

/** The stored Rules with their RuleEndpoints: the cloud sends those that concern this node. */
export class StoredRules {
  /** by `<namespace>/<name>` */
  readonly #rules = new Map<string, Rule>();
  readonly #endpoints = new Map<string, RuleEndpoint>();

  constructor(store: Pick<Store, "metas">) {
    for (const type of ["rule", "ruleendpoint"])
      for (const { key, value } of store.metas.listByType(type)) {
        const name = store.metas.nameOf(key);
        const object = parseRow(value);
        if (name && object) this.take({ ...name, object });
      }
  }

  /** A row was committed or removed. @returns whether it is one of a rule */
  take({ type, namespace, name, object }: ObjectName & Pick<ObjectChange, "object">): boolean {
    if (type !== "rule" && type !== "ruleendpoint") return false;
    const objects: Map<string, KubeObject> = type === "rule" ? this.#rules : this.#endpoints;
    const key = `${namespace}/${name}`;
    if (object) objects.set(key, object);
    else objects.delete(key);
    return true;
  }

  /**
   * Rules that can be read. One with a selector was sent because it chooses this node; one that names another node concerns
   * this one as well, or it would not be here: who needs a side of it looks at the nodes of that side.
   */
  list(): RuleMeaning[] {
    return [...this.#rules.values()].flatMap((rule) => {
      const namespace = rule.metadata.namespace ?? "default";
      const read = readRule(rule, (name) => this.#endpoints.get(`${namespace}/${name}`));
      return read.ok ? [read.meaning] : [];
    });
  }
}
