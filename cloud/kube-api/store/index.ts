/**
 * The durable memory of the embedded Kubernetes API: one append-only table of revisions in SQLite.
 *
 * 1. A revision's id is the resourceVersion; ids only grow.
 * 2. `write` resolves after the commit (synchronous=FULL); writes of one turn of the event loop share a commit.
 * 3. Followers are notified of a change after its commit, in order of revision.
 * 4. Whatever is newer than `compactedRevision` can be followed again, also after a restart; statuses and node leases, which are
 *    stored later, may lack states between.
 */
export { RevisionStore, TooLargeError, type RevisionStoreOptions } from "./revision-store.ts";
export type { ChangeType, RevisionChange, StoredKey, WriteRequest } from "./revision-change.ts";
export type { Follower } from "./followers.ts";
export { findDatabaseFault, repairDatabase, type Repair } from "./repair.ts";
export { copyDatabase, renumberDatabase, verifyDatabase } from "./snapshot.ts";
export type { LostStatuses } from "./lost-statuses.ts";
export { Readiness } from "./readiness.ts";
export { addKey, pruneKeys, readKeyRing, sealedWith } from "#cloud/kube-api/store/file";
