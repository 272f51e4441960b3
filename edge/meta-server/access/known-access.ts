import type { Metas } from "#edge/store";
import { asRecord } from "#shared/json";
import { readRules, type ResourceRule } from "./rules.ts";

/** What tokens are verified with. */
export interface ApiKeys {
  readonly issuer: string;
  /** Of tokens for the API itself. */
  readonly audiences: readonly string[];
  /** A JSON web key set. */
  readonly keySet: unknown;
}

/** Rules by namespace; those for "" hold in all of them, and for what has none. */
export type AccountRules = ReadonlyMap<string, readonly ResourceRule[]>;

const keysType = "apikeys";
const rulesType = "accountrules";
const onlineType = "apionline";

/** What the node remembers of the API's access control, in its database, for the time without a link. */
export class KnownAccess {
  readonly #metas: Metas;

  constructor(metas: Metas) {
    this.#metas = metas;
  }

  keys(): ApiKeys | undefined {
    const row = this.#read({ type: keysType, namespace: "", name: "api" });
    const { issuer, audiences, keySet } = row ?? {};
    if (typeof issuer !== "string" || !Array.isArray(audiences)) return undefined;
    return { issuer, audiences: audiences.filter((one) => typeof one === "string"), keySet };
  }

  /** @returns whether they are others than before */
  putKeys(keys: ApiKeys): boolean {
    return this.#put({ type: keysType, namespace: "", name: "api" }, keys);
  }

  /** When the API was last reached, milliseconds since 1970; 0: never. */
  lastOnlineMs(): number {
    const atMs = this.#read({ type: onlineType, namespace: "", name: "api" })?.["atMs"];
    return typeof atMs === "number" ? atMs : 0;
  }

  putOnline(atMs: number): void {
    this.#put({ type: onlineType, namespace: "", name: "api" }, { atMs });
  }

  rules(namespace: string, name: string): AccountRules | undefined {
    const row = this.#read({ type: rulesType, namespace, name });
    const rules = asRecord(row?.["rules"]);
    return rules && new Map(Object.entries(rules).map(([key, value]) => [key, readRules(value)]));
  }

  putRules(namespace: string, name: string, rules: AccountRules): void {
    this.#put({ type: rulesType, namespace, name }, { rules: Object.fromEntries(rules) });
  }

  /** Forgets accounts of which there is no pod. @param accounts `<namespace>/<name>` */
  keepRulesOf(accounts: ReadonlySet<string>): void {
    for (const key of this.#metas.keysByType(rulesType)) {
      const { namespace = "", name = "" } = this.#metas.nameOf(key) ?? {};
      if (!accounts.has(`${namespace}/${name}`)) this.#metas.remove(key);
    }
  }

  #read(name: RowName): Readonly<Record<string, unknown>> | undefined {
    const row = this.#metas.find(this.#metas.keyOf(name));
    try {
      return row && asRecord(JSON.parse(row.value) as unknown);
    } catch {
      return undefined;
    }
  }

  #put(name: RowName, value: unknown): boolean {
    const key = this.#metas.keyOf(name);
    const text = JSON.stringify(value);
    if (this.#metas.find(key)?.value === text) return false;
    this.#metas.put({ key, type: name.type, value: text });
    return true;
  }
}

interface RowName {
  readonly type: string;
  readonly namespace: string;
  readonly name: string;
}
