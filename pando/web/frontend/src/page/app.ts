/** The volunteer's page: it starts the node in a worker of its own, and shows what that does. */

import type { DeviceState } from "../node/device-state";
import type { FromNode, ToNode } from "../node/main";
import { guessName, rememberedName, rememberName, suitableWorkers } from "./device-name";
import { savesData } from "./download";
import { parseJoinLink } from "./join-link";
import { hasWebRtc, Peers } from "./peers";
import { proveInvitation } from "./proof";
import { mayResume, readTab, STEADY_MILLISECONDS, writeTab } from "./resume";
import { isRelayed, socketUrl } from "./room";
import { fetchRun, type RunAnswer, type RunDetails, type RunSource, ServingRoot } from "./run";
import { RunLink } from "./run-link";
import { Sandbox } from "./sandbox";
import { readSentAway, writeSentAway } from "./sent-away";
import { Totals } from "./totals";
import { controls, View } from "./view";
import { releaseWakeLock, requestWakeLock } from "./wake-lock";
import { othersAllowed, rememberOthers, Willingness } from "./willingness";
import type { PageState, Stage } from "./words";

/** For so long after it was asked for, in milliseconds, it is known which run is served. */
const FRESH_MILLISECONDS = 5000;
const LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"];

export class App {
  private readonly link = parseJoinLink(location.hash);
  private readonly tab = readTab(location.hash);
  private readonly source: RunSource = isRelayed(location.pathname)
    ? new RunLink(this.link.token)
    : new ServingRoot(proveInvitation(this.link.token));
  private readonly totals = new Totals(this.tab?.totals);
  private readonly view = new View();
  private sandbox: Sandbox | null = null;
  private run: RunDetails | null = null;
  private runKnownAt = Number.NEGATIVE_INFINITY;
  private node: Worker | null = null;
  /** A node's program that has been loaded and not been started yet. */
  private spare: Worker | null = null;
  private readonly peers = new Peers();
  private readonly willingness = new Willingness(
    () => controls.others.checked,
    savesData,
    (willing) => this.post({ type: "willing", willing }),
  );
  private stage: Stage = "opening";
  private device: DeviceState | null = null;
  private downloaded = 0;
  private incomplete = false;
  private problem = "";
  /** Why there is no run at the moment, where a server says so. */
  private away = "";
  private resumed = this.tab?.resumed ?? 0;
  private steadyTimer: ReturnType<typeof setTimeout> | undefined;
  /** Whether it goes on when the browser brings this page back. */
  private suspended = false;

  /** Show the page, and find out what it is for. */
  async open(): Promise<void> {
    this.prepareControls();
    this.view.showStarted();
    this.show();
    await this.askForRun();
    if (this.stage !== "invited") return;
    if (!savesData()) this.sandbox?.prefetch();
    if (mayResume(this.tab)) {
      this.resumed += 1;
      this.start();
    } else if (this.link.start) {
      this.start();
    } else if (!savesData()) {
      whenIdle(() => this.prepare());
    }
  }

  private prepareControls(): void {
    const { name, workers, network, others, form, pause, tryNow, reload, linkForm, link } =
      controls;
    const cores = navigator.hardwareConcurrency || 1;
    name.value = this.link.device ?? rememberedName() ?? guessName(navigator.userAgent);
    workers.value = String(this.tab?.workers ?? suitableWorkers(cores, navigator.userAgent));
    const label = document.getElementById("workers-label");
    if (label !== null) label.textContent = `Cores, of ${cores}`;
    others.checked = othersAllowed(navigator.userAgent);
    others.addEventListener("change", () => {
      rememberOthers(others.checked);
      this.willingness.look();
    });
    network.addEventListener("change", () => this.view.showNetwork(this.allowsNetwork()));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.resumed = 0;
      this.start();
    });
    pause.addEventListener("click", () => this.pause());
    tryNow.addEventListener("click", () => this.post({ type: "retry" }));
    reload.addEventListener("click", () => location.reload());
    linkForm.addEventListener("submit", (event) => {
      event.preventDefault();
      openLink(link.value);
    });
    addEventListener("hashchange", () => location.reload());
    addEventListener("offline", () => this.noteNetwork());
    addEventListener("online", () => this.noteNetwork());
    addEventListener("pagehide", () => this.suspend());
    addEventListener("pageshow", () => this.comeBack());
  }

  // ---- what it is for ----

  private async askForRun(): Promise<void> {
    const answer = await fetchRun(this.source, "", ({ packages, reason }) => {
      this.problem = packages
        ? "What the program needs in browsers is being collected, which may take some minutes."
        : "";
      this.away = reason ?? "";
      this.setStage("notReady");
    });
    this.problem = "";
    this.takeAnswer(answer);
  }

  private takeAnswer(answer: RunAnswer | null): void {
    if (answer?.type === "run") {
      this.takeRun(answer.run);
      this.problem = answer.run.problem;
      this.setStage(this.problem ? "unsupported" : "invited");
    } else if (answer?.type === "denied") {
      this.incomplete = answer.incomplete;
      this.setStage("denied");
    } else if (answer?.type === "untrusted") {
      this.fail(`This is not the run of the link: ${answer.reason}.`);
    } else {
      this.fail("The computer that this link leads to does not answer. Is its run still going on?");
    }
  }

  private takeRun(run: RunDetails): void {
    const { network } = controls;
    // Somebody who was not asked whether the function may use the network has not agreed to it.
    if (this.run === null) network.checked = this.tab?.network ?? run.network;
    else if (!this.run.network) network.checked = false;
    this.run = run;
    this.runKnownAt = performance.now();
    this.downloaded = run.python === null ? 1 : 0;
    if (this.sandbox === null)
      this.sandbox = new Sandbox(run, this.source, (share) => this.noteDownload(share));
    else this.sandbox.changeRun(run);
    this.view.showRun(run, this.link.token);
    this.view.showNetwork(this.allowsNetwork());
  }

  private allowsNetwork(): boolean {
    return Boolean(this.run?.network) && controls.network.checked;
  }

  private noteDownload(share: number): void {
    this.downloaded = share;
    this.show();
  }

  /** Whether the run that is known is the one that is served. */
  private isFresh(): boolean {
    return performance.now() - this.runKnownAt < FRESH_MILLISECONDS;
  }

  /** Load what computing begins with while the page is being read; nothing of it computes. */
  private prepare(): void {
    if (this.stage !== "invited" || this.node !== null || this.spare !== null) return;
    this.sandbox?.prepare(this.allowsNetwork());
    if (isRelayed(location.pathname)) this.peers.prepare();
    const spare = loadNode();
    spare.onerror = () => {
      this.spare = null; // it is tried again when it is needed
    };
    spare.postMessage({ type: "prepare" } satisfies ToNode);
    this.spare = spare;
  }

  // ---- computing ----

  private start(): void {
    if (this.run === null) return;
    const name = controls.name.value.trim() || guessName(navigator.userAgent);
    rememberName(name);
    if (this.node === null) this.join(name, this.run);
    else if (this.stage === "paused") this.post({ type: "resume", name, workers: this.workers() });
    else return;
    this.setStage("working");
    clearTimeout(this.steadyTimer);
    this.steadyTimer = setTimeout(() => this.noteSteady(), STEADY_MILLISECONDS);
  }

  private join(name: string, run: RunDetails): void {
    const identity = this.device?.identity ?? "";
    this.device = null;
    const node = this.spare ?? loadNode();
    this.spare = null;
    this.node = node;
    node.onmessage = ({ data }: MessageEvent<FromNode>) => void this.onNodeMessage(data);
    node.onerror = ({ message }) =>
      this.fail(message || "Its program could not be started: load the page again.");
    const options = {
      url: socketUrl(location.href, "node"),
      relayed: isRelayed(location.pathname),
      token: this.link.token,
      name,
      workers: this.workers(),
      linkLasts: run.linkLasts,
      kept: readSentAway(location.hash),
      protocol: this.link.protocol,
      webrtc: hasWebRtc(),
      identity,
    };
    this.post({ type: "start", options });
    this.post({ type: "willing", willing: this.willingness.willing });
    this.noteNetwork();
    if (this.isFresh()) this.sandbox?.begin(this.allowsNetwork());
  }

  private workers(): number {
    return Math.max(1, Math.min(64, Math.round(controls.workers.valueAsNumber) || 1));
  }

  private noteSteady(): void {
    this.resumed = 0;
    this.save();
  }

  private post(message: ToNode, transfer: Transferable[] = []): void {
    this.node?.postMessage(message, transfer);
  }

  private async onNodeMessage(message: FromNode): Promise<void> {
    switch (message.type) {
      case "state":
        this.device = message.state;
        writeSentAway(location.hash, message.state.kept);
        this.totals.update(message.state);
        if (this.stage === "stopping" && message.state.phase === "paused") this.notePaused();
        this.show();
        this.save();
        break;
      case "stopped":
        this.end(message.problem);
        break;
      case "peerRequested":
        this.peers.add(message.port, message.servers, message.offer);
        break;
      case "sandboxRequested":
        await this.giveSandbox(message.run);
    }
  }

  /** Give the node that has asked a sandbox; it may be another one when that is ready. */
  private async giveSandbox(wanted: string): Promise<void> {
    const asking = this.node;
    try {
      if (!this.isFresh() || this.run?.id !== wanted) await this.update(wanted);
      this.runKnownAt = Number.NEGATIVE_INFINITY;
      if (this.node !== asking || this.sandbox === null) return; // it was stopped meanwhile
      const control = await this.sandbox.open(this.allowsNetwork());
      if (this.node === asking) this.post({ type: "sandbox", control }, [control]);
    } catch (error) {
      if (this.node === asking)
        this.fail(`What the program needs was not loaded: ${String(error)}.`);
    }
  }

  /** Learn what the run that the node is given needs: another one may have begun at this address. */
  private async update(wanted: string): Promise<void> {
    const answer = await fetchRun(this.source, wanted);
    if (answer?.type !== "run") return;
    if (answer.run.problem) {
      this.problem = answer.run.problem;
      this.dropNode();
      this.setStage("unsupported");
    } else if (JSON.stringify(answer.run) !== JSON.stringify(this.run)) {
      this.takeRun(answer.run);
    }
  }

  /** Compute nothing; the node says when it does not any more. */
  private pause(): void {
    if (this.node === null) return;
    this.setStage("stopping");
    this.post({ type: "pause" });
  }

  /** The node keeps its place, but computes nothing: the sandbox is of no use. */
  private notePaused(): void {
    clearTimeout(this.steadyTimer);
    this.sandbox?.close();
    this.stage = "paused";
  }

  /** The node has ended. */
  private end(problem: string): void {
    const phase = this.device?.phase;
    if (problem) {
      this.fail(problem);
      return;
    }
    this.problem = this.device?.note ?? "";
    this.dropNode();
    if (phase === "finished" || phase === "refused") this.setStage(phase);
    else this.setStage("paused");
  }

  private fail(problem: string): void {
    this.dropNode();
    this.problem = problem;
    this.setStage("failed");
  }

  private dropNode(): void {
    clearTimeout(this.steadyTimer);
    this.peers.closeAll();
    this.node?.terminate();
    this.node = null;
    this.sandbox?.close();
    this.totals.endStay();
  }

  // ---- what happens to the tab ----

  /** Whether this device can reach its root: a root on this very device needs no network. */
  private noteNetwork(): void {
    const online = navigator.onLine || LOCAL_HOSTS.includes(location.hostname);
    this.post({ type: "online", online });
  }

  /** The page is left: the node, which may be suspended with it, ends its link now. */
  private suspend(): void {
    if (this.node === null) return;
    this.save();
    this.suspended = this.stage === "working";
    this.dropNode();
  }

  private comeBack(): void {
    if (!this.suspended) return;
    this.suspended = false;
    this.start();
  }

  // ---- showing ----

  private setStage(stage: Stage): void {
    this.stage = stage;
    this.show();
    this.save();
  }

  private show(): void {
    const { stage, run, device, downloaded, incomplete, problem, away } = this;
    const state: PageState = {
      stage,
      run,
      device,
      figures: this.totals.read(),
      downloaded,
      incomplete,
      problem,
      away,
    };
    this.view.show(state);
    if (stage === "working" && device?.phase !== "finished") void requestWakeLock();
    else void releaseWakeLock();
  }

  /** Keep what a reload goes on with. */
  private save(): void {
    if (this.run === null || this.suspended) return;
    writeTab({
      fragment: location.hash,
      computing: this.stage === "working" && this.device?.phase !== "finished",
      resumed: this.resumed,
      workers: this.workers(),
      network: controls.network.checked,
      totals: this.totals.keep(),
    });
  }
}

function loadNode(): Worker {
  return new Worker(new URL("../node/main.ts", import.meta.url), { type: "module", name: "node" });
}

/** Call something when the page has nothing else to do; where the browser cannot tell, soon. */
function whenIdle(call: () => void): void {
  if ("requestIdleCallback" in window) requestIdleCallback(call);
  else setTimeout(call, 200);
}

/** Open a link that was pasted; one that only lacks the address is completed. */
function openLink(text: string): void {
  const pasted = text.trim();
  if (pasted === "") return;
  const fragment = /^[\w;&=%-]+$/.test(pasted) ? `#${pasted}` : "";
  try {
    const url = new URL(fragment || pasted, location.href);
    if (!/^https?:$/.test(url.protocol)) throw new TypeError("not a page");
    location.assign(url);
  } catch {
    controls.link.setCustomValidity("This is not a link.");
    controls.link.reportValidity();
    controls.link.addEventListener("input", () => controls.link.setCustomValidity(""), {
      once: true,
    });
  }
}
