/** The monitoring page: shows what its live stream says. */

import { Model } from "./model";
import { isRelayed, RelayedSource } from "./relayed-source";
import { DirectSource, type Source, Stream, type StreamState } from "./stream";
import { View } from "./view";

const token = (link: string): string => {
  const [, fragment] = link.split("#");
  return decodeURIComponent(fragment ?? "").trim();
};

document.getElementById("startup")?.remove();
const model = new Model();
const view = new View((command) => stream.send(command));
let state: StreamState = "connecting";

function findSource(): Source {
  if (isRelayed(location.pathname)) {
    // The server knows nothing of the run that it could write there.
    for (const link of document.querySelectorAll(
      "[href='./monitoring.json'], [href='../monitoring.json']",
    ))
      link.remove();
    return new RelayedSource(location.href);
  }
  const url = new URL("./monitoring/live", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return new DirectSource(url.href);
}

const stream: Stream = new Stream(
  findSource(),
  token(location.hash),
  (said) => {
    if (said.type === "invitation") view.showInvitation(said);
    else if (said.type === "rights") view.allowSendingAway(said.maySendAway);
    else model.apply(said);
  },
  (now, reason) => {
    state = now;
    view.show(state, model, reason);
  },
);
view.show(state, model);
stream.open();

const form = document.getElementById("token-form") as HTMLFormElement;
form.onsubmit = (event) => {
  event.preventDefault();
  const given = (document.getElementById("token") as HTMLInputElement).value;
  location.hash = given.includes("#") ? token(given) : given.trim();
};
window.addEventListener("hashchange", () => stream.open(token(location.hash)));
