import { asRecord } from "#shared/json";

/** Where the API server reaches the kubelets of all nodes. */
export interface KubeletAddress {
  readonly address: string;
  readonly port: number;
}

/**
 * The status of a Node, or a patch of it, with the address of cloudcore as InternalIP: kube-apiserver dials that, unless it is
 * told otherwise (`--kubelet-preferred-address-types`). The node's own becomes its ExternalIP. A Node has one address of a type.
 */
export function reportedAt<T extends Readonly<Record<string, unknown>>>(
  status: T,
  kubelet: KubeletAddress | undefined,
): T {
  const { addresses, daemonEndpoints } = status;
  if (!kubelet) return status;
  // The order names entries of the patch as the node sent it.
  const { "$setElementOrder/addresses": _order, ...rest } = status;
  return {
    ...rest,
    ...(Array.isArray(addresses) && { addresses: movedAddresses(addresses, kubelet.address) }),
    ...((daemonEndpoints !== undefined || Array.isArray(addresses)) && {
      daemonEndpoints: { kubeletEndpoint: { Port: kubelet.port } },
    }),
    // A part of what it was.
  } as unknown as T;
}

function movedAddresses(addresses: readonly unknown[], address: string): unknown[] {
  const own = addresses.map(asRecord).find((one) => one?.["type"] === "InternalIP")?.["address"];
  const others = addresses.filter((one) => !isMoved(asRecord(one)?.["type"]));
  const isOwn = typeof own === "string" && own !== address;
  return [
    { type: "InternalIP", address },
    ...(isOwn ? [{ type: "ExternalIP", address: own }] : []),
    ...others,
  ];
}

function isMoved(type: unknown): boolean {
  return type === "InternalIP" || type === "ExternalIP";
}
