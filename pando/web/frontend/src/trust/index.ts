/** What a tab needs to join. It holds the cryptography, so it is imported when one does. */

export { readCertificate } from "./certificate";
export { readHello } from "./handshake";
export { Initiator } from "./initiator";
export { deriveLinkPsk, deriveTicketPsk, NodeKey, prepareSignatures } from "./keys";
export { KEY_BYTES } from "./noise";
export { Responder } from "./responder";
