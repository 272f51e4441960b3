/** An engine: which interface it has, and where. */
export interface RuntimeEndpoint {
  readonly kind: "docker" | "cri";
  /** `unix:///path`, for Docker also `tcp://host:port` */
  readonly address: string;
}

/** Where the engines of distributions listen, in the order in which they are looked for. */
export const usualEndpoints: readonly RuntimeEndpoint[] = [
  { kind: "docker", address: "unix:///var/run/docker.sock" },
  { kind: "cri", address: "unix:///run/containerd/containerd.sock" },
  { kind: "cri", address: "unix:///var/run/crio/crio.sock" },
];

export function pathOf({ address }: RuntimeEndpoint): string {
  return address.replace(/^unix:\/\//, "");
}
