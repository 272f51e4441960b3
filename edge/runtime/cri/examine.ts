import type { Clock } from "#shared/clock";
import type { EngineInfo } from "#edge/runtime";
import { CriCalls } from "#edge/runtime/cri/api";
import { CriEngine, type SandboxImage } from "./engine.ts";

/** What an engine says of itself. */
export interface CriExamination {
  readonly info: EngineInfo;
  /** Without a name where the engine does not tell, without an id where it does not have it. */
  readonly sandboxImage: SandboxImage;
}

/** Asks an engine about itself, once. @throws UnavailableError; AppError when it does not serve CRI v1 */
export async function examineCri(
  address: string,
  options: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<CriExamination> {
  using calls = new CriCalls(address, options);
  const engine = new CriEngine(calls, address);
  return { info: await engine.info(), sandboxImage: await engine.sandboxImage() };
}
