import { Refusal, type ApiOutcome } from "#cloud/kube-api/status";

/** The value of an outcome; its warnings go to `warn`. @throws Refusal */
export function unwrap<T>(outcome: ApiOutcome<T>, warn: (text: string) => void): T {
  if (!outcome.ok) throw new Refusal(outcome.status);
  for (const warning of outcome.warnings) warn(warning);
  return outcome.value;
}
