/** Paths in what volunteers are shown. */

/** A quoted file of Python's, and one of a stack of JavaScript, which may have spaces. */
const QUOTED = /(File ")([^"\n]*)(?=")/g;
const IN_STACK = /(\(|@|at )((?:[A-Za-z]:)?[\\/][^()@\n]*?)(?=:\d+(?::\d+)?\)?(?:$|\n))/g;
/** Any other absolute path, which is no part of an address. */
const PLAIN = /(^|[\s"'(=])((?:[A-Za-z]:)?[\\/](?:[^\s"'()\\/:]+[\\/])+[^\s"'()\\/]+)/g;

/**
 * A traceback, or another text of the function's, without the folders of its files.
 *
 * How somebody's disk is arranged is nobody's business but their own.
 */
export function withoutFolders(text: string): string {
  const shorten = (_: string, before: string, path: string): string =>
    before + path.replace(/^.*[\\/]/, "");
  return text.replace(QUOTED, shorten).replace(IN_STACK, shorten).replace(PLAIN, shorten);
}
