/**
 * Reads and changes objects by the rules of the API: which kinds there are, what a create, an update and a deletion do to
 * metadata, and what follows (addresses of services, objects of definitions). Knows no HTTP and no users.
 */
export {
  ObjectService,
  unwrap,
  type Admission,
  type AdmissionCause,
  type Lookup,
  type ObjectTarget,
  type WriteGuard,
  type WriteOptions,
  type Written,
} from "./object-service.ts";
export { crdResource, KindRegistry, resourceOf, type ServedVersion } from "./kind-registry.ts";
export { ServiceAddresses } from "./service-addresses.ts";
export { startCrdCleaner } from "./crd-cleaner.ts";
export { isReleased, planDeletion, type DeleteOptions, type DeletePlan } from "./deletion.ts";
export {
  checkIdentity,
  checkPreconditions,
  checkType,
  keepIdentity,
  keyOf,
  prepareMetadata,
} from "./identity.ts";
