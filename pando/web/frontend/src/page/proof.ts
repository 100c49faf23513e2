/** What this page shows of its link to be told of the run: the secret itself is never sent. */

import { parseFragment } from "../trust/join-link";

/**
 * Prove to have a link.
 *
 * @param credentials - what follows the `#` of the link, without words for the page.
 * @returns empty without a link that could be good.
 */
export async function proveInvitation(credentials: string): Promise<string> {
  const { invitation } = parseFragment(credentials);
  if (invitation === null) return "";
  const [{ deriveLinkPsk }, { sha256 }, { bytesToHex, concatBytes, utf8ToBytes }] =
    await Promise.all([
      import("../trust"),
      import("@noble/hashes/sha2.js"),
      import("@noble/hashes/utils.js"),
    ]);
  const psk = await deriveLinkPsk(invitation.secret, invitation.fingerprint);
  return bytesToHex(sha256(concatBytes(utf8ToBytes("Pando page\0"), psk)));
}
