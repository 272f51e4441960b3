import { TokenSigner } from "./tokens.ts";
import type { RevisionStore } from "#cloud/kube-api/store";

const keySetting = "service-account-key";
/** Public half of the key that signed tokens before those of nodes were bound and limited; empty without one. */
const retiredSetting = "service-account-key-retired";

/** The keys of service account tokens as PEM, created when missing. A database of an older format gets a new key once; a crash in between repeats it. */
export function signingKeys(store: RevisionStore): readonly [key: string, retired: string] {
  const kept = store.setting(keySetting);
  const former = kept === undefined ? "" : TokenSigner.publicKeyOf(kept);
  const retired = store.setting(retiredSetting);
  if (kept !== undefined && retired !== undefined && retired !== former) return [kept, retired];
  const made = TokenSigner.newKey();
  store.saveSetting(retiredSetting, former);
  store.saveSetting(keySetting, made);
  return [made, former];
}
