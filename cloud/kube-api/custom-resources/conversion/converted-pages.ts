/** How one page of a stream is made. */
export interface Page {
  /** What is stored, as far as the page shows it. */
  readonly texts: readonly string[];
  /** The bytes of the page, once the texts are converted. */
  readonly bytes: () => Uint8Array;
  readonly failed: (error: unknown) => Uint8Array;
}

/** The pages of a stream whose objects a webhook converts, one at a time; after a failure there are no more. */
export class ConvertedPages {
  readonly #convert: (texts: readonly string[]) => Promise<readonly string[]>;
  readonly #ready: () => void;
  #page: Uint8Array | "under way" | undefined;
  #shown: ReadonlyMap<string, string> = new Map();
  #failed = false;

  /** @param ready called when a page can be taken */
  constructor(convert: (texts: readonly string[]) => Promise<readonly string[]>, ready: () => void) {
    this.#convert = convert;
    this.#ready = ready;
  }

  /** The page that was taken last is the end. */
  get failed(): boolean {
    return this.#failed && this.#page === undefined;
  }

  /** The page that was begun; undefined: none was. */
  take(): Uint8Array | "later" | undefined {
    const page = this.#page;
    if (page === "under way") return "later";
    this.#page = undefined;
    return page;
  }

  begin(page: Page): "later" {
    this.#page = "under way";
    void this.#make(page);
    return "later";
  }

  /** The converted text, while a page is made. */
  shown(text: string): string {
    return this.#shown.get(text) ?? text;
  }

  async #make({ texts, bytes, failed }: Page): Promise<void> {
    try {
      const converted = await this.#convert(texts);
      this.#shown = new Map(texts.map((text, index) => [text, converted[index] ?? text]));
      this.#page = bytes();
    } catch (error) {
      this.#failed = true;
      this.#page = failed(error);
    } finally {
      this.#shown = new Map();
    }
    this.#ready();
  }
}
