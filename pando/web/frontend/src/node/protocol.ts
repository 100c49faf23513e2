/** How a tab connects, as `pando/net/webrtc/availability.py` has it for native nodes. */

export const [AUTO, WEBSOCKET, WEBRTC] = ["auto", "websocket", "webrtc"] as const;
export const PROTOCOLS: readonly string[] = [AUTO, WEBSOCKET, WEBRTC];
export type Protocol = typeof AUTO | typeof WEBSOCKET | typeof WEBRTC;

/**
 * How to connect.
 *
 * @param wanted - what the link says; empty where it says nothing.
 * @param run - what the root has announced; empty where it does not take part in WebRTC.
 * @param isAvailable - whether this browser has WebRTC.
 */
export function chooseProtocol(wanted: string, run: string, isAvailable: boolean): Protocol {
  if (!run || wanted === WEBSOCKET || !isAvailable) return WEBSOCKET;
  return wanted === WEBRTC || (run === WEBRTC && wanted !== AUTO) ? WEBRTC : AUTO;
}

/** Why there is no WebRTC, in words for people, where the link asks for it; empty where there is. */
export function whyNoWebRtc(wanted: string, run: string, isAvailable: boolean): string {
  if (wanted !== WEBRTC) return "";
  if (!isAvailable) return "this browser does not have it";
  return run ? "" : "the run does not take part in it";
}
