/** What a subprotocol of a WebSocket means for exec and attach. */
export interface SubprotocolForm {
  /** undefined for clients that name none */
  readonly name: string | undefined;
  readonly isBase64: boolean;
  /** The error channel has a Status: an exit code gets through. */
  readonly hasStatus: boolean;
  /** The client can end stdin. */
  readonly canClose: boolean;
}

const processForms: readonly SubprotocolForm[] = [
  { name: "v5.channel.k8s.io", isBase64: false, hasStatus: true, canClose: true },
  { name: "v4.channel.k8s.io", isBase64: false, hasStatus: true, canClose: false },
  { name: "v4.base64.channel.k8s.io", isBase64: true, hasStatus: true, canClose: false },
  { name: "channel.k8s.io", isBase64: false, hasStatus: false, canClose: false },
  { name: "base64.channel.k8s.io", isBase64: true, hasStatus: false, canClose: false },
];

const withoutName: SubprotocolForm = { name: undefined, isBase64: false, hasStatus: false, canClose: false };

/** The first that the client offers and we know; undefined when there is none. */
export function processFormOf(offered: readonly string[]): SubprotocolForm | undefined {
  if (offered.length === 0) return withoutName;
  return firstOf(processForms, offered);
}

/** What a subprotocol of a WebSocket means for port-forward: a pair of channels for each port, or a SPDY session within. */
export type ForwardForm =
  | { readonly name: string; readonly isTunnel: true }
  | { readonly name: string | undefined; readonly isTunnel: false; readonly isBase64: boolean };

const forwardForms = [
  { name: "SPDY/3.1+portforward.k8s.io", isTunnel: true },
  { name: "v4.channel.k8s.io", isTunnel: false, isBase64: false },
  { name: "v4.base64.channel.k8s.io", isTunnel: false, isBase64: true },
] as const;

export function forwardFormOf(offered: readonly string[]): ForwardForm | undefined {
  if (offered.length === 0) return { name: undefined, isTunnel: false, isBase64: false };
  return firstOf(forwardForms, offered);
}

/** What a subprotocol of a WebSocket means for a log (`wsstream.NewDefaultReaderProtocols`). */
export interface LogForm {
  readonly name: string | undefined;
  readonly isBase64: boolean;
}

const logForms: readonly LogForm[] = [
  { name: "binary.k8s.io", isBase64: false },
  { name: "base64.binary.k8s.io", isBase64: true },
];

export function logFormOf(offered: readonly string[]): LogForm | undefined {
  return offered.length === 0 ? { name: undefined, isBase64: false } : firstOf(logForms, offered);
}

function firstOf<T extends { readonly name: string | undefined }>(
  forms: readonly T[],
  offered: readonly string[],
): T | undefined {
  for (const name of offered) {
    const form = forms.find((one) => one.name === name);
    if (form) return form;
  }
  return undefined;
}
