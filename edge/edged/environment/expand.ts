import { AppError } from "#shared/errors";

/**
 * Characters of one text that came from variables: no program can be started with a longer one on Linux (MAX_ARG_STRLEN,
 * execve(2)). A few variables that each name the one before several times would fill the memory of the node otherwise.
 */
const longestText = 131_072;
/** Of all texts of a container together: the most that execve(2) takes, whatever the size of its stack. */
const mostTogether = 6 * 1024 * 1024;

/**
 * Kubernetes: `$(NAME)` is replaced when NAME is known, `$$(NAME)` stands for `$(NAME)`.
 * @throws AppError (CreateContainerConfigError) when no program could be started with the result
 */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return new Expansion().expand(text, env);
}

/** Expands the texts of one container, which are bounded together. */
export class Expansion {
  #together = 0;

  /** As `expand`. */
  expand(text: string, env: ReadonlyMap<string, string>): string {
    let inserted = 0;
    return text.replace(/\$(\$|\(([^()]*)\))/g, (whole, first: string, name: string | undefined) => {
      if (first === "$") return "$";
      const value = env.get(name ?? "");
      if (value === undefined) return whole;
      inserted += value.length;
      this.#together += value.length;
      if (inserted > longestText || this.#together > mostTogether)
        throw new AppError("CreateContainerConfigError", tooLong(name ?? ""));
      return value;
    });
  }
}

function tooLong(name: string): string {
  return `the variables that are expanded make too long a text: $(${name}) does not fit`;
}
