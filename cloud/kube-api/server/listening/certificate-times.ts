import type { RevisionStore } from "#cloud/kube-api/store";

const setting = "client-certificates-until";

/** Until when the client certificates that were issued are valid. */
export class CertificateTimes {
  readonly #store: Pick<RevisionStore, "setting" | "saveSetting">;
  /** 0 before the first one */
  #lastMs: number;

  constructor(store: Pick<RevisionStore, "setting" | "saveSetting">) {
    this.#store = store;
    this.#lastMs = Number(store.setting(setting) ?? 0) || 0;
  }

  get lastMs(): number {
    return this.#lastMs;
  }

  extend(untilMs: number): void {
    if (untilMs <= this.#lastMs) return;
    this.#store.saveSetting(setting, String(untilMs));
    this.#lastMs = untilMs;
  }
}
