import { existsSync } from "node:fs";
import { AppError } from "#shared/errors";
import { grpcCodeOf, grpcCodes } from "#shared/grpc";
import { asText, recordOf, tryJson } from "#shared/json";
import type { EngineCallOptions, EngineInfo } from "#edge/runtime";
import type { CriCalls, EngineCondition } from "#edge/runtime/cri/api";

/** What the engine's configuration says that matters here. */
export interface EngineSettings {
  /** containerd's sandbox_image; undefined where the engine does not tell. */
  readonly sandboxImage: string | undefined;
  /** Control groups of pods are below it, as kubelet's are below kubepods. */
  readonly cgroupParent: string;
  /** containerd's, for containers of its default runtime; undefined where the engine does not tell. */
  readonly snapshotter: string | undefined;
}

export interface SandboxImage {
  readonly name: string;
  /** "sha256:…" */
  readonly id: string;
}

/** The engine itself: which it is, whether it can run pods, and how it is configured. */
export class CriEngine {
  readonly #calls: CriCalls;
  readonly #address: string;
  #settings: Promise<EngineSettings> | undefined;
  #name: string | undefined;
  #version = "";
  #sandboxImage: Promise<SandboxImage> | undefined;

  /** @param address "unix:///var/run/crio/crio.sock" */
  constructor(calls: CriCalls, address: string) {
    this.#calls = calls;
    this.#address = address;
  }

  async info(options: EngineCallOptions = {}): Promise<EngineInfo> {
    const version = await this.#calls.call("ask the engine", "Version", {}, options);
    const { status } = await this.#calls.call("ask the engine", "Status", {}, options);
    this.#name = version.runtimeName;
    this.#version = version.runtimeVersion.replace(/^v/, "");
    const problem = problemOf(status?.conditions ?? []);
    return {
      name: version.runtimeName,
      version: this.#version,
      ...(problem !== undefined && { problem }),
    };
  }

  /** "containerd" or "cri-o" */
  async name(): Promise<string> {
    return this.#name ?? (await this.info()).name;
  }

  /** As `name`, where it is known already. */
  get knownName(): string | undefined {
    return this.#name;
  }

  /** "1.7.24" */
  async version(): Promise<string> {
    await this.name();
    return this.#version;
  }

  async settings(): Promise<EngineSettings> {
    this.#settings ??= this.#readSettings();
    try {
      return await this.#settings;
    } catch (error) {
      this.#settings = undefined;
      throw error;
    }
  }

  /** The image sandboxes run; without an id while the engine does not have it, or does not tell which it is. */
  async sandboxImage(): Promise<SandboxImage> {
    const known = (this.#sandboxImage ??= this.#findSandboxImage());
    const forget = (): void => void (this.#sandboxImage = undefined);
    known.then(({ id }) => id === "" && forget(), forget);
    return known;
  }

  async #findSandboxImage(): Promise<SandboxImage> {
    const { sandboxImage: name = "" } = await this.settings();
    if (name === "") return this.#findPinnedImage();
    const { image } = await this.#calls.call(`look for image "${name}"`, "ImageStatus", {
      image: { image: name },
    });
    return { name, id: image?.id ?? "" };
  }

  /** containerd 2 does not tell the name, and pins the image; others may have pinned some besides. */
  async #findPinnedImage(): Promise<SandboxImage> {
    const { images } = await this.#calls.call("list images", "ListImages", {});
    const pinned = images.filter(({ pinned }) => pinned);
    const named = pinned.filter(({ repoTags }) => repoTags.some((name) => /\bpause\b/.test(name)));
    const [found] = named.length > 0 ? named : pinned;
    return { name: found?.repoTags[0] ?? "", id: found?.id ?? "" };
  }

  /** It may have another configuration now. */
  forget(): void {
    this.#settings = undefined;
    this.#sandboxImage = undefined;
    this.#name = undefined;
  }

  async #readSettings(): Promise<EngineSettings> {
    const { info } = await this.#calls.call("ask the engine", "Status", { verbose: true });
    const config = recordOf(tryJson(info["config"] ?? ""));
    const toml = await this.#crioConfig();
    const isSystemd =
      (await this.#usesSystemd()) ?? configuredSystemd(config) ?? isSystemdCrio(await this.name(), toml);
    return {
      sandboxImage: sandboxImageOf(config) ?? tomlText(toml, "pause_image"),
      cgroupParent: isSystemd ? "kubeedge.slice" : "/kubeedge",
      snapshotter: snapshotterOf(config),
    };
  }

  /** CRI-O tells its configuration (TOML) over HTTP on the same socket, and nothing of it by the CRI; empty where it does not. */
  async #crioConfig(): Promise<string> {
    if ((await this.name()) !== "cri-o") return "";
    try {
      const unix = this.#address.replace(/^unix:\/\//, "");
      const signal = AbortSignal.timeout(this.#calls.timeoutMs);
      return await (await fetch("http://localhost/config", { unix, signal })).text();
    } catch {
      // This version serves nothing else on its socket.
      return "";
    }
  }

  /** Undefined for engines before Kubernetes 1.28. */
  async #usesSystemd(): Promise<boolean | undefined> {
    try {
      const { linux } = await this.#calls.call("ask the engine", "RuntimeConfig", {});
      return linux ? linux.cgroupDriver === "SYSTEMD" : undefined;
    } catch (error) {
      if (error instanceof AppError && grpcCodeOf(error.cause) === grpcCodes.unimplemented) return undefined;
      throw error;
    }
  }
}

/** In the words of kubelet's `runtimeState.runtimeErrors` and `networkErrors`. */
function problemOf(conditions: readonly EngineCondition[]): string | undefined {
  const down = conditions.find(({ status }) => !status);
  if (!down) return undefined;
  const what =
    down.type === "NetworkReady" ? "container runtime network not ready" : "container runtime not ready";
  return `${what}: ${down.type}=false reason:${down.reason} message:${down.message}`;
}

/** SystemdCgroup of containerd's default runtime. */
function configuredSystemd(config: Readonly<Record<string, unknown>>): boolean | undefined {
  const { defaultRuntimeName, runtimes } = recordOf(config["containerd"]);
  const options = recordOf(recordOf(recordOf(runtimes)[asText(defaultRuntimeName)])["options"]);
  const { SystemdCgroup } = options;
  return typeof SystemdCgroup === "boolean" ? SystemdCgroup : undefined;
}

/** It uses systemd where it does not say. */
function isSystemdCrio(name: string, toml: string): boolean {
  return name === "cri-o" && tomlText(toml, "cgroup_manager") !== "cgroupfs";
}

/** A field whose name is in one table only. */
function tomlText(toml: string, field: string): string | undefined {
  return new RegExp(String.raw`^\s*${field}\s*=\s*"([^"]+)"`, "m").exec(toml)?.[1];
}

/** containerd 1 has it with its containers, containerd 2 with its images. */
function snapshotterOf(config: Readonly<Record<string, unknown>>): string | undefined {
  return asText(recordOf(config["containerd"])["snapshotter"]) || asText(config["snapshotter"]) || undefined;
}

/** containerd 1 has it beside its other settings, containerd 2 among the images that are pinned. */
function sandboxImageOf(config: Readonly<Record<string, unknown>>): string | undefined {
  const pinned = recordOf(config["pinnedImages"])["sandbox"] ?? recordOf(config["imageConfig"])["sandbox"];
  return asText(config["sandboxImage"]) || asText(pinned) || undefined;
}

/** Whether runc may limit swap: the kernel counts it. */
export function countsSwap(): boolean {
  return (
    existsSync("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes") ||
    (existsSync("/sys/fs/cgroup/cgroup.controllers") &&
      existsSync("/sys/fs/cgroup/system.slice/memory.swap.max"))
  );
}
