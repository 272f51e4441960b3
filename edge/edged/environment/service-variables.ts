import type { LinkedPort, ServiceLink } from "#shared/service-links";

/** The variables that describe Services, as pkg/kubelet/envvars: `WEB_SERVICE_HOST`, and those of Docker's links. */
export function serviceVariables(links: readonly ServiceLink[]): [string, string][] {
  return links.flatMap(({ name, ip, ports: [first, ...others] }): [string, string][] => {
    if (!first) return [];
    const prefix = variableName(name);
    const ports = [first, ...others];
    return [
      [`${prefix}_SERVICE_HOST`, ip],
      [`${prefix}_SERVICE_PORT`, String(first.port)],
      ...ports.flatMap((port): [string, string][] =>
        port.name === "" ? [] : [[`${prefix}_SERVICE_PORT_${variableName(port.name)}`, String(port.port)]],
      ),
      [`${prefix}_PORT`, urlOf(ip, first)],
      ...ports.flatMap((port) => linkVariables(prefix, ip, port)),
    ];
  });
}

function linkVariables(prefix: string, ip: string, port: LinkedPort): [string, string][] {
  const name = `${prefix}_PORT_${port.port}_${port.protocol.toUpperCase()}`;
  return [
    [name, urlOf(ip, port)],
    [`${name}_PROTO`, port.protocol.toLowerCase()],
    [`${name}_PORT`, String(port.port)],
    [`${name}_ADDR`, ip],
  ];
}

function urlOf(ip: string, { protocol, port }: LinkedPort): string {
  return `${protocol.toLowerCase()}://${ip.includes(":") ? `[${ip}]` : ip}:${port}`;
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}
