export interface LeftOut {
  readonly scripts: RegExp;
  readonly reason: string;
}

/** Scripts that are not run; the reasons are in docs/mqtt.md. */
export const leftOut: readonly LeftOut[] = [
  { scripts: /^06-|^08-(ssl-bridge|tls-psk-bridge)/, reason: "bridges between brokers" },
  { scripts: /^08-tls-psk-pub/, reason: "TLS with pre-shared keys" },
  { scripts: /^08-ssl-hup|^09-pwfile/, reason: "mosquitto's password files" },
  { scripts: /^09-plugin|^14-/, reason: "plugins of mosquitto" },
  { scripts: /^10-/, reason: "mount points" },
  { scripts: /^09-extended-auth/, reason: "enhanced authentication" },
];
