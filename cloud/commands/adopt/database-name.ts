import { KubeError, resources, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

/**
 * The name by which nodes recognize the database of this cluster: the uid of the Namespace kube-system, which is created
 * with the database, embedded or etcd, and restored with it. Waits while the API server is unreachable.
 * @returns undefined when it may not be read: nodes accept such a cloud, as they accept KubeEdge's
 */
export async function fetchDatabaseName(
  kube: KubeClient,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<string | undefined> {
  const waits = backoff({ firstMs: 500, capMs: 10_000, random: () => clock.random() });
  for (;;) {
    try {
      const { metadata } = await kube.get(resources.namespaces, { name: "kube-system" });
      return metadata.uid;
    } catch (error) {
      if (error instanceof KubeError && !isTransient(error)) {
        log.warn("cannot read namespace kube-system: nodes are not protected from a lost database", {
          error: describeError(error),
          remedy: "apply conf/rbac/cloudcore.yaml of this version",
        });
        return undefined;
      }
      if (!(error instanceof UnavailableError) && !(error instanceof KubeError)) throw error;
      log.warn("API server does not answer, retrying", { error: describeError(error) });
      await clock.sleep(waits.next().value);
    }
  }
}

/** While an API server starts or is overloaded its database is unknown, which must not leave nodes unprotected. */
function isTransient({ httpStatus }: KubeError): boolean {
  return httpStatus >= 500 || httpStatus === 429;
}
