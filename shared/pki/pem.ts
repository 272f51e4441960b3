/** DER bytes as PEM text with the given label ("CERTIFICATE", "PRIVATE KEY", …). */
export function toPem(der: Uint8Array, label: string): string {
  const base64 = Buffer.from(der).toString("base64");
  const lines = base64.match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The DER bytes of the first PEM block. @returns undefined when there is none */
export function fromPem(pem: string): Uint8Array<ArrayBuffer> | undefined {
  const block = /-----BEGIN [A-Z0-9 ]+-----([\s\S]+?)-----END [A-Z0-9 ]+-----/.exec(pem)?.[1];
  return block === undefined ? undefined : new Uint8Array(Buffer.from(block.replaceAll(/\s/g, ""), "base64"));
}
