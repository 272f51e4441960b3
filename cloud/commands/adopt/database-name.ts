import { KubeError, resources, type KubeClient } from "#cloud/kube-client";
import type { Clock } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

/**
 * What nodes know this cluster by: the uid of the Namespace kube-system, which is made with the database, embedded or
 * etcd, and comes back with a restored one. Waits for an API server that is away.
 * @returns undefined when it may not be read: nodes accept such a cloud, as they accept KubeEdge's
 */
export async function databaseName(
  kube: KubeClient,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Promise<string | undefined> {
  const waits = backoff({ firstMs: 500, capMs: 10_000, random: () => clock.random() });
  for (;;) {
    try {
      const { metadata } = await kube.get(resources.namespaces, { name: "kube-system" });
      return metadata.uid;
    } catch (error) {
      if (error instanceof KubeError && !isPassing(error)) {
        log.warn("cannot read namespace kube-system: nodes are not protected from a lost database", {
          error: describeError(error),
          remedy: "apply conf/rbac/cloudcore.yaml of this version",
        });
        return undefined;
      }
      if (!(error instanceof UnavailableError) && !(error instanceof KubeError)) throw error;
      log.warn("the API server does not answer, trying again", { error: describeError(error) });
      await clock.sleep(waits.next().value);
    }
  }
}

/** An API server that is starting or overloaded says nothing of its database: nodes must not go unprotected for that. */
function isPassing({ httpStatus }: KubeError): boolean {
  return httpStatus >= 500 || httpStatus === 429;
}
