import { writeWhole } from "#shared/files";

export interface KubeconfigParts {
  /** e.g. https://127.0.0.1:6443 */
  readonly server: string;
  readonly caPem: string;
  readonly token: string;
}

/** A kubeconfig whose one user is the administrator. */
export function adminKubeconfig({ server, caPem, token }: KubeconfigParts): string {
  const name = "kubeedge";
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      { name, cluster: { server, "certificate-authority-data": Buffer.from(caPem).toString("base64") } },
    ],
    users: [{ name: "admin", user: { token } }],
    contexts: [{ name, context: { cluster: name, user: "admin" } }],
    "current-context": name,
  };
  return `${Bun.YAML.stringify(config, null, 2)}\n`;
}

/** Writes the administrator's kubeconfig, readable by its owner alone. */
export function writeKubeconfig(path: string, parts: KubeconfigParts): void {
  writeWhole(path, adminKubeconfig(parts));
}
