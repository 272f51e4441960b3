/** Attributes of HTML that hold a URL (`atomsToAttrs` of apimachinery's proxy transport). */
const urlAttributes: Readonly<Record<string, readonly string[]>> = {
  a: ["href"],
  applet: ["codebase"],
  area: ["href"],
  audio: ["src"],
  base: ["href"],
  blockquote: ["cite"],
  body: ["background"],
  button: ["formaction"],
  del: ["cite"],
  embed: ["src"],
  form: ["action"],
  frame: ["longdesc", "src"],
  head: ["profile"],
  html: ["manifest"],
  iframe: ["longdesc", "src"],
  img: ["longdesc", "src", "usemap"],
  input: ["formaction", "src", "usemap"],
  ins: ["cite"],
  link: ["href"],
  object: ["classid", "codebase", "data", "usemap"],
  q: ["cite"],
  script: ["src"],
  source: ["src"],
  track: ["src"],
  video: ["poster", "src"],
};

/** The response of a server behind the proxy: where it names paths of its own, they lead through the proxy again. */
export function rewritten(response: Response, prefix: string): Response {
  const headers = new Headers(response.headers);
  const location = headers.get("location");
  if (location !== null) headers.set("location", throughProxy(location, prefix));
  const { status, statusText, body } = response;
  const isPage = /^text\/html(;|$)/i.test(headers.get("content-type") ?? "");
  if (!isPage || body === null || headers.has("content-encoding"))
    return new Response(body, { status, statusText, headers });
  headers.delete("content-length");
  return rewriterOf(prefix).transform(new Response(body, { status, statusText, headers }));
}

/** Only absolute paths: others are relative to where the page is, or lead elsewhere. */
function throughProxy(url: string, prefix: string): string {
  const isOwnPath = url.startsWith("/") && !url.startsWith("//");
  return isOwnPath && !url.startsWith(`${prefix}/`) ? prefix + url : url;
}

function rewriterOf(prefix: string): HTMLRewriter {
  const rewriter = new HTMLRewriter();
  for (const [tag, names] of Object.entries(urlAttributes))
    for (const name of names)
      rewriter.on(`${tag}[${name}]`, {
        element: (element) => {
          const url = element.getAttribute(name);
          if (url !== null) element.setAttribute(name, throughProxy(url, prefix));
        },
      });
  return rewriter;
}
