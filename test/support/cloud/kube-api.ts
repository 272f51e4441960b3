import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface ApiAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Calls the API of a cloudcore process as its administrator. */
export class AdminApi {
  readonly #server: string;
  readonly #token: string;

  constructor(dataDir: string) {
    const { clusters, users } = Bun.YAML.parse(readFileSync(join(dataDir, "kubeconfig"), "utf8")) as {
      clusters: { cluster: { server: string } }[];
      users: { user: { token: string } }[];
    };
    this.#server = clusters[0]?.cluster.server ?? "";
    this.#token = users[0]?.user.token ?? "";
  }

  get token(): string {
    return this.#token;
  }

  async call(method: string, path: string, body?: object): Promise<ApiAnswer> {
    const response = await fetch(`${this.#server}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": "application/json" },
      tls: { rejectUnauthorized: false },
      ...(body && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: text.startsWith("{") ? (JSON.parse(text) as ApiAnswer["body"]) : { text },
    };
  }
}
