import type { ExtraResource, RequestFigure } from "#cloud/kube-api/http";
import type { Admission } from "#cloud/kube-api/objects";
import type { ListenConfig } from "#cloud/kube-api/server/listening";
import type { OpenNodeStream } from "#cloud/kube-api/server/pod-streams";
import type { LostStatuses } from "#cloud/kube-api/store";
import type { Clock } from "#shared/clock";
import type { ConnectionBudget } from "#shared/connections";
import type { KubeObject } from "#shared/kube";
import type { Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";

export interface ApiServerConfig extends ListenConfig {
  readonly dataDir: string;
  /** `<dataDir>/cloudcore.db` by default; ":memory:" for tests */
  readonly databasePath?: string;
  /** Where the keys are that encrypt Secrets; without one they are not encrypted. */
  readonly keyFile?: string;
  readonly tls: { readonly certPem: string; readonly keyPem: string; readonly caPem: string };
  readonly adminToken: string;
  /** The client certificate by which aggregated servers know this API. */
  readonly proxyIdentity?: { readonly cert: string; readonly key: string };
  /** Token of the process's own client, whose requests are exempt from limits. */
  readonly ownToken?: string;
  /** How many revisions stay followable; 10,000 by default. */
  readonly historyRevisions?: number;
  /** Limits on what slow readers hold, where they differ from the defaults of `StreamPool`. */
  readonly streams?: { readonly limitBytes?: number; readonly stallMs?: number };
  /** Called with every object whose spec is new, after its schema was checked; causes it returns refuse it (422 Invalid). */
  readonly admit?: Admission;
}

export interface ApiServerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Places for connections, shared with the other servers of the process; of its own by default. */
  readonly connections?: ConnectionBudget;
  /** Called for each request that was answered. */
  readonly countRequest?: ((figure: RequestFigure) => void) | undefined;
  /** The text of `/metrics`. */
  readonly figures?: (() => string) | undefined;
}

export interface ApiServer extends Running {
  readonly url: string;
  readonly port: number;
  /** Unix socket for requests that this process passes on: without TLS, and not counted among the connections. */
  readonly socket: string;
  /** Answers a request of this process without a connection, as if it had arrived on one. */
  answer(request: Request): Promise<Response>;
  /** Writes the administrator's kubeconfig (mode 0600). */
  writeKubeconfig(path: string): void;
  /** Creates or updates objects so that they are as given, in order; CustomResourceDefinitions are served at once. */
  ensureObjects(objects: readonly KubeObject[]): Promise<void>;
  /** Publishes the address at which nodes reach this API as the Service `kubernetes`. */
  publishAddress(ip: string): Promise<void>;
  /** Creates those that are missing; one that was changed stays as it is. */
  ensurePresent(objects: readonly KubeObject[]): Promise<void>;
  /** Serves further resources, answered by other modules, until disposed. */
  serve(resources: readonly ExtraResource[]): Disposable;
  /** Streams to pods are opened so, until disposed. */
  reachNodes(open: OpenNodeStream): Disposable;
  /** Certificates of the client CA are valid until then: from the return on, clients are asked for theirs. */
  askForCertificates(untilMs: number): void;
  /** What a process before this one did not store of what nodes report again and again. */
  readonly lostStatuses: LostStatuses;
  /** Deletes history past `historyRevisions` now; the server does it every half minute. */
  compact(): Promise<void>;
}
