import type { Informer } from "#cloud/kube-client";
import { RuleBook, RuleReader } from "#cloud/router/rules";
import type { Clock } from "#shared/clock";
import { objectKey, type Node, type Rule, type RuleEndpoint } from "#shared/kube";

export interface RuleWatchOptions {
  readonly rules: Informer<Rule>;
  readonly endpoints: Informer<RuleEndpoint>;
  readonly nodes: Informer<Node>;
  readonly clock: Clock;
}

export interface RuleFollower {
  /** Called soon after changes, once for all of a while; `touched`: rules that changed, or may read differently now. */
  readonly changed: (touched: ReadonlySet<string>) => void;
  readonly removed: (rule: string) => void;
}

/** To have thousands of rules applied one by one makes few books of all of them. */
const soonMs = 50;

/** The rules as the API has them. A change is in effect at once: the book is made when it is asked for. */
export class RuleWatch implements Disposable {
  readonly #options: RuleWatchOptions;
  readonly #stack = new DisposableStack();
  readonly #reader = new RuleReader();
  #book: RuleBook | undefined;
  #follower: RuleFollower | undefined;
  #touched: Set<string> | undefined;
  #timer: Disposable | undefined;

  constructor(options: RuleWatchOptions) {
    this.#options = options;
  }

  /** Reports what is there, and every change from now on. */
  start(follower: RuleFollower): void {
    this.#follower = follower;
    const { rules, endpoints, nodes } = this.#options;
    this.#stack.use(
      rules.watch({
        added: (rule) => this.#touch(objectKey(rule)),
        updated: (rule, old) => {
          if (!isSameRule(rule, old)) this.#touch(objectKey(rule));
        },
        removed: (rule) => {
          this.#touch(objectKey(rule));
          follower.removed(objectKey(rule));
        },
      }),
    );
    this.#stack.use(
      endpoints.watch({
        added: () => this.#touch(),
        updated: (endpoint, old) => {
          if (!Bun.deepEquals(endpoint.spec, old.spec)) this.#touch();
        },
        removed: () => this.#touch(),
      }),
    );
    this.#stack.use(
      nodes.watch({
        updated: ({ metadata }, old) => {
          if (!Bun.deepEquals(metadata.labels, old.metadata.labels)) this.#touch();
        },
      }),
    );
  }

  book(): RuleBook {
    const { rules, endpoints } = this.#options;
    return (this.#book ??= new RuleBook(rules.list(), (key) => endpoints.get(key), this.#reader));
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#stack.dispose();
  }

  #touch(rule?: string): void {
    this.#book = undefined;
    if (!this.#touched) {
      this.#touched = new Set();
      this.#timer = this.#options.clock.after(soonMs, () => {
        const touched = this.#touched ?? new Set();
        this.#touched = undefined;
        this.#follower?.changed(touched);
      });
    }
    if (rule !== undefined) this.#touched.add(rule);
  }
}

/** A status alone, which the router writes every few seconds, does not make another book of all rules. */
function isSameRule({ metadata, spec }: Rule, old: Rule): boolean {
  const { uid, labels, annotations } = old.metadata;
  return (
    metadata.uid === uid &&
    Bun.deepEquals(spec, old.spec) &&
    Bun.deepEquals([metadata.labels, metadata.annotations], [labels, annotations])
  );
}
