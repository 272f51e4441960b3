import type { FieldValidation } from "#cloud/kube-api/kinds";
import type { FieldError, KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import type { KubeObject } from "#shared/kube";

/** One object of a served kind; the namespace is empty for cluster-scoped kinds, the name for a creation. */
export interface ObjectTarget {
  readonly kind: KindInfo;
  readonly namespace: string;
  readonly name: string;
}

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly validation: FieldValidation;
  /** A text for each field that the body has more than once. */
  readonly duplicates?: readonly string[];
  readonly manager: string;
  /** Whether an apply takes fields over from other managers. */
  readonly force: boolean;
  readonly warn: (text: string) => void;
  /** Absent for what the server itself writes. */
  readonly guard?: WriteGuard;
  /** Who writes, as authentication.k8s.io UserInfo; absent for what the server itself writes. */
  readonly author?: JsonObject;
}

/** How the server itself writes. */
export const ownWrite: WriteOptions = {
  dryRun: false,
  validation: "Warn",
  manager: "cloudcore",
  force: true,
  warn: () => undefined,
};

/** What the author of a request may write; both throw a Refusal. */
export interface WriteGuard {
  /** Called before a PUT or an apply creates an object. */
  readonly mayCreate: (target: ObjectTarget) => void;
  /** Called with every object as it is to be stored. */
  readonly mayStore: (target: ObjectTarget, next: JsonObject, current: JsonObject | undefined) => void;
}

/** An object after a request. */
export interface Written {
  readonly text: string;
  readonly created: boolean;
  /** Whether the request removed it; `text` is its last state then. */
  readonly gone: boolean;
}

/** Finds another object, for what an admission has to compare; undefined when there is none. */
export type Lookup = (group: string, plural: string, key: ObjectKey) => KubeObject | undefined;

export interface ObjectKey {
  readonly namespace: string;
  readonly name: string;
}

/** All objects of a kind in a namespace. */
export type Listing = (group: string, plural: string, namespace: string) => readonly KubeObject[];

/** Judges an object beyond its schema; without causes it is admitted. */
export type Admission = (object: KubeObject, lookup: Lookup, list: Listing) => readonly AdmissionCause[];

export type AdmissionCause = FieldError;
