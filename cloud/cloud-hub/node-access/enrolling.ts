import type { KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import type { Node } from "#shared/kube";
import type { OpenedRequest, SignedRequest } from "#shared/pki";
import { JoinTokens, judgeUse, type JoinToken, type PresentedToken, type Spent } from "./join-tokens.ts";
import {
  emptyRecord,
  withCertificate,
  type Issued,
  type IssuedCertificate,
  type NodeRecord,
} from "./node-record.ts";
import { RecordStore } from "./record-store.ts";
import {
  findHolder,
  isNodeDeleted,
  mayRejoin,
  refuseBanned,
  refuseCertificate,
  type ShownCertificate,
} from "./rules.ts";

/** A certificate is not issued; the message names the command to run. */
export class EnrollmentRefused extends AppError {
  readonly httpStatus: 401 | 403;

  constructor(httpStatus: 401 | 403, message: string) {
    super("enrollment-refused", message);
    this.httpStatus = httpStatus;
  }
}

export interface WantedCertificate {
  readonly node: string;
  /** hex SHA-256 of the CA that is going to sign */
  readonly ca: string;
  /** Reads and verifies the request, which costs something: called once all else is well. */
  readonly open: () => Promise<OpenedRequest>;
  readonly sign: (request: OpenedRequest) => Promise<SignedRequest>;
}

/**
 * Issues certificates to nodes. What is issued is on record before it is handed out: an interruption costs at most one use of
 * a token, and there is never a certificate without a record.
 */
export class Enrolling {
  readonly #tokens: JoinTokens;
  readonly #records: RecordStore;
  readonly #clock: Pick<Clock, "nowMs">;

  constructor(kube: KubeClient, clock: Pick<Clock, "nowMs">) {
    this.#tokens = new JoinTokens(kube);
    this.#records = new RecordStore(kube);
    this.#clock = clock;
  }

  /** @throws EnrollmentRefused, ProtocolError on a bad request, KubeError and UnavailableError of the API */
  async byToken(
    presented: PresentedToken,
    { node, ca, open, sign }: WantedCertificate,
  ): Promise<SignedRequest> {
    const { id } = presented;
    const seen = tokenOrRefuse({ id, node }, await this.#tokens.look(presented, { node }));
    const mayRepeat = seen.used.some((use) => use.node === node);
    const before = await this.#records.read(node);
    const isBound = seen.node === node;
    if (!mayRepeat) refuseTaken(node, before.record, before.node, this.#holds(isBound, ca, undefined));
    const request = await open();
    const holds = this.#holds(isBound, ca, request.keyHash);
    tokenOrRefuse({ id, node }, judgeUse(seen, node, request.keyHash));
    refuseTaken(node, before.record, before.node, holds);
    const use = { node, key: request.keyHash, at: rfc3339(this.#clock.nowMs()) };
    tokenOrRefuse({ id, node }, await this.#tokens.spend(presented, use));
    const signed = await sign(request);
    const issued = issuedOf(signed, { key: request.keyHash, by: `token ${id}` }, ca);
    await this.#records.update(node, (record = emptyRecord(node), object) => {
      refuseTaken(node, record, object, holds);
      const same = record.certificates.filter(({ key }) => key === request.keyHash);
      return { ...withCertificate(record, issued, same), nodeUid: object?.metadata.uid };
    });
    return signed;
  }

  /** The certificate that is shown stays good until the new one has been used: the answer may be lost. */
  async byCertificate(
    shown: ShownCertificate,
    { node, ca, open, sign }: WantedCertificate,
  ): Promise<SignedRequest> {
    const before = await this.#records.read(node);
    refuseShown(before.record, before.node, shown, this.#clock.nowMs());
    const request = await open();
    const signed = await sign(request);
    const by = shown.isShared ? "shared certificate" : "renewal";
    const issued = issuedOf(signed, { key: request.keyHash, by }, ca);
    await this.#records.update(node, (record = emptyRecord(node), object) => {
      refuseShown(record, object, shown, this.#clock.nowMs());
      const kept = shown.isShared
        ? []
        : [record.certificates.find(({ serial }) => serial === shown.serial) ?? entryOf(shown)];
      return withCertificate(record, issued, kept);
    });
    return signed;
  }

  #holds(isBound: boolean, ca: string, keyHash: string | undefined): Claim {
    return { isBound, ca, keyHash, nowMs: this.#clock.nowMs() };
  }
}

interface Claim {
  readonly isBound: boolean;
  readonly ca: string;
  readonly keyHash: string | undefined;
  readonly nowMs: number;
}

function tokenOrRefuse(by: { readonly id: string; readonly node: string }, spent: Spent): JoinToken {
  const what = `join token ${by.id}`;
  const another = "print another one in the cloud: cloudcore token create";
  switch (spent.kind) {
    case "unknown":
      throw new EnrollmentRefused(401, `${what}: revoked or unknown; ${another}`);
    case "used-up": {
      const forNode = spent.bySame ? ` --node ${by.node}` : "";
      throw new EnrollmentRefused(401, `${what}: used up; ${another}${forNode}`);
    }
    case "other-node":
      throw new EnrollmentRefused(403, `${what}: for node "${spent.node}" only; ${another}`);
    case "spent":
    case "repeated":
      return spent.token;
  }
}

/** A name that is in use needs an operator's yes: a token for that name, or a permission. */
function refuseTaken(
  node: string,
  record: NodeRecord | undefined,
  object: Node | undefined,
  { isBound, ca, keyHash, nowMs }: Claim,
): void {
  const ban = record && refuseBanned(record);
  if (ban) throw new EnrollmentRefused(403, ban.text);
  if (isBound || mayRejoin(record, nowMs)) return;
  if (keyHash !== undefined && isHeldBy(record, object, keyHash)) return;
  const holder = findHolder(record, object, { nowMs, ca });
  if (holder === undefined) return;
  throw new EnrollmentRefused(
    403,
    `node "${node}" ${holder}; to allow another machine under this name, run in the cloud: cloudcore node allow-rejoin ${node} (or give it a token for this name: cloudcore token create --node ${node})`,
  );
}

function isHeldBy(record: NodeRecord | undefined, object: Node | undefined, keyHash: string): boolean {
  if (!record || isNodeDeleted(record, object !== undefined)) return false;
  return record.certificates.some(({ key }) => key === keyHash);
}

function refuseShown(
  record: NodeRecord | undefined,
  object: Node | undefined,
  shown: ShownCertificate,
  nowMs: number,
): void {
  const refusal = refuseCertificate(record, object !== undefined, shown);
  if (refusal) throw new EnrollmentRefused(403, refusal.text);
  const { seen } = record ?? {};
  if (!shown.isShared || !record || !seen || Date.parse(seen.notAfter) <= nowMs) return;
  throw new EnrollmentRefused(
    403,
    `node "${record.node}" has a certificate of its own; the shared one gets no other (cloudcore token create --node ${record.node})`,
  );
}

function issuedOf(
  { serial, notBeforeMs, notAfterMs, atMs }: SignedRequest,
  about: Pick<IssuedCertificate, "key" | "by">,
  ca: string,
): Issued {
  const notBefore = new Date(notBeforeMs).toISOString();
  const notAfter = new Date(notAfterMs).toISOString();
  return { next: { serial, notBefore, notAfter, ...about }, at: new Date(atMs).toISOString(), ca };
}

function entryOf(shown: ShownCertificate): IssuedCertificate {
  return {
    serial: shown.serial,
    key: shown.keyHash,
    notBefore: new Date(shown.notBeforeMs).toISOString(),
    notAfter: new Date(shown.notAfterMs).toISOString(),
    by: "made elsewhere",
    used: true,
  };
}
