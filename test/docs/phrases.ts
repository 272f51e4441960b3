/** Phrases readers of this field do not know, with what is meant. */
const phrases: readonly (readonly [RegExp, string])[] = [
  [/\banew\b/i, "again"],
  [/\bhears? (of|from)\b/i, "learns of, is notified"],
  [/\bhearers?\b/i, "subscriber"],
  [/\bgo(es)? away\b/i, "is removed, disconnects"],
  [/\b(is|are|be) told\b/i, "is notified, is sent"],
  [/\btold (once|again|by)\b/i, "reported"],
  [/\bmend(s|ed|ing)?\b/i, "fix"],
  [/\bin good order\b/i, "gracefully"],
  [/\basks? for nothing\b/i, "is unauthenticated"],
  [/\bvalues of the past\b|\bpast values\b/i, "history"],
  [/\blets? everybody in\b/i, "accepts everybody"],
  [/\bhas to be had\b|\bcan be had\b/i, "is available"],
  [/\bgiven up\b|\bgives up\b/i, "dropped, drops"],
  [/\bmakes? no sense\b/i, "is invalid"],
  [/\bsign of life\b/i, "keepalive"],
  [/\bdoor for\b/i, "endpoint"],
  [/\bended (certificate|node certificate|token)\b/i, "expired"],
  [/\bwhoever\b/i, "users who, everyone who"],
  [/\bobey(s|ed)?\b/i, "accepts, applies"],
  [/\bstands? still\b/i, "hangs, is not renewed"],
  [/\bmakes? known\b/i, "announces, publishes"],
  [/\bby and by\b/i, "gradually"],
  [/\bwent away\b/i, "was removed, disconnected"],
  [/\bof (old|late)\b/i, "former, recent"],
  [/\bmisfits?\b/i, "values that do not match"],
];

/** @returns each line with a phrase, and what to say */
export function oddPhrases(text: string): string[] {
  return text.split("\n").flatMap((line, index) =>
    phrases.flatMap(([phrase, meant]) => {
      const found = phrase.exec(line)?.[0];
      return found === undefined ? [] : [`line ${index + 1}: "${found}", say: ${meant}`];
    }),
  );
}
