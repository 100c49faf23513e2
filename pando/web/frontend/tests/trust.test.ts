import { describe, expect, test } from "vitest";

import noise from "../../../../tests/vectors/noise.json";
import vectors from "../../../../tests/vectors/trust.json";
import { fromBase64, toBase64 } from "../src/trust/bytes";
import { type Certificate, issueCertificate, readCertificate } from "../src/trust/certificate";
import { HandshakeFailedError, JoinRefusedError, TrustError } from "../src/trust/errors";
import { type Expected, Initiator, type InitiatorOptions } from "../src/trust/initiator";
import { chooseSecret, formatCredentials, parseFragment } from "../src/trust/join-link";
import { deriveLinkPsk, deriveTicketPsk, NO_SECRET, NodeKey, RootKeys } from "../src/trust/keys";
import { CipherState, HandshakeState, KK, NK } from "../src/trust/noise";
import { Responder, type RootEnd } from "../src/trust/responder";
import { bytesOf, hexOf, randomNumbers } from "./bytes";

const { keys } = vectors;
const root = new RootKeys(bytesOf(keys.rootExchange), bytesOf(keys.rootSigning));
const otherRoot = new RootKeys(new Uint8Array(32).fill(7), new Uint8Array(32).fill(8));
const childKey = new NodeKey(bytesOf(keys.child));
const parentKey = new NodeKey(bytesOf(keys.parent));
const [parentCertificate, childCertificate, renewed] = ["parent", "child", "renewed"].map((name) =>
  readCertificate(bytesOf(vectors.certificates[name as "parent"]), root.publicSigning),
) as [Certificate, Certificate, Certificate];
const psk = bytesOf(vectors.links[0]!.psk);
const ticketPsk = bytesOf(vectors.ticket.psk);
const text = (words: string): Uint8Array => new TextEncoder().encode(words);
const clock = (): number => vectors.now;

const binding = bytesOf(vectors.binding);

const linked: Expected = { is: "root", fingerprint: root.fingerprint };
const meant: Expected = {
  is: "node",
  identifier: parentCertificate.identifier,
  rootSigningKey: root.publicSigning,
};
const isChild = (identifier: Uint8Array): boolean =>
  hexOf(identifier) === hexOf(childCertificate.identifier);

const joining = (
  options: Partial<InitiatorOptions> = {},
  expected: Expected = linked,
  key = childKey,
): Initiator => new Initiator(expected, key, { psk, clock, ...options });
const child = (
  options: Partial<InitiatorOptions> = {},
  expected: Expected = meant,
  key = childKey,
): Initiator =>
  joining({ psk: ticketPsk, certificate: childCertificate, ...options }, expected, key);
const atRoot = (options: Partial<RootEnd> = {}): Responder =>
  new Responder({ is: "root", keys: root, psk, clock, ...options });
const atParent = (options: object = {}): Responder =>
  new Responder({
    is: "node",
    key: parentKey,
    certificate: parentCertificate,
    rootSigningKey: root.publicSigning,
    findPsk: (identifier) => (isChild(identifier) ? ticketPsk : null),
    clock,
    ...options,
  });
const ways = {
  first: [joining, atRoot],
  back: [(options = {}) => joining({ certificate: childCertificate, ...options }), atRoot],
  below: [child, atParent],
  open: [(options = {}) => joining({ leaveOpen: true, ...options }), atRoot],
  bound: [
    (options = {}) => joining({ leaveOpen: true, binding, ...options }),
    (options = {}) => atRoot({ binding, ...options }),
  ],
} as const;
type Way = keyof typeof ways;

describe("published vectors", () => {
  test.each(noise.vectors)("$protocol_name", (vector) => {
    const end = (side: "init" | "resp"): HandshakeState => {
      const get = (name: string): Uint8Array | undefined => {
        const value = (vector as unknown as Record<string, string>)[`${side}_${name}`];
        return value === undefined ? undefined : bytesOf(value);
      };
      return new HandshakeState(vector.protocol_name.includes("KK") ? KK : NK, {
        isInitiator: side === "init",
        prologue: get("prologue")!,
        psk: bytesOf(vector[`${side}_psks`][0]!),
        static: get("static"),
        remoteStatic: get("remote_static"),
        ephemeral: get("ephemeral"),
      });
    };
    const [initiator, responder] = [end("init"), end("resp")];
    const [first, second, ...rest] = vector.messages;
    expect(hexOf(initiator.write(bytesOf(first!.payload)))).toBe(first!.ciphertext);
    expect(hexOf(responder.read(bytesOf(first!.ciphertext)))).toBe(first!.payload);
    expect(hexOf(responder.write(bytesOf(second!.payload)))).toBe(second!.ciphertext);
    expect(hexOf(initiator.read(bytesOf(second!.ciphertext)))).toBe(second!.payload);
    const [one, other] = [initiator.split(), responder.split()];
    rest.forEach(({ payload, ciphertext }, index) => {
      const [sender, receiver] = index % 2 === 0 ? [one, other] : [other, one];
      expect(hexOf(sender.send.encrypt(bytesOf(payload)))).toBe(ciphertext);
      expect(hexOf(receiver.receive.decrypt(bytesOf(ciphertext)))).toBe(payload);
    });
  });
});

describe("the same bytes as in Python", () => {
  test("keys, certificates and tickets", () => {
    expect(hexOf(root.fingerprint)).toBe(vectors.fingerprint);
    const issued = issueCertificate(
      root,
      childCertificate.identifier,
      childKey.public,
      childCertificate.expiry,
    );
    expect(hexOf(issued.encoded)).toBe(vectors.certificates.child);
    expect(hexOf(deriveTicketPsk(bytesOf(vectors.ticket.ticket)))).toBe(vectors.ticket.psk);
  });

  test.each(vectors.links)("the link $fragment", async ({ fragment, secret, psk }) => {
    const { invitation, problem } = parseFragment(`#${fragment}`);
    expect(problem).toBe("");
    expect(hexOf(invitation!.fingerprint)).toBe(vectors.fingerprint);
    expect(hexOf(invitation!.secret.value)).toBe(secret);
    expect(hexOf(await deriveLinkPsk(invitation!.secret, invitation!.fingerprint))).toBe(psk);
    expect(formatCredentials(invitation!)).toBe(fragment);
  });

  test.each(vectors.handshakes)("the handshake of one that comes $way", (vector) => {
    const [initiator, responder] = ways[vector.way as Way];
    const isOpen = vector.way === "open" || vector.way === "bound";
    const one = initiator({
      payload: text("a hello"),
      ephemeral: bytesOf(keys.initiatorEphemeral),
    });
    const other = responder({
      challenge: bytesOf(vectors.challenge),
      ephemeral: bytesOf(keys.responderEphemeral),
    });
    expect(hexOf(other.hello)).toBe(vector.hello);
    expect(hexOf(one.receiveHello(bytesOf(vector.hello)))).toBe(vector.request);
    expect(other.receive(bytesOf(vector.request)).payload).toEqual(text("a hello"));
    expect(hexOf(other.refuse("no more room, désolé"))).toBe(vector.refusal);
    const accepted = other.accept({
      payload: text("an answer"),
      leaveOpen: isOpen,
      ...(vector.way === "below" ? {} : { certificate: renewed }),
    });
    expect(hexOf(accepted.reply)).toBe(vector.reply);
    expect(() => one.receiveReply(bytesOf(vector.refusal))).toThrowError(
      expect.objectContaining({
        isProven: vector.way !== "below",
        message: "no more room, désolé",
      }),
    );
    const session = one.receiveReply(bytesOf(vector.reply));
    expect(session.payload).toEqual(text("an answer"));
    expect(session.transport.isEncrypted).toBe(!isOpen);
    vectors.messages.forEach((message, at) => {
      expect(hexOf(session.transport.encrypt(bytesOf(message) as Uint8Array<ArrayBuffer>))).toBe(
        vector.toResponder[at],
      );
      expect(hexOf(accepted.transport.encrypt(bytesOf(message) as Uint8Array<ArrayBuffer>))).toBe(
        vector.toInitiator[at],
      );
      expect(
        hexOf(
          session.transport.decrypt(bytesOf(vector.toInitiator[at]!) as Uint8Array<ArrayBuffer>),
        ),
      ).toBe(message);
      expect(
        hexOf(
          accepted.transport.decrypt(bytesOf(vector.toResponder[at]!) as Uint8Array<ArrayBuffer>),
        ),
      ).toBe(message);
    });
  });
});

describe.each(Object.keys(ways) as Way[])("one that comes %s", (way) => {
  const [initiator, responder] = ways[way];
  const change = (message: Uint8Array, place: number): Uint8Array => {
    const changed = message.slice();
    changed[place]! ^= 1;
    return changed;
  };
  const places = (length: number): number[] => {
    // Each byte of the heads, and a sample of what is encrypted: Python's tests change each one.
    const random = randomNumbers(length);
    return [...Array(length).keys()].filter(
      (place) => place < 8 || place === length - 1 || random() < 0.15,
    );
  };

  test("notices a changed hello, request and reply", () => {
    for (const place of places(responder().hello.length)) {
      const other = responder();
      expect(() => other.receive(initiator().receiveHello(change(other.hello, place)))).toThrow(
        TrustError,
      );
    }
    for (const place of places(initiator().receiveHello(responder().hello).length)) {
      const [one, other] = [initiator(), responder()];
      const request = one.receiveHello(other.hello);
      try {
        other.receive(change(request, place));
        expect.unreachable();
      } catch (error) {
        expect(error).toBeInstanceOf(HandshakeFailedError);
        const { answer } = error as HandshakeFailedError;
        expect(() => one.receiveReply(answer)).toThrowError(
          expect.objectContaining({ isProven: false }),
        );
      }
    }
    for (const place of places(150)) {
      const [one, other] = [initiator(), responder()];
      other.receive(one.receiveHello(other.hello));
      const { reply } = other.accept();
      if (place < reply.length)
        expect(() => one.receiveReply(change(reply, place))).toThrow(TrustError);
    }
  }, 60_000);

  test("cannot use a request or a reply twice", () => {
    const [one, other, second] = [initiator(), responder(), responder()];
    const request = one.receiveHello(other.hello);
    other.receive(request);
    expect(() => second.receive(request)).toThrow(HandshakeFailedError);
    const victim = initiator();
    victim.receiveHello(other.hello);
    expect(() => victim.receiveReply(other.accept().reply)).toThrow(TrustError);
  });

  test("is not talked out of encryption unless it has asked", () => {
    const [one, other] = [initiator(), responder()];
    const { asksOpen } = other.receive(one.receiveHello(other.hello));
    expect(asksOpen).toBe(way === "open" || way === "bound");
    const { reply } = other.accept({ leaveOpen: true });
    if (asksOpen) expect(one.receiveReply(reply).transport.isEncrypted).toBe(false);
    else expect(() => one.receiveReply(reply)).toThrow("does not encrypt");
  });
});

describe("who is not believed", () => {
  test("another root that has the secret", () => {
    expect(() => joining().receiveHello(atRoot({ keys: otherRoot }).hello)).toThrow("another run");
  });

  test("an open root, and one that only says that it is closed", () => {
    expect(() => joining().receiveHello(atRoot({ psk: null }).hello)).toThrow(
      "lets everybody join",
    );
    const sly = atRoot({ psk: NO_SECRET });
    expect(() => sly.receive(joining().receiveHello(sly.hello))).toThrow("not, or no longer, good");
  });

  test("one that shows the keys and has the whole link", () => {
    const impostor = atRoot({ keys: otherRoot });
    const one = joining();
    const request = one.receiveHello(atRoot().hello);
    expect(() => impostor.receive(request)).toThrow(HandshakeFailedError);
    expect(() => one.receiveReply(impostor.refuse("it has ended"))).toThrowError(
      expect.objectContaining({ isProven: false }),
    );
  });

  test("a wrong secret, which the root itself refuses", () => {
    const [one, other] = [joining({ psk: new Uint8Array(32) }), atRoot()];
    try {
      other.receive(one.receiveHello(other.hello));
      expect.unreachable();
    } catch (error) {
      const { answer } = error as HandshakeFailedError;
      expect(() => one.receiveReply(answer)).toThrow(JoinRefusedError);
      expect(() => one.receiveReply(answer)).toThrowError(
        expect.objectContaining({ isProven: true }),
      );
    }
  });

  test("parents of other runs, of other names, and too old ones", () => {
    const certified = (keys: RootKeys, identifier: Uint8Array, expiry: number): Certificate =>
      issueCertificate(keys, identifier, parentKey.public, expiry);
    const { identifier, expiry } = parentCertificate;
    for (const [certificate, reason] of [
      [certified(otherRoot, identifier, expiry), "has not signed"],
      [certified(root, new Uint8Array(8), expiry), "another node"],
      [certified(root, identifier, vectors.now - 1), "expired"],
    ] as const) {
      expect(() => child().receiveHello(atParent({ certificate }).hello)).toThrow(reason);
    }
  });

  test("who has a certificate and not its key", () => {
    const thief = NodeKey.generate();
    for (const [one, other] of [
      [child({}, meant, thief), atParent()],
      [child(), atParent({ key: thief })],
      [joining({ certificate: childCertificate }, linked, thief), atRoot()],
    ] as const) {
      expect(() => other.receive(one.receiveHello(other.hello))).toThrow(HandshakeFailedError);
    }
  });

  test("children without the ticket or without a certificate", () => {
    for (const options of [{ psk: null }, { psk }, { certificate: null }]) {
      const other = atParent();
      expect(() => other.receive(child(options).receiveHello(other.hello))).toThrow("this ticket");
    }
  });

  test("certificates of nodes, and of other keys", () => {
    let [one, other] = [child(), atParent()];
    other.receive(one.receiveHello(other.hello));
    const { reply } = other.accept({ certificate: renewed });
    expect(() => one.receiveReply(reply)).toThrow("only a root certifies");
    [one, other] = [joining(), atRoot()];
    other.receive(one.receiveHello(other.hello));
    expect(() => one.receiveReply(other.accept({ certificate: parentCertificate }).reply)).toThrow(
      "another key",
    );
  });

  test("nonsense", () => {
    const random = randomNumbers(1);
    for (let length = 0; length < 150; length++) {
      const bytes = Uint8Array.from({ length }, () => random() * 256);
      expect(() => joining().receiveHello(bytes)).toThrow(TrustError);
      expect(() => atRoot().receive(bytes)).toThrow(HandshakeFailedError);
    }
  });
});

test("messages that are changed, repeated or out of order end the channel", () => {
  for (const spoil of [
    ([first]: Uint8Array[]) => [first!.with(3, first![3]! ^ 1)],
    ([first]: Uint8Array[]) => [first!, first!],
    ([, second]: Uint8Array[]) => [second!],
    ([first]: Uint8Array[]) => [first!.slice(0, -1)],
  ]) {
    const [sender, receiver] = [
      new CipherState(new Uint8Array(32)),
      new CipherState(new Uint8Array(32)),
    ];
    const sealed = ["one", "two"].map((word) => sender.encrypt(text(word)));
    const spoiled = spoil(sealed);
    for (const good of spoiled.slice(0, -1)) receiver.decrypt(good);
    expect(() => receiver.decrypt(spoiled.at(-1)!)).toThrow(
      "changed on the way, or is out of order",
    );
    for (const each of sealed) expect(() => receiver.decrypt(each)).toThrow("not used any more");
  }
});

describe("links", () => {
  const { fragment } = vectors.links[0]!;

  test.each([
    [`#${fragment};start;device=My%20phone`, true, "My phone"],
    [`#start&device=a;${fragment}`, true, "a"],
    [`#${fragment};start=false`, false, null],
    [`#${fragment};device=%zz`, false, "%zz"],
  ])("%s", (given, start, device) => {
    const link = parseFragment(given);
    expect(link).toMatchObject({ start, device, problem: "" });
    expect(hexOf(link.invitation!.fingerprint)).toBe(vectors.fingerprint);
  });

  test.each(["", "#", "#device=My phone;", "#start"])("no link: %s", (given) => {
    expect(parseFragment(given)).toMatchObject({ invitation: null, problem: "" });
  });

  test.each(["#abcdefghijklmnop", "#abcdefghijklmnop;start"])("an old one: %s", (given) => {
    expect(parseFragment(given).problem).toMatch("An older version of Pando");
  });

  test.each([
    fragment.slice(0, -1),
    `${fragment}A`,
    fragment.slice(0, 22),
    `${fragment.slice(0, 22)}.short`,
    `${fragment.slice(0, -1)}*`,
    `${fragment.slice(0, 22)}.%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff%ff`,
    fragment.replace(/.$/, (last) => (last === "B" ? "C" : "B")),
    "<script>alert(1)</script>",
  ])("not complete: %s", (given) => {
    expect(parseFragment(`#${given}`)).toMatchObject({
      invitation: null,
      problem: expect.stringMatching("not complete"),
    });
  });

  test("a secret that a person chooses", () => {
    expect(chooseSecret("twelve chars")).not.toBeNull();
    for (const text of [
      "eleven char",
      "x".repeat(201),
      "two lines\nof text",
      "\ud800".repeat(12),
    ]) {
      expect(chooseSecret(text)).toBeNull();
    }
  });

  test("base64 is read only as it is written", () => {
    expect(fromBase64(toBase64(new Uint8Array([251, 255])))).toEqual(new Uint8Array([251, 255]));
    for (const text of ["A", "AB", "+w==", "A-_=", "é"]) expect(fromBase64(text)).toBeNull();
  });
});
